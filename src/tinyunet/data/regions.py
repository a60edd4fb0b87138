"""Parts of stored arrays: what formats that can be read by region offer, and where damage lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Box = tuple[slice, ...]
"""A start and a stop along each axis."""

Damage = Callable[[Box, str], None]
"""Told of a part that cannot be decoded and why: raises, or lets zeros stand for it."""


@dataclass(frozen=True)
class Regions:
    """A stored array of which parts are read.

    Args:
        letters: What each stored axis is, a letter of zyxc, or "" for one that is a single page.
        shape: Of the array as stored.
        dtype: Of the values that are read, in the machine's byte order.
        read: From a box in stored axes to its values. Whatever cannot be decoded is told to the `Damage` given.
        close: To be called when nothing more is to be read.
    """

    letters: Sequence[str]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Box, Damage], np.ndarray]
    close: Callable[[], object]


def overlap(box: Box, other: Box) -> Box:
    """The part that two boxes share, as a box; empty along an axis where they share nothing.

    Example:
        >>> overlap((slice(0, 5),), (slice(3, 9),))
        (slice(3, 5, None),)
    """
    starts = [max(a.start, b.start) for a, b in zip(box, other, strict=True)]
    stops = [min(a.stop, b.stop) for a, b in zip(box, other, strict=True)]
    return tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))


def within(box: Box, around: Box) -> Box:
    """A box in the coordinates of one around it.

    Example:
        >>> within((slice(3, 5),), (slice(2, 9),))
        (slice(1, 3, None),)
    """
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, around, strict=True))


def box_text(box: Box) -> str:
    """Where a box of space lies, in words.

    Example:
        >>> box_text((slice(256, 512), slice(0, 1)))
        'rows 256 to 511, column 0'
    """
    names = ("slice", "row", "column")[-len(box) :]
    return ", ".join(
        f"{name} {part.start}" if part.stop == part.start + 1 else f"{name}s {part.start} to {part.stop - 1}"
        for name, part in zip(names, box, strict=True)
    )
