"""Whether a mask can be that of its image: it must have its size, and lie where it lies."""

import numpy as np

from tinyunet.data.header import Geometry, corners
from tinyunet.data.readers import read_header, shown
from tinyunet.data.sample import Sample


def misfit(sample: Sample, image: tuple[int, ...], mask: tuple[int, ...], *, placed: bool = True) -> str | None:
    """Why a mask cannot be that of its image: it has another size, or lies elsewhere in the world; None if it can.

    Args:
        sample: Whose files are read again for where they lie, where the sizes agree.
        image: Pixels of the image along each axis of space.
        mask: Pixels of the mask, likewise.
        placed: The image may say where it lies; False saves reading the headers once more.

    Example:
        >>> from pathlib import Path
        >>> misfit(Sample("a", Path("a.png"), Path("m.png")), (2, 3), (3, 2))
        'm.png must have the size of its image, 2×3, got 3×2 (height×width). It looks turned by 90°. Replace one of ...'
    """
    assert sample.mask is not None
    if image != mask:
        return (
            f"{shown(sample.mask)} must have the size of its image, {_size_text(image)}, "
            f"got {_size_text(mask)}{_compared(image, mask)} Replace one of the two."
        )
    if not placed:
        return None
    # what files say, not what dataset.toml declares, which may be in another unit
    geometry, other = (read_header(path, axes=sample.axes).geometry for path in (sample.image, sample.mask))
    if geometry is None or other is None or other.same_place(geometry, image):
        return None
    spacings = [" x ".join(f"{x:g}" for x in g.spacing) for g in (geometry, other)]
    if spacings[0] != spacings[1]:
        return (
            f"{shown(sample.mask)} must have the voxels of its image, {spacings[0]}, got {spacings[1]} (z, y, x). "
            "Resample the mask to its image, without interpolation."
        )
    return (
        f"{shown(sample.mask)} must lie where its image does, got another affine: turned, or shifted by "
        f"{_shift(geometry, other, image):.3g} mm. Save the mask with the affine of its image."
    )


def _shift(geometry: Geometry, other: Geometry, shape: tuple[int, ...]) -> float:
    """The farthest that a corner of the one volume lies from the same corner of the other."""
    return float(np.linalg.norm(corners(geometry, shape) - corners(other, shape), axis=-1).max())


def _size_text(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _compared(image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """The end of a sentence about two sizes that differ: what their numbers mean, and what may have happened."""
    if len(image) != len(mask):
        return "."
    axes = {2: " (height×width).", 3: " (depth×height×width)."}.get(len(image), ".")
    if sorted(image) != sorted(mask):
        return axes
    return f"{axes} It looks turned by 90°." if len(image) == 2 else f"{axes} Its axes seem to be in another order."
