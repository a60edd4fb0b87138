"""Makes docs/pictures/studio.png: the studio's page over synthetic cells, after a few strokes.

    PYTHONPATH=. python docs/pictures/studio.py

wants the extra `dev` for Playwright, and a Chromium on the PATH.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.painting import strokes
from benchmarks.studio import opened
from tinyunet.data.readers import read_image
from tinyunet.data.synthetic import write_cells


def main() -> None:
    """Makes images, paints two of them, waits for the network, and takes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600, help="of training before the picture is taken (default 600)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("studio.png"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        cells = Path(place) / "data"
        write_cells(cells, train=6, val=0, test=0)
        with opened(Path(place) / "cells", []) as studio:
            studio.page.set_viewport_size({"width": 1200, "height": 720})
            images = sorted((cells / "images").iterdir())
            studio.drop(images)
            for number in (1, 0):  # the one that is painted last is seen
                labels = (read_image(cells / "masks" / images[number].name)[..., 0] > 0).astype(int)
                studio.open(number)
                for stroke in strokes(
                    labels, np.zeros(labels.shape, bool), None, pixels=int(0.012 * labels.size), rng=rng
                ):
                    studio.paint(stroke, labels.shape)
            studio.page.mouse.move(0, 0)
            studio.wait(lambda state: state["training"]["step"] >= arguments.steps)
            studio.page.wait_for_timeout(3000)
            studio.page.screenshot(path=arguments.out)


if __name__ == "__main__":
    main()
