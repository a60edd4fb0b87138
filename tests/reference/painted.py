"""Folders that are painted, and strokes as a page sends them: what tests of the studio work with."""

import asyncio

import httpx
import numpy as np
from reference.tiny import picture

from tinyunet.runs.config import config_from_dict
from tinyunet.runs.live.canvas import UNCHANGED
from tinyunet.web.studio.strokes import Stroke
from tinyunet.web.studio.studio import Studio

SIDE = 48
NETWORK = {
    "model": {"features": 4, "depth": 1},
    "batches": {"patch": [32], "margin": [4], "batch": 4},
    "optimiser": {"learning_rate": 0.01, "ema_decay": 0.9},
}


def open_studio(folder) -> Studio:
    """The studio of a folder, whose training has not been started."""
    return Studio(folder, config_from_dict({**NETWORK, "data": {"folder": str(folder)}}, where="a test"))


def add_pictures(studio, count):
    """Pictures of `reference.tiny`, and the truth about each."""
    found = []
    for number in range(count):
        image, mask = picture(number, side=SIDE)
        found.append((studio.add(image[..., np.newaxis], f"picture {number}.png"), mask.astype(np.uint8)))
    return found


def dots(truth, k, *, count=40, seed=0):
    """A stroke over the whole image that paints a few pixels of a class."""
    rows, columns = np.nonzero(truth == k)
    chosen = np.random.default_rng((seed, k)).permutation(len(rows))[:count]
    stroke = np.full(truth.shape, UNCHANGED, np.uint8)
    stroke[rows[chosen], columns[chosen]] = k
    return stroke


def stroke(pixels, corner=(0, 0), identity=""):
    return Stroke(corner, np.atleast_2d(np.array(pixels, np.uint8)), identity)


class Client:
    """Asks an application that has not been started, one request after the other."""

    def __init__(self, app):
        self._app = app

    def request(self, method, path, **options) -> httpx.Response:
        async def once():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def patch(self, path, **options):
        return self.request("PATCH", path, **options)

    def delete(self, path):
        return self.request("DELETE", path)
