"""Makes docs/pictures/prediction.png: a test image, its truth, the prediction, and where these two differ.

    python docs/pictures/make.py --minutes 2

trains on synthetic cells in a temporary folder and shows the test image with the *median* score, not the best one.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import tinyunet
from tinyunet.data.synthetic import write_cells


def main() -> None:
    """Makes data, trains, evaluates and keeps one preview."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="time to train (default 2)")
    parser.add_argument("--steps", type=int, help="number of steps instead")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images (default 256)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("prediction.png"))
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        cells = write_cells(Path(folder) / "cells", shape=(arguments.size, arguments.size))
        run = tinyunet.train(
            cells,
            Path(folder) / "run",
            minutes=None if arguments.steps else arguments.minutes,
            steps=arguments.steps,
            settings=[f"batches.patch={arguments.size}"],
        )
        evaluation = tinyunet.evaluate(run, cells)
        (preview,) = (run.path / "previews").glob("median_*.png")
        shutil.copyfile(preview, arguments.out)
    name = preview.stem.removeprefix("median_")
    print(f"{arguments.out}: {name}, Dice of all test pixels {evaluation.pooled.dice[1]:.3f}")


if __name__ == "__main__":
    main()
