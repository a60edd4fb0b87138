"""Makes docs/pictures/page.png: the static page of a model, with an image that it has just segmented.

    python docs/pictures/page.py --minutes 3

trains on synthetic cells that are numbered, so that each becomes an object, exports the page and opens it in the
machine's own Chromium, by Playwright. npm fetches onnxruntime-web.
"""

import argparse
import functools
import http.server
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import tinyunet
from tinyunet.data.synthetic import cells

COLOURS = 160
"""Of the picture, which so stays small."""


def main() -> None:
    """Makes data, trains, exports and keeps what the page shows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="time to train (default 3)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("page.png"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_numbered(folder / "data", count=20)
        run = tinyunet.train(folder / "data", folder / "run", minutes=arguments.minutes)
        tinyunet.export_run(run, folder / "Cells", format="web")
        image, _ = cells(1000, shape=(480, 640))
        Image.fromarray(image[..., 0]).save(folder / "culture-07.png")
        picture = open_page(folder / "Cells", folder / "culture-07.png", folder / "shot.png")
    picture.quantize(COLOURS).save(arguments.out, optimize=True)


def write_numbered(folder: Path, *, count: int) -> None:
    """A data set whose masks number their cells."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        image, instances = cells(number)
        Image.fromarray(image[..., 0]).save(folder / "images" / f"{number}.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / "masks" / f"{number}.png")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


def open_page(site: Path, image: Path, shot: Path) -> Image.Image:
    """What the page looks like once it has segmented an image."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=os.geteuid() != 0, args=["--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1080, "height": 760})
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.locator("#status:text-matches('^Ready')").wait_for(timeout=120_000)
        page.locator("#file").set_input_files(image)
        page.locator("#status:text-matches('^Done')").wait_for(timeout=120_000)
        page.screenshot(path=shot, full_page=True)
        browser.close()
        server.shutdown()
    return Image.open(shot).convert("RGB")


if __name__ == "__main__":
    main()
