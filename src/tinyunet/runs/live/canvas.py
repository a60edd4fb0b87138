"""The paint on one image, and where it lies: what was painted where, and when."""

import threading

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

UNPAINTED = 255
"""What a pixel holds that nobody has painted."""

UNCHANGED = 254
"""What a pixel of a stroke holds that leaves the one below as it is."""

MOST_CLASSES = 64
"""So many classes can be painted."""

BLOCK = 16
"""Side in pixels of the squares that paint is counted in."""


class Canvas:
    """The labels of one image, one byte for each pixel, and how much paint of each class lies in each block.

    Several threads may use it at once.

    Args:
        shape: Height and width in pixels.
        labels: What is painted already: class ids and `UNPAINTED`; None for nothing.
        revision: Strokes before.

    Attributes:
        revision: Counts the strokes.

    Example:
        >>> canvas = Canvas((4, 4))
        >>> canvas.merge((1, 1), np.array([[0, UNCHANGED], [1, 1]], np.uint8))
        >>> canvas.painted, canvas.counts.sum(axis=(1, 2))[:2].tolist()
        (3, [1, 2])
    """

    def __init__(self, shape: tuple[int, int], labels: UInt8[np.ndarray, "h w"] | None = None, *, revision: int = 0):
        self.shape = shape
        self.revision = revision
        self._lock = threading.Lock()
        # Most images are never painted; theirs take no memory.
        self._labels = None if labels is None else labels.copy()
        across = tuple(-(-side // BLOCK) for side in shape)
        # Classes are few; rows of blocks are added when a class is painted first.
        self.counts: Int[np.ndarray, "k by bx"] = np.zeros((0, *across), np.int32)
        self.painted_at: Float[np.ndarray, "by bx"] = np.full(across, -np.inf)
        if labels is not None:
            self._count((slice(0, across[0]), slice(0, across[1])))

    @property
    def painted(self) -> int:
        """Painted pixels."""
        return int(self.counts.sum())

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that are painted somewhere."""
        return tuple(k for k, counts in enumerate(self.counts) if counts.any())

    @property
    def labels(self) -> UInt8[np.ndarray, "h w"]:
        """A copy of all labels."""
        return self.snapshot()[0]

    def snapshot(self) -> tuple[UInt8[np.ndarray, "h w"], int]:
        """A copy of all labels, and their revision."""
        with self._lock:
            if self._labels is None:
                return np.full(self.shape, UNPAINTED, np.uint8), self.revision
            return self._labels.copy(), self.revision

    def cut(self, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]) -> UInt8[np.ndarray, "n m"]:
        """The labels at these rows and columns."""
        with self._lock:
            if self._labels is None:
                return np.full((len(rows), len(columns)), UNPAINTED, np.uint8)
            return self._labels[np.ix_(rows, columns)]

    def merge(self, corner: tuple[int, int], stroke: UInt8[np.ndarray, "h w"], *, now: float = 0.0) -> None:
        """Paints a rectangle, pixel by pixel.

        Args:
            corner: The first row and column of the stroke, which lies inside the image.
            stroke: Class ids, `UNPAINTED` to erase, `UNCHANGED` to leave a pixel as it is.
            now: When, in steps of the training; what is newer is learnt first.

        Raises:
            ValueError: The stroke reaches beyond the image.
        """
        (top, left), (height, width) = corner, stroke.shape
        if min(top, left) < 0 or top + height > self.shape[0] or left + width > self.shape[1]:
            raise ValueError(f"`stroke` must lie inside the image of {self.shape}, got {stroke.shape} at {corner}.")
        blocks = slice(top // BLOCK, -(-(top + height) // BLOCK)), slice(left // BLOCK, -(-(left + width) // BLOCK))
        with self._lock:
            if self._labels is None:
                self._labels = np.full(self.shape, UNPAINTED, np.uint8)
            below = self._labels[top : top + height, left : left + width]
            new = stroke != UNCHANGED
            np.copyto(below, stroke, where=new)
            self._count(blocks)
            # Blocks do not begin where the stroke does: the first of them reaches out above and to the left.
            aside = np.pad(new, ((top % BLOCK, 0), (left % BLOCK, 0)))
            self.painted_at[blocks][_blockwise(aside) > 0] = now
            self.revision += 1

    def _count(self, blocks: tuple[slice, slice]) -> None:
        """Counts anew what lies in some blocks."""
        rows, columns = (
            slice(block.start * BLOCK, min(block.stop * BLOCK, side))
            for block, side in zip(blocks, self.shape, strict=True)
        )
        assert self._labels is not None
        labels = self._labels[rows, columns]
        present = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256)[:MOST_CLASSES])
        if len(present) and (missing := present[-1] + 1 - len(self.counts)) > 0:
            self.counts = np.concatenate([self.counts, np.zeros((missing, *self.counts.shape[1:]), np.int32)])
        self.counts[:, blocks[0], blocks[1]] = 0
        for k in present:
            self.counts[k, blocks[0], blocks[1]] = _blockwise(labels == k)


def _blockwise(pixels: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "by bx"]:
    """How many pixels of each block are true."""
    rows = np.add.reduceat(pixels, np.arange(0, pixels.shape[0], BLOCK), axis=0, dtype=np.int32)
    return np.add.reduceat(rows, np.arange(0, pixels.shape[1], BLOCK), axis=1)
