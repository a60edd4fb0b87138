"""Data sets, settings and commands so small that a whole training takes seconds: what tests of runs work with."""

import hashlib

import numpy as np
from PIL import Image

from tinyunet.cli.main import main

SETTINGS = (
    "model.features=2",
    "model.depth=1",
    "batches.patch=16",
    "batches.margin=4",
    "batches.batch=2",
    "train.validations=2",
    # What is drawn for each sample stays in flips, turns and noise; the rest is half of what a step takes to compile.
    "augment.warp_probability=0.0",
    *(f"augment.{strength}=0.0" for strength in ("gamma", "contrast", "brightness", "shading", "blur_px")),
)
OPTIONS = tuple(part for setting in SETTINGS for part in ("--set", setting))
SIDE = 32


def picture(number, *, side=SIDE):
    """A noisy grey image with a bright rectangle, and where the rectangle is."""
    rng = np.random.default_rng(number)
    top, left = rng.integers(2, side - 14, 2)
    mask = np.zeros((side, side), bool)
    mask[top : top + 12, left : left + 10] = True
    image = np.clip(rng.normal(60, 10, mask.shape) + 100 * mask, 0, 255).astype(np.uint8)
    return image, mask


def save(path, array, **options):
    """Writes an array or a picture as the kind of file its name says, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        picture = array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array))
        picture.save(path, **options)


def pixels(path):
    """The pixels of a picture, as its file holds them."""
    with Image.open(path) as image:
        return np.asarray(image)


def write_pairs(root, *, count=6, side=SIDE, mask_of=lambda mask: (255 * mask).astype(np.uint8)):
    """A data set of `count` images named 0, 1, …; `mask_of` says how a mask is stored."""
    for number in range(count):
        image, mask = picture(number, side=side)
        save(root / f"images/{number}.png", image)
        save(root / f"masks/{number}.png", mask_of(mask))
    return root


def command(*arguments):
    """The exit status of a command that shows no progress and leaves the user's cache alone."""
    return main([*map(str, arguments), "--quiet", "--no-cache"])


def train_tiny(data, out, *, steps=4, options=()):
    """A training by the command line; the run's folder."""
    assert command("train", data, "--out", out, "--steps", steps, *OPTIONS, *options) == 0
    return out


def weights(run):
    """The hash of a run's weights, bytes and metadata."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def contents(folder):
    """Every file below a folder with its hash and the time it was last written."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
