"""Annotations as shapes on an image, and the masks they become."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt16
from skimage.draw import polygon

from tinyunet.data.header import MAX_PIXELS

LARGEST_ID = 2**16 - 2
"""The most objects a mask of 16 bits numbers, the largest value being the one that takes no part."""

IGNORED = 2**16 - 1
"""The value of pixels that take no part."""


@dataclass(frozen=True)
class Runs:
    """A mask as run lengths: pixels outside, inside, outside … column by column.

    Args:
        lengths: In pixels.
        size: Height and width.

    Raises:
        ValueError: The lengths do not add up to the size.
    """

    lengths: tuple[int, ...]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        pixels = math.prod(self.size)
        if min(*self.lengths, *self.size) < 0 or sum(self.lengths) != pixels or pixels > MAX_PIXELS:
            raise ValueError(f"its runs must add up to {' x '.join(map(str, self.size))} pixels")


@dataclass(frozen=True)
class Shape:
    """One annotated thing.

    Args:
        label: Its class.
        rings: Outlines (n, 2) of x and y in pixels, from the corner of the first pixel, whose centre is (0.5, 0.5).
            What lies inside any of them belongs to the shape.
        runs: The shape's pixels instead of outlines.
        crowd: Many things in one, which cannot be told apart.
    """

    label: str
    rings: tuple[Float[np.ndarray, "n 2"], ...] = ()
    runs: Runs | None = None
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and what was drawn on it.

    Args:
        path: The image's file.
        shapes: In the order in which they are drawn: a later one covers an earlier one.
    """

    path: Path
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class Annotations:
    """What a file or a folder of annotations holds.

    Args:
        images: Those that could be read.
        labels: The classes, in the order in which the annotations name them.
        problems: What is wrong, one line each.
        notes: What is worth knowing, one line each.
    """

    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def fill(shape: Shape, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The pixels whose centres lie inside a shape.

    Args:
        shape: What to draw; what lies beyond the image is cut off.
        size: Height and width of the image.

    Example:
        >>> square = np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]])
        >>> fill(Shape("cell", (square,)), (2, 4)).astype(int)
        array([[0, 1, 1, 0],
               [0, 1, 1, 0]])
    """
    inside = np.zeros(size, bool)
    if shape.runs is not None:
        inside |= decode_runs(shape.runs)
    for ring in shape.rings:
        rows, columns = polygon(ring[:, 1] - 0.5, ring[:, 0] - 0.5, size)
        inside[rows, columns] = True
    return inside


def decode_runs(runs: Runs) -> Bool[np.ndarray, "h w"]:
    """The mask of run lengths.

    Example:
        >>> decode_runs(Runs((1, 2, 3), (2, 3))).astype(int)
        array([[0, 1, 0],
               [1, 0, 0]])
    """
    inside = np.arange(len(runs.lengths)) % 2 == 1
    return np.repeat(inside, runs.lengths).reshape(runs.size[::-1]).T


def draw_objects(shapes: Sequence[Shape], size: tuple[int, int]) -> UInt16[np.ndarray, "h w"]:
    """A mask that numbers the shapes from 1, with `IGNORED` for crowds.

    Raises:
        ValueError: There are more shapes than `LARGEST_ID`.
    """
    if len(shapes) > LARGEST_ID:
        raise ValueError(f"`shapes` must be at most {LARGEST_ID}, got {len(shapes)}.")
    mask = np.zeros(size, np.uint16)
    for number, shape in enumerate(shapes, start=1):
        mask[fill(shape, size)] = IGNORED if shape.crowd else number
    return mask


def draw_classes(shapes: Sequence[Shape], size: tuple[int, int], *, labels: Sequence[str]) -> UInt16[np.ndarray, "h w"]:
    """A mask of classes: 0 where nothing is drawn, else the place of the shape's label among `labels`, from 1."""
    mask = np.zeros(size, np.uint16)
    for shape in shapes:
        mask[fill(shape, size)] = labels.index(shape.label) + 1
    return mask
