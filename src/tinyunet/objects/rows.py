"""Objects in an image whose rows come one after the other: exactly those of the whole, across every border."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int32
from scipy import ndimage

from tinyunet.objects.decode import decode_core, first_pixels
from tinyunet.objects.target import ObjectConfig

OUTSIDE = -1.0
"""Stands for the probability of the core where a pixel belongs to no object."""


class Found(NamedTuple):
    """Objects that are complete.

    Attributes:
        start: The first row (slice, of a volume) that is held.
        instances: Ids from 1, in the rows that are held, of these objects alone.
        before: How many objects were found before these; theirs come after.
    """

    start: int
    instances: Int32[np.ndarray, "rows *rest"]
    before: int


class TooTall(Exception):
    """More rows hang together than may be held; the number of rows is its argument."""


class RowObjects:
    """Finds objects in rows that come in order.

    Connected pixels are decoded once no more of them can come, since what becomes of them depends on them alone (see
    `decode_core`); rows are held while any pixels in them wait for others, and no longer. So the objects are those of
    `decode_objects` of the whole image; only their numbers come in another order, which `numbers` mends.

    Args:
        config: Thresholds, and the sizes of the smallest seed and object.
        most_rows: So many rows are held at most.
        found: Called with objects that are complete, for measuring them.

    Example:
        >>> core = np.array([[0.9, -1, 0.9], [0.9, -1, -1], [-1, -1, 0.9]], np.float32)
        >>> config = ObjectConfig(smallest_seed_px=1, smallest_px=1)
        >>> objects = RowObjects(config, most_rows=10)
        >>> rows = [*objects.add(core[:1]), *objects.add(core[1:]), *objects.end()]
        >>> objects.numbers()[np.concatenate(rows)]
        array([[1, 0, 2],
               [1, 0, 0],
               [0, 0, 3]])
    """

    def __init__(self, config: ObjectConfig, *, most_rows: int, found: Callable[[Found], None] = lambda found: None):
        self._config, self._most, self._found = config, most_rows, found
        self._core: Float32[np.ndarray, rows * rest] | None = None
        self._ids: Int32[np.ndarray, rows * rest] | None = None
        self._start = 0
        self._firsts: list[Int[np.ndarray, " n"]] = []

    @property
    def count(self) -> int:
        """Objects found so far."""
        return sum(map(len, self._firsts))

    def add(self, core: Float32[np.ndarray, "_rows ..."]) -> Iterator[Int32[np.ndarray, "_rows ..."]]:
        """Takes in more rows, and gives those in which nothing waits any more.

        Args:
            core: The probability of the core, `OUTSIDE` where a pixel belongs to no object.

        Yields:
            Ids of objects in the order in which they were found, 0 for none.

        Raises:
            TooTall: More rows would be held than may be.
        """
        fresh = np.zeros(core.shape, np.int32)
        self._core = core.copy() if self._core is None else np.concatenate([self._core, core])
        self._ids = fresh if self._ids is None else np.concatenate([self._ids, fresh])
        yield from self._decode(last=False)
        if len(self._core) > self._most:
            raise TooTall(len(self._core))

    def end(self) -> Iterator[Int32[np.ndarray, "_rows ..."]]:
        """Gives the rows that are left."""
        yield from self._decode(last=True)

    def numbers(self) -> Int[np.ndarray, " n"]:
        """The number of each object in the order of first pixels, by its id; 0 by 0."""
        firsts = np.concatenate([np.zeros(0, np.int64), *self._firsts])
        numbers = np.zeros(len(firsts) + 1, np.int64)
        numbers[1 + np.argsort(firsts)] = np.arange(1, len(firsts) + 1)
        return numbers

    def _decode(self, *, last: bool) -> Iterator[Int32[np.ndarray, "_rows ..."]]:
        """Decodes what is complete, and gives and forgets the rows above what is not."""
        core, ids = self._core, self._ids
        if core is None or ids is None or not len(core):
            return
        inside = core != OUTSIDE
        pieces, count = ndimage.label(inside)
        waits = np.zeros(count + 1, bool)
        if not last:
            waits[pieces[-1]] = True
            waits[0] = False
        waiting = waits[pieces]
        complete = inside & ~waiting
        if complete.any():
            found = decode_core(core, complete, self._config)
            before = self.count
            ids[complete] = np.where(found > 0, found + before, 0)[complete]
            self._firsts.append(first_pixels(found) + self._start * (core.size // len(core)))
            self._found(Found(self._start, found, before))
            core[complete] = OUTSIDE
        held = waiting.reshape(len(waiting), -1).any(axis=1)
        row = int(np.argmax(held)) if held.any() else len(core)
        yield ids[:row]
        self._core, self._ids, self._start = core[row:].copy(), ids[row:].copy(), self._start + row
