"""The rows of an image that bands of tiles need, each read once although bands overlap."""

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.lazy import LazyImage
from tinyunet.data.regions import Box


class RowWindow:
    """An image of which the rows (slices, of a volume) that were last asked for are held, in their whole length.

    Rows that are asked for again are not read again, as long as what is asked for moves forward.

    Args:
        image: Where the rows are read.
    """

    def __init__(self, image: LazyImage):
        self._image = image
        self._start, self._rows = 0, np.empty((0, *image.shape[1:]), image.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole image, channels last."""
        return self._image.shape

    def __getitem__(self, key: Box) -> Shaped[np.ndarray, "*part c"]:
        """The pixels of a region: a view of the rows that are held, not to be written to."""
        rows, *across = key
        stop = self._start + len(self._rows)
        if rows.start < self._start or rows.stop > stop:
            kept = self._rows[rows.start - self._start :] if self._start <= rows.start < stop else self._rows[:0]
            everything = (slice(0, size) for size in self.shape[1:-1])
            read = self._image[(slice(rows.start + len(kept), rows.stop), *everything)]
            self._rows = np.concatenate([kept, read]) if len(kept) else read
            self._start = rows.start
        return self._rows[(slice(rows.start - self._start, rows.stop - self._start), *across)]
