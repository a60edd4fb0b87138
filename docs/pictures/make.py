"""Makes docs/pictures/prediction.png: a test image, its truth, the prediction, and where these two differ.

    python docs/pictures/make.py --minutes 2

trains on synthetic cells in a temporary folder and shows the test image with the *median* score, not the best one.

    python docs/pictures/make.py --volumes --steps 400 --size 192

makes docs/pictures/volume.png: the same of synthetic volumes, in two rows, with three slices for each of the four.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import tinyunet
from tinyunet.data.synthetic import write_cells, write_volumes


def main() -> None:
    """Makes data, trains, evaluates and keeps one preview."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0, help="time to train (default 2)")
    parser.add_argument("--steps", type=int, help="number of steps instead")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images (default 256)")
    parser.add_argument(
        "--volumes", action="store_true", help="of volumes: a quarter of --size, at most, along each axis"
    )
    parser.add_argument("--out", type=Path, help="default prediction.png, or volume.png, beside this script")
    arguments = parser.parse_args()
    out = arguments.out or Path(__file__).with_name("volume.png" if arguments.volumes else "prediction.png")

    with tempfile.TemporaryDirectory() as folder:
        data, size = Path(folder) / "data", arguments.size
        if arguments.volumes:
            # Thick slices: twice as long as they are wide.
            write_volumes(data, shape=(size // 8, size // 4, size // 4), spacing=(2.0, 1.0, 1.0))
        else:
            write_cells(data, shape=(size, size))
        run = tinyunet.train(
            data,
            Path(folder) / "run",
            minutes=None if arguments.steps else arguments.minutes,
            steps=arguments.steps,
            settings=[] if arguments.volumes else [f"batches.patch={size}"],
        )
        evaluation = tinyunet.evaluate(run, data)
        (preview,) = (run.path / "previews").glob("median_*.png")
        keep(preview, out, volumes=arguments.volumes)
    name = preview.stem.removeprefix("median_")
    print(f"{out}: {name}, Dice of all test pixels {' '.join(f'{dice:.3f}' for dice in evaluation.pooled.dice[1:])}")


def keep(preview: Path, out: Path, *, volumes: bool) -> None:
    """Copies a preview; that of a volume, which is wide, in two rows and twice as large."""
    with Image.open(preview) as image:
        pixels = np.asarray(image)
    if volumes:
        half = (pixels.shape[1] - 4) // 2  # four white pixels lie between two tiles
        gap = np.full((4, half, 3), 255, np.uint8)
        pixels = np.concatenate([pixels[:, :half], gap, pixels[:, half + 4 :]])
        pixels = pixels.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(pixels).save(out)


if __name__ == "__main__":
    main()
