"""Makes docs/pictures/studio.png: the studio's page over synthetic cells, after a few strokes.

    PYTHONPATH=. python docs/pictures/studio.py

wants the extra `dev` for Playwright, and a Chromium on the PATH.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from benchmarks.studio import opened, strokes
from tinyunet.data.readers import read_image
from tinyunet.data.synthetic import write_cells


def main() -> None:
    """Makes images, paints two of them, waits for the network, and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="of training before the picture is taken (default 300)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("studio.png"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        cells = Path(place) / "data"
        write_cells(cells, train=6, val=0, test=0)
        with opened(Path(place) / "cells", []) as studio:
            images = sorted((cells / "images").iterdir())
            ids = [studio.drop(read_image(path)[..., 0], path.name) for path in images]
            for identity, path in list(zip(ids, images, strict=True))[:2]:
                labels = (read_image(cells / "masks" / path.name)[..., 0] > 0).astype(int)
                before = np.zeros(labels.shape, bool)
                for k, pixels in strokes(labels, before, None, pixels=int(0.012 * labels.size), rng=rng):
                    studio.paint(identity, k, pixels)
            studio.ask("POST", "/api/focus", json.dumps({"image": ids[0]}).encode())
            studio.wait(lambda state: state["training"]["step"] >= arguments.steps)
            with sync_playwright() as playwright:
                program = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu", "--no-sandbox"])
                page = browser.new_page(viewport={"width": 1200, "height": 720})
                page.goto(f"{studio.base}/?token={studio.token}")
                page.locator("#canvas[aria-busy=false]").wait_for()
                page.wait_for_timeout(6000)
                page.screenshot(path=arguments.out)
                browser.close()


if __name__ == "__main__":
    main()
