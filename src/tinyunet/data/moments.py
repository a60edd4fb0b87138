"""Mean and standard deviation of an image whose rows come one after the other: the same bits however many at once."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Shaped

PIECE = 2**20
"""About how many pixels are looked at together."""


class Moments:
    """Gathers what mean and standard deviation are made of.

    For row i of an image (slice, of a volume) of n pixels, with s_i their sum and m_i the sum of the squared distances
    from their mean,

        mean = sum_i s_i / N,    std^2 = (sum_i m_i + sum_i n (s_i / n - mean)^2) / N,    N = sum_i n

    The sums over rows are exact before they are rounded, so that it does not matter in what portions rows come. Nothing
    is ever subtracted from a sum of squares, so that a small contrast on a large offset survives.

    Example:
        >>> moments = Moments()
        >>> for row in ([[[2], [4]]], [[[6], [8]]]):
        ...     moments.add(np.array(row, np.uint8))
        >>> moments.mean, moments.std
        ((5.0,), (2.23606797749979,))

    References:
        Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37.
    """

    def __init__(self) -> None:
        self._sums: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []
        self._ends: list[np.ndarray] = []
        self._width = 0

    def add(self, rows: Shaped[np.ndarray, "rows *rest c"]) -> None:
        """Takes in whole rows, at least one, all of one shape.

        Args:
            rows: Stored values of any real dtype.
        """
        channels = [
            np.ascontiguousarray(rows[..., c], np.float64).reshape(len(rows), -1) for c in range(rows.shape[-1])
        ]
        self._width = channels[0].shape[1]
        sums = [values.sum(axis=1) for values in channels]
        centred = [values - (total / self._width)[:, None] for values, total in zip(channels, sums, strict=True)]
        self._sums.append(np.stack(sums, axis=-1))
        self._squares.append(np.stack([np.square(values).sum(axis=1) for values in centred], axis=-1))
        self._ends.append(np.array([(values.min(), values.max()) for values in channels]))

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel."""
        sums = np.concatenate(self._sums)
        return tuple(math.fsum(channel) / (len(sums) * self._width) for channel in sums.T)

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel; exactly 0 where it holds one value, which rounding would give a deviation of about 1e-17."""
        sums, squares = np.concatenate(self._sums), np.concatenate(self._squares)
        ends = np.concatenate(self._ends, axis=1)
        found = []
        for c, mean in enumerate(self.mean):
            between = self._width * np.square(sums[:, c] / self._width - mean)
            variance = math.fsum([*squares[:, c], *between]) / (len(sums) * self._width)
            found.append(math.sqrt(variance) if ends[c].min() < ends[c].max() else 0.0)
        return tuple(found)


def pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Rows of an image, some at a time, so that a piece has about `PIECE` pixels.

    Args:
        shape: Pixels along each axis of space.

    Example:
        >>> list(pieces((3, 2**19)))
        [slice(0, 2, None), slice(2, 3, None)]
    """
    rows = max(1, PIECE // math.prod(shape[1:]))
    return (slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows))


def moments_of(rows: Iterable[Shaped[np.ndarray, "_rows ..."]]) -> Moments:
    """The moments of an image whose rows come in portions, at least one."""
    moments = Moments()
    for portion in rows:
        moments.add(portion)
    return moments
