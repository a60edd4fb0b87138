"""Data made on the spot: micrographs of cells and volumes with exact masks, and data-set folders full of them."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from tinyunet.data.micrograph import Microscope, photograph
from tinyunet.data.nuclei import Cells, place_nuclei
from tinyunet.data.phantom import phantom, scan_file
from tinyunet.data.writers import write_bytes, write_png
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

    def write_pair(draft: Path, name: str, own: int) -> None:
        image, instances = cells(own, shape=shape)
        write_png(draft / "images" / f"{name}.png", image)
        write_png(draft / "masks" / f"{name}.png", np.where(instances > 0, 255, 0).astype(np.uint8))

    numbers = {"train": train, "val": val, "test": test}
    return _write_folder(Path(folder), numbers, write_pair, seed=seed, progress=progress)


def write_volumes(
    folder: Path | str,
    *,
    train: int = 8,
    val: int = 2,
    test: int = 2,
    seed: int = 0,
    shape: tuple[int, int, int] = (32, 40, 40),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a data set of volumes as `.nii.gz`: `images/`, `masks/` with 0, 1 and 2, `split.csv` and `dataset.toml`.

    What they show is `tinyunet.data.phantom`'s; the rest is as for `write_cells`.

    Args:
        folder: Where to write; new, or empty.
        train: Number of volumes to learn from, at least 1.
        val: Number of volumes to choose the weights by, 0 or more.
        test: Number of volumes for the final figures, 0 or more.
        seed: Says which data set; 0 or more.
        shape: Voxels along z, y and x of every volume.
        spacing: Millimetres from one voxel to the next along z, y and x; (4, 1, 1) with a quarter of the slices is a
            volume of thick ones.
        progress: Called with the numbers of volumes written and wanted after each one.

    Returns:
        The folder.

    Raises:
        DataError: The folder holds something already, is a file, or cannot be written.
        ValueError: A number of volumes or a seed below its range, a shape without voxels, or voxels without a size.

    Example:
        >>> import tempfile
        >>> root = write_volumes(Path(tempfile.mkdtemp()) / "scans", train=1, val=1, test=0, shape=(4, 8, 8))
        >>> sorted(path.name for path in (root / "masks").iterdir())
        ['train-000.nii.gz', 'val-000.nii.gz']
    """
    if min(spacing) <= 0:
        raise ValueError(f"`spacing` must be three lengths above 0, got {spacing}.")

    def write_pair(draft: Path, name: str, own: int) -> None:
        image, labels = phantom(own, shape=shape)
        for part, values in (("images", image[..., 0]), ("masks", labels.astype(np.uint8))):
            write_bytes(draft / part / f"{name}.nii.gz", scan_file(values, spacing=spacing))

    numbers = {"train": train, "val": val, "test": test}
    return _write_folder(Path(folder), numbers, write_pair, seed=seed, spec=_PARTS, progress=progress)


_PARTS = "".join(
    f'[[classes]]\nname = "{name}"\nvalue = {value}\n\n' for value, name in enumerate(("background", "head", "tail"))
).removesuffix("\n")


def _write_folder(
    folder: Path,
    numbers: dict[str, int],
    write_pair: Callable[[Path, str, int], None],
    *,
    seed: int,
    spec: str = "",
    progress: Callable[[int, int], None] | None,
) -> Path:
    """Write a data set of images that `write_pair` writes, each given the folder, its name and its own seed."""
    for split, number in numbers.items():
        least = 1 if split == "train" else 0
        if number < least:
            raise ValueError(f"`{split}` must be {least} or more images, got {number}.")
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more, got {seed}.")
    # A sibling, so that moving it into place stays on one disk; the process number keeps two runs apart.
    place = folder.resolve()
    draft = place.with_name(f".{place.name}-{os.getpid()}.part")
    try:
        _refuse_occupied(folder)
        for part in ("images", "masks"):
            (draft / part).mkdir(parents=True)
        names = _names(numbers)
        for done, (name, (split, index)) in enumerate(names.items(), start=1):
            own = np.random.SeedSequence((seed, list(numbers).index(split), index)).generate_state(1)[0]
            write_pair(draft, name, int(own))
            if progress is not None:
                progress(done, len(names))
        _write_split(draft / "split.csv", numbers)
        if spec:
            (draft / "dataset.toml").write_text(spec, encoding="utf-8")
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
