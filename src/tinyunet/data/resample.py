"""Images to another spacing of their pixels and back, axis by axis."""

import numpy as np
from jaxtyping import Float, Float32, Integer, Shaped
from scipy.ndimage import gaussian_filter1d

_SAME = 0.01
"""Spacings that differ by less than this part are the same: nothing is resampled."""


def resampled_shape(shape: tuple[int, ...], spacing: tuple[float, ...], wanted: tuple[float, ...]) -> tuple[int, ...]:
    """How many pixels an image has along each axis once they have another size.

        size' = round(size spacing / spacing'),   at least 1

    An axis whose spacing differs by less than a hundredth keeps its pixels.

    Args:
        shape: Pixels along each axis of space.
        spacing: Size of a pixel along each of them.
        wanted: The size they shall have, in the same unit.

    Example:
        >>> resampled_shape((10, 64, 64), (5.0, 1.0, 1.0), (2.5, 1.0, 1.005))
        (20, 64, 64)
    """
    return tuple(
        size if abs(have / want - 1) < _SAME else max(1, round(size * have / want))
        for size, have, want in zip(shape, spacing, wanted, strict=True)
    )


def resample_image(image: Shaped[np.ndarray, "*space c"], shape: tuple[int, ...]) -> Float32[np.ndarray, "*out c"]:
    """An image with another number of pixels for the same extent, linear between pixel centres.

        y[j] = x((j + 1/2) n / n' - 1/2)      along every axis in turn, the border pixels repeated outwards

    Where pixels become fewer, the image is smoothed first, with a Gaussian of (n / n' - 1) / 2 pixels, so that fine
    detail does not turn into false coarse detail.

    Args:
        image: Values, or probabilities, whose sum over the channels is kept.
        shape: Pixels along each axis of the result.

    Example:
        >>> resample_image(np.array([[0.0], [4.0]]), (4,))[:, 0]
        array([0., 1., 3., 4.], dtype=float32)
    """
    result = image.astype(np.float32)
    for axis, wanted in enumerate(shape):
        size = result.shape[axis]
        if wanted == size:
            continue
        if wanted < size:
            result = gaussian_filter1d(result, (size / wanted - 1) / 2, axis=axis, mode="nearest")
        position = np.clip(_centres(size, wanted), 0, size - 1)
        before = np.minimum(position.astype(np.int64), max(0, size - 2))
        weight = (position - before).astype(np.float32).reshape(-1, *(1,) * (result.ndim - axis - 1))
        first, second = (np.take(result, np.minimum(before + step, size - 1), axis=axis) for step in (0, 1))
        result = first + weight * (second - first)
    return result


def resample_labels(labels: Integer[np.ndarray, "*space"], shape: tuple[int, ...]) -> Integer[np.ndarray, "*out"]:
    """Labels with another number of pixels for the same extent: each takes the nearest, so that none is mixed.

    Example:
        >>> resample_labels(np.array([7, 9]), (4,))
        array([7, 7, 9, 9])
    """
    for axis, wanted in enumerate(shape):
        size = labels.shape[axis]
        if wanted != size:
            nearest = np.clip(np.floor(_centres(size, wanted) + 0.5), 0, size - 1).astype(np.int64)
            labels = np.take(labels, nearest, axis=axis)
    return labels


def _centres(size: int, wanted: int) -> Float[np.ndarray, " n"]:
    """Where the centres of `wanted` pixels lie among `size` pixels of the same extent."""
    return (np.arange(wanted) + 0.5) * size / wanted - 0.5
