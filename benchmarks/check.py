"""How long does it take to check a large data set, and how much memory?"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import machine, peak_bytes
from benchmarks.present import Table, add_output_options, present
from tinyunet.data.check import examine
from tinyunet.data.synthetic import cells
from tinyunet.data.writers import write_png

DRAWN = 64  # micrographs that are drawn; the others are these, turned and with noise of their own


def write_images(root: Path, *, images: int, size: int) -> None:
    """Writes so many different images with masks."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    drawn = [cells(number, shape=(size, size)) for number in range(min(DRAWN, images))]
    for number in range(images):
        image, instances = drawn[number % len(drawn)]
        random = np.random.default_rng(number)
        # rolled at random, so that no two look the same; a side of noise so that none compresses alike
        shift, turns = tuple(random.integers(0, size, 2).tolist()), int(random.integers(4))
        turned = [np.rot90(np.roll(x, shift, (0, 1)), turns) for x in (image[..., 0], instances)]
        noisy = np.clip(turned[0] + random.integers(-3, 4, (size, size)), 0, 255).astype(np.uint8)
        write_png(root / f"images/{number:06}.png", noisy)
        write_png(root / f"masks/{number:06}.png", np.where(turned[1] > 0, 255, 0).astype(np.uint8))
        _tell(number + 1, images, "files written")


def _tell(done: int, total: int, what: str) -> None:
    """Progress on the terminal, a hundred times at most."""
    if sys.stderr.isatty() and done % max(1, total // 100) == 0:
        print(f"\r{done} of {total} {what}", end="\n" if done == total else "", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="images, each with a mask (default 10000)")
    parser.add_argument("--size", type=int, default=256, help="height and width in pixels (default 256)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        write_images(root, images=arguments.images, size=arguments.size)
        before, began = peak_bytes(), time.perf_counter()
        found = examine(root, progress=lambda done, total: _tell(done, total, "images read"))
        seconds = time.perf_counter() - began
    after = peak_bytes()
    if found.problems:
        raise RuntimeError(f"The images made for this must have no problem, got {found.problems[0]}")
    rows = (
        ("seconds", seconds),
        ("images per second", arguments.images / seconds),
        ("peak memory before, MiB", before / 2**20),
        ("peak memory, MiB", after / 2**20),
    )
    present(
        arguments,
        question="Check of a large data set",
        machine=facts,
        tables=[Table(f"{arguments.images} images of {arguments.size}² pixels, with masks", ("", "value"), rows)],
        raw={"images": arguments.images, "seconds": seconds, "peak_bytes": after, "peak_bytes_before": before},
    )


if __name__ == "__main__":
    main()
