"""What the skip connections are for: the same network with concatenated, added and no skips, and three upsamplings.

    python examples/03_skips_matter.py --steps 400

trains five networks on the same synthetic cells from the same seed, prints a table, and with --picture draws where
each of them is wrong on one test image.
"""

import argparse
import tempfile
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

import tinyunet
from tinyunet.data.readers import read_image
from tinyunet.data.synthetic import write_cells
from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import difference, outline

VARIANTS = {
    "concat, transpose": [],
    "add, transpose": ["model.skip=add"],
    "none, transpose": ["model.skip=none"],
    "concat, bilinear": ["model.upsample=bilinear"],
    "concat, pixel shuffle": ["model.upsample=pixel_shuffle"],
}


def main() -> None:
    """Trains every variant and compares them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="steps of each training (default 400)")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images (default 256)")
    parser.add_argument("--seed", type=int, default=0, help="of each training (default 0)")
    parser.add_argument("--set", action="append", default=[], help="a setting of all trainings, key=value")
    parser.add_argument("--picture", type=Path, help="where to draw the errors, such as docs/pictures/skips.png")
    arguments = parser.parse_args()
    size = arguments.size

    with tempfile.TemporaryDirectory() as folder:
        data = write_cells(Path(folder) / "cells", test=6, shape=(size, size))
        tests = sorted((data / "images").glob("test*"))
        images = [read_image(path) for path in tests]
        truths = [(read_image(data / "masks" / path.name)[..., 0] > 0).astype(int) for path in tests]
        pictures = []
        print("skip, upsampling        parameters   Dice   right within 2 pixels of an outline")
        for name, settings in VARIANTS.items():
            run = tinyunet.train(
                data,
                Path(folder) / name,
                steps=arguments.steps,
                seed=arguments.seed,
                settings=[f"batches.patch={size}", "train.validations=1", *arguments.set, *settings],
                quiet=True,
            )
            masks = [run.predict(image) for image in images]
            print(f"{name:22}  {parameters(run):>10,}  {dice(masks, truths):.3f}   {near_outlines(masks, truths):.1%}")
            pictures.append((name, difference(to_display(images[0]), masks[0], truths[0])))
    if arguments.picture is not None:
        draw([("image", to_display(images[0])), *pictures], arguments.picture)
        print(f"red: missed, violet: invented, green: right: {arguments.picture}")


def parameters(run: tinyunet.Run) -> int:
    """Numbers that were trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"]))


def dice(masks: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """Dice score of all pixels together."""
    return 2 * np.sum(np.logical_and(masks, truths)) / (np.sum(masks) + np.sum(truths))


def near_outlines(masks: list[np.ndarray], truths: list[np.ndarray]) -> float:
    """The part of the pixels within two pixels of a true outline that is right: fine detail and nothing else."""
    near = [binary_dilation(outline(truth), iterations=2) for truth in truths]
    return float(np.mean(np.equal(masks, truths)[np.stack(near)]))


def draw(tiles: list[tuple[str, np.ndarray]], path: Path) -> None:
    """Writes pictures of one size in two rows, each under its name."""
    height, width = tiles[0][1].shape[:2]
    columns, line = -(-len(tiles) // 2), 22
    sheet = Image.new("RGB", (columns * (width + 4) - 4, 2 * (height + line)), "white")
    for i, (name, pixels) in enumerate(tiles):
        x, y = i % columns * (width + 4), i // columns * (height + line)
        ImageDraw.Draw(sheet).text((x + 2, y + 2), name, fill="black", font=ImageFont.load_default(size=15))
        sheet.paste(Image.fromarray(pixels), (x, y + line))
    sheet.save(path)


if __name__ == "__main__":
    main()
