"""The three slices through a point of a volume, as pictures: what a screen shows of something that has a depth."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Shaped

from tinyunet.evaluation.checks import IGNORE

PLANE_GAP = 4
"""Pixels between two slices of a picture."""

READABLE_WIDTH = 400
"""Slices that are narrower together are magnified, in pixels."""

LONGEST_SIDE = 512
"""A slice is neither magnified nor stretched beyond this many pixels, unless it has more voxels than that."""


def centre_of(labels: Integer[np.ndarray, "*space"], *, background: int = 0) -> tuple[int, ...]:
    """The pixel through which slices show most: along each axis the plane that holds most of what is marked.

    Args:
        labels: Class or object ids.
        background: The id that marks nothing; -1, which takes no part, marks nothing either.

    Returns:
        A position along each axis. Of planes that hold the same, and so of empty labels, the one nearest to the middle.

    Example:
        >>> labels = np.zeros((3, 4, 5), int)
        >>> centre_of(labels)
        (1, 1, 2)
        >>> labels[2, 1:3, 0] = 7
        >>> centre_of(labels)
        (2, 1, 0)
    """
    marked = (labels != background) & (labels != IGNORE)
    place = []
    for axis, size in enumerate(labels.shape):
        held = np.count_nonzero(marked, axis=tuple(other for other in range(labels.ndim) if other != axis))
        best = np.flatnonzero(held == held.max())
        place.append(int(best[np.argmin(np.abs(best - (size - 1) / 2))]))
    return tuple(place)


def planes(
    values: Shaped[np.ndarray, "..."],
    centre: Sequence[int],
    *,
    spacing: Sequence[float] | None = None,
    upward: bool = False,
) -> tuple[Shaped[np.ndarray, "..."], ...]:
    """The slices (y, x), (z, x) and (z, y) of a volume through one voxel, with voxels in their true proportions.

    Each axis is drawn by repeating voxels, or leaving some out where a volume is very long and thin, so that a pixel of
    the pictures covers the same length everywhere. Nothing is blended: the slices of labels hold labels. Small volumes
    are magnified by a whole factor, see `READABLE_WIDTH`. An image of two axes is its own only slice, as it is.

    Args:
        values: `(*space)` or `(*space, c)`: pixels, labels, or colours; a space of two or three axes.
        centre: The voxel, one position for each axis of space.
        spacing: Size of a voxel along each axis of space, in any one unit, above 0; cubes without it.
        upward: The rows point upwards, as those of NIfTI do: they are turned upside down, for a picture's point down.

    Returns:
        Three slices, or one of an image, each `(rows, columns)` or `(rows, columns, c)`.

    Raises:
        ValueError: The space is none of two or three axes, or `spacing` does not fit it.

    Example:
        >>> volume = np.arange(2 * 100 * 300).reshape(2, 100, 300)
        >>> [plane.shape for plane in planes(volume, (0, 50, 150), spacing=(20, 1, 1))]
        [(100, 300), (40, 300), (40, 100)]
    """
    n = len(centre)
    if n not in (2, 3) or values.ndim not in (n, n + 1):
        raise ValueError(f"`centre` must have two or three positions, one for each axis of space, got {n}.")
    if n == 2:
        return (values[::-1] if upward else values,)
    sizes = _drawn_sizes(values.shape[:3], (1.0, 1.0, 1.0) if spacing is None else spacing)
    drawn = []
    for across in range(3):
        plane = np.take(values, centre[across], axis=across)
        for axis, size in enumerate(np.delete(sizes, across)):
            plane = np.take(plane, _nearest(plane.shape[axis], int(size)), axis=axis)
        drawn.append(plane[::-1] if upward else plane)
    return tuple(drawn)


def side_by_side(
    pictures: Sequence[Shaped[np.ndarray, "..."]], *, fill: int = 0, gap: int = PLANE_GAP
) -> Shaped[np.ndarray, "..."]:
    """Pictures in one row, lower ones in the middle of its height.

    Args:
        pictures: `(rows, columns)` or `(rows, columns, c)`, one or more, alike in type and channels.
        fill: What stands above, below and between them.
        gap: Columns between two of them.

    Returns:
        One picture, of the height of the highest.

    Example:
        >>> side_by_side([np.ones((3, 2), int), np.full((1, 1), 2)], gap=1)
        array([[1, 1, 0, 0],
               [1, 1, 0, 2],
               [1, 1, 0, 0]])
    """
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    row = np.full((height, width, *pictures[0].shape[2:]), fill, pictures[0].dtype)
    left = 0
    for picture in pictures:
        top = (height - picture.shape[0]) // 2
        row[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return row


def _drawn_sizes(shape: tuple[int, ...], spacing: Sequence[float]) -> tuple[int, ...]:
    """Pixels that each axis of a volume takes in the pictures, at least 1."""
    if len(spacing) != len(shape) or not all(math.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"`spacing` must be {len(shape)} finite numbers above 0, got {tuple(spacing)}.")
    lengths = [size * step for size, step in zip(shape, spacing, strict=True)]
    finest, longest = min(spacing), max(lengths)
    width = (2 * lengths[2] + lengths[1]) / finest  # of the three slices, at a pixel for each of the smallest voxels
    magnified = max(1, min(math.ceil(READABLE_WIDTH / width), int(LONGEST_SIDE * finest / longest)))
    pixel = max(finest / magnified, longest / max(LONGEST_SIDE, *shape))
    return tuple(max(1, round(length / pixel)) for length in lengths)


def _nearest(size: int, drawn: int) -> Integer[np.ndarray, " drawn"]:
    """The voxel that each of some pixels along an axis shows: that in which its middle lies."""
    return (2 * np.arange(drawn) + 1) * size // (2 * drawn)
