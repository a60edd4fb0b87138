"""Data made on the spot: micrographs of cells with exact masks, and a data-set folder full of them."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from tinyunet.data.micrograph import Microscope, photograph
from tinyunet.data.nuclei import Cells, place_nuclei
from tinyunet.data.writers import write_png
from tinyunet.errors import DataError


def cells(
    seed: int,
    *,
    shape: tuple[int, int] = (256, 256),
    slide: Cells | None = None,
    microscope: Microscope | None = None,
) -> tuple[UInt8[np.ndarray, "h w 1"], Int32[np.ndarray, "h w"]]:
    """A fluorescence micrograph of stained nuclei, and the nucleus that every pixel belongs to.

    The nuclei touch and overlap; some are dim, some out of focus. Light and haze are uneven, photons are few, and
    bright debris lies about that is no cell: Otsu's threshold reaches a Dice score of about 0.85 with the default
    options. The instances come from the outlines, not from the image, so neither blur nor noise moves them: a pixel
    belongs to a nucleus if its centre lies inside the outline.

    Args:
        seed: Says which image; 0 or more. The same seed, shape and options give the same image.
        shape: Height and width in pixels, both at least 1.
        slide: What lies on the slide; None means `Cells()`.
        microscope: How it is seen; None means `Microscope()`.

    Returns:
        The image, and the instances: 0 for background, 1 to n for the n nuclei, each id in one connected piece.

    Raises:
        ValueError: A negative seed, or a shape without pixels.

    Example:
        >>> image, instances = cells(7, shape=(64, 96))
        >>> image.shape, image.dtype, instances.shape
        ((64, 96, 1), dtype('uint8'), (64, 96))
        >>> mask = instances > 0
    """
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more, got {seed}.")
    if min(shape) < 1:
        raise ValueError(f"`shape` must be a height and a width of at least 1 pixel, got {shape}.")
    slide = slide or Cells()
    rng = np.random.default_rng(seed)
    nuclei, instances = place_nuclei(rng, shape, slide)
    image = photograph(rng, nuclei, shape, microscope or Microscope(), specks=slide.debris)
    return image[..., None], instances


def write_cells(
    folder: Path | str,
    *,
    train: int = 24,
    val: int = 6,
    test: int = 6,
    seed: int = 0,
    shape: tuple[int, int] = (256, 256),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a data set of micrographs: `images/`, `masks/` with 0 and 255, and `split.csv`.

    The folder appears only when all of it is written: a run that is stopped or fails leaves nothing behind. An image
    depends on the seed, its split and its number alone, so asking for more of one split changes no other image.

    Args:
        folder: Where to write; new, or empty.
        train: Number of images to learn from, at least 1.
        val: Number of images to choose the weights by, 0 or more.
        test: Number of images for the final figures, 0 or more.
        seed: Says which data set; 0 or more.
        shape: Height and width of every image in pixels.
        progress: Called with the numbers of images written and wanted after each one.

    Returns:
        The folder.

    Raises:
        DataError: The folder holds something already, is a file, or cannot be written.
        ValueError: A number of images or a seed below its range, or a shape without pixels.

    Example:
        >>> import tempfile
        >>> root = write_cells(Path(tempfile.mkdtemp()) / "cells", train=2, val=1, test=1, shape=(32, 32))
        >>> sorted(path.name for path in (root / "images").iterdir())
        ['test-000.png', 'train-000.png', 'train-001.png', 'val-000.png']
    """
    numbers = {"train": train, "val": val, "test": test}
    for split, number in numbers.items():
        least = 1 if split == "train" else 0
        if number < least:
            raise ValueError(f"`{split}` must be {least} or more images, got {number}.")
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more, got {seed}.")
    folder = Path(folder)
    # A sibling, so that moving it into place stays on one disk; the process number keeps two runs apart.
    place = folder.resolve()
    draft = place.with_name(f".{place.name}-{os.getpid()}.part")
    try:
        _refuse_occupied(folder)
        _write_images(draft, numbers, seed=seed, shape=shape, progress=progress)
        _write_split(draft / "split.csv", numbers)
        _move(draft, place)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{folder} cannot be written ({reason}); make room there or choose another folder.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _refuse_occupied(folder: Path) -> None:
    """Raise unless the folder is new or empty: nothing of the user's is ever overwritten."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise DataError(f"{folder} is not empty; choose a new folder, or remove this one first.")
    elif folder.exists() or folder.is_symlink():
        raise DataError(f"{folder} is not a folder; choose another name.")


def _write_images(
    draft: Path,
    numbers: dict[str, int],
    *,
    seed: int,
    shape: tuple[int, int],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write all images and masks below the draft folder."""
    for part in ("images", "masks"):
        (draft / part).mkdir(parents=True)
    names = _names(numbers)
    for done, (name, (split, index)) in enumerate(names.items(), start=1):
        own = np.random.SeedSequence((seed, list(numbers).index(split), index)).generate_state(1)[0]
        image, instances = cells(int(own), shape=shape)
        mask = np.where(instances > 0, 255, 0).astype(np.uint8)
        write_png(draft / "images" / f"{name}.png", image)
        write_png(draft / "masks" / f"{name}.png", mask)
        if progress is not None:
            progress(done, len(names))


def _names(numbers: dict[str, int]) -> dict[str, tuple[str, int]]:
    """The name of every image, and the split and number that it stands for."""
    return {f"{split}-{index:03d}": (split, index) for split, number in numbers.items() for index in range(number)}


def _write_split(path: Path, numbers: dict[str, int]) -> None:
    """Write the split of every image."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "split"])
        table.writerows([name, split] for name, (split, _) in _names(numbers).items())


def _move(draft: Path, place: Path) -> None:
    """Move the finished draft into place; a folder that exists keeps its identity, as it may be a shell's own."""
    if not place.exists():
        draft.rename(place)
        return
    for part in draft.iterdir():
        part.rename(place / part.name)
