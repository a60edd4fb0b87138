"""How many objects the masks number, and how large they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERCENTS = (5, 50, 95)
"""The percentiles of the sizes that are given."""


@dataclass(frozen=True)
class ObjectSizes:
    """Numbers of objects and their sizes.

    Args:
        count: Objects in all masks.
        per_image: Fewest, median and most of them in a mask.
        pixels: Area, or volume, in pixels: the 5th, 50th and 95th percentile over all objects.
        diameter: Of a disc, or a ball, of so many pixels: in pixels.
    """

    count: int
    per_image: tuple[int, float, int]
    pixels: tuple[float, float, float]
    diameter: tuple[float, float, float]


def object_sizes(masks: Sequence[tuple[Sequence[int], int]], *, dimensions: int) -> ObjectSizes | None:
    """The numbers of all masks together.

    Args:
        masks: Of each mask the pixels of its objects, as far as they are known, and how many further objects it has.
        dimensions: Axes of space: 2 or 3.

    Returns:
        None where there is no object.

    Example:
        >>> found = object_sizes([([4, 4, 100], 0), ([], 0), ([4], 0)], dimensions=2)
        >>> found.count, found.per_image, found.pixels[1], round(found.diameter[1], 2)
        (4, (0, 1.0, 3), 4.0, 2.26)
    """
    sizes = [size for known, _ in masks for size in known]
    if not sizes:
        return None
    counts = [len(known) + more for known, more in masks]
    low, middle, high = (float(x) for x in np.percentile(sizes, PERCENTS, method="nearest"))
    return ObjectSizes(
        count=sum(counts),
        per_image=(min(counts), float(np.median(counts)), max(counts)),
        pixels=(low, middle, high),
        diameter=(
            equivalent_diameter(low, dimensions),
            equivalent_diameter(middle, dimensions),
            equivalent_diameter(high, dimensions),
        ),
    )


def equivalent_diameter(pixels: float, dimensions: int) -> float:
    """The diameter of the disc, or the ball, of so many pixels: 2 √(A/π), or (6 V/π)^⅓.

    Example:
        >>> round(equivalent_diameter(math.pi, 2), 9), round(equivalent_diameter(math.pi / 6, 3), 9)
        (2.0, 1.0)
    """
    return 2 * math.sqrt(pixels / math.pi) if dimensions == 2 else math.cbrt(6 * pixels / math.pi)
