"""Images that show the same: found among all images of a data set by small sketches of them."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

SIDE = 24
"""Height and width of a sketch, in pixels."""

ALIKE = 0.995
"""From which correlation of their sketches two images are taken for near-duplicates."""

MOST = 10_000
"""About so many pairs are named at most: of a film, every two images may look the same."""

_BLOCK = 512  # images compared at a time, so that memory stays small


def sketch(image: Shaped[np.ndarray, "*space c"]) -> Float32[np.ndarray, " n"] | None:
    """An image in a few numbers: its brightness in `SIDE` x `SIDE` cells, without its mean and of length 1.

    Gain, offset, noise and a small change of size hardly move it. A volume is sketched as it is seen from above.

    Args:
        image: Pixels as stored.

    Returns:
        None for an image that is the same everywhere, which is like no other.

    Example:
        >>> one = np.arange(6.0).reshape(2, 3, 1)
        >>> float(sketch(one) @ sketch(5 * one + 2)).__round__(3)
        1.0
    """
    cells = area_means(brightness_of(image), (SIDE, SIDE)).ravel()
    cells -= cells.mean()
    length = float(np.linalg.norm(cells))
    return (cells / length).astype(np.float32) if length > 1e-9 * max(1.0, float(np.abs(image).max())) else None


def brightness_of(image: Shaped[np.ndarray, "*space c"]) -> Float64[np.ndarray, "h w"]:
    """The mean over the channels, of a volume seen from above.

    Example:
        >>> brightness_of(np.array([[[[1, 3], [2, 2]]], [[[2, 4], [6, 8]]]]))
        array([[2.5, 4.5]])
    """
    return projection(image.mean(axis=-1, dtype=np.float64))


def projection(values: Shaped[np.ndarray, "*space"]) -> Float64[np.ndarray, "h w"]:
    """A volume seen from above, as the mean over its slices; an image of two axes stays as it is.

    Example:
        >>> projection(np.array([[[True, False]], [[True, True]]]))
        array([[1. , 0.5]])
    """
    return values.reshape(-1, *values.shape[-2:]).mean(axis=0, dtype=np.float64)


def area_means(values: Float[np.ndarray, "h w"], shape: tuple[int, int]) -> Float[np.ndarray, "y x"]:
    """Means over the cells of a grid laid over an image; of a small image, some pixels fill several cells.

    Example:
        >>> area_means(np.array([[0.0, 2.0, 4.0, 6.0]]), (1, 2))
        array([[1., 5.]])
    """
    for axis, cells in enumerate(shape):
        size = values.shape[axis]
        if size < cells:
            values = np.take(values, np.arange(cells) * size // cells, axis=axis)
            continue
        step = size // cells
        if cells * step == size and step <= 8:  # the usual case, many times as fast
            parts = [values[k::step] if axis == 0 else values[:, k::step] for k in range(step)]
            values = np.add.reduce(parts) / step
            continue
        starts = np.arange(cells) * size // cells
        counts = np.diff([*starts, size])
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / (counts[:, None] if axis == 0 else counts[None, :])
    return values


def lookalikes(sketches: Sequence[Float32[np.ndarray, " n"] | None]) -> list[tuple[int, int]]:
    """Pairs of positions, the smaller first, of the images whose sketches correlate by `ALIKE` or more.

    Time grows with the square of their number, memory with the number itself: the search ends with the `MOST`th pair.

    Args:
        sketches: One for each image; images without one are like no other.

    Example:
        >>> a, b = np.float32([1, 0]), np.float32([0, 1])
        >>> lookalikes([a, b, None, a])
        [(0, 3)]
    """
    places = np.array([i for i, one in enumerate(sketches) if one is not None], np.int64)
    if len(places) < 2:
        return []
    rows = np.stack([one for one in sketches if one is not None])
    found: list[tuple[int, int]] = []
    for start in range(0, len(rows), _BLOCK):
        first, second = np.nonzero(rows[start : start + _BLOCK] @ rows.T >= ALIKE)
        later = second > first + start
        pairs = zip(places[first[later] + start], places[second[later]], strict=True)
        found += [(int(a), int(b)) for a, b in islice(pairs, MOST - len(found))]
        if len(found) >= MOST:
            break
    return found
