"""Reading an image or its labels at coordinates: linear or nearest, mirrored at the borders of the window."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

Coordinates = tuple[Float[Array, "*patch"], ...]
"""One array for each axis, in pixels. Stacked into one, XLA takes twice as long on a CPU to read the pixels."""


def sample_linear(image: Float[Array, "*space c"], coordinates: Coordinates) -> Float[Array, "*patch c"]:
    """Image values at coordinates, linear along each axis between pixels and mirrored about the outermost ones.

    At a whole coordinate the value is that of the pixel, bit for bit.

    Args:
        image: Finite values.
        coordinates: Beyond [0, n - 1], along an axis of n pixels, the image continues as its mirror image.

    Returns:
        The values, between the smallest and the largest of the image up to rounding.

    Example:
        >>> rows, columns = jnp.zeros((1, 3)), jnp.array([[0.25, 1.0, 1.5]])
        >>> sample_linear(jnp.array([[[0.0], [4.0]]]), (rows, columns)).ravel().tolist()
        [1.0, 4.0, 2.0]
    """
    *space, channels = image.shape
    folded = [_mirror(q, size) for q, size in zip(coordinates, space, strict=True)]
    lower = [jnp.clip(jnp.floor(q), 0, max(size - 2, 0)) for q, size in zip(folded, space, strict=True)]
    shares = [(q - low)[..., None] for q, low in zip(folded, lower, strict=True)]
    # One index into flat pixels and constant steps to the neighbours: many times faster on a CPU than index tuples, or
    # than gathering 2x2 patches. A single row or column is its own neighbour.
    steps = [stride if size > 1 else 0 for stride, size in zip(_strides(space), space, strict=True)]
    pixels = image.reshape(-1, channels)

    def between(axis: int, index: Int32[Array, "*patch"]) -> Float[Array, "*patch c"]:
        """The value between two neighbours along `axis`, each of which lies between neighbours along later axes."""
        if axis == len(space):
            return _take(pixels, index)
        near, far = between(axis + 1, index), between(axis + 1, index + steps[axis])
        return (1 - shares[axis]) * near + shares[axis] * far

    return between(0, _flat_index([low.astype(jnp.int32) for low in lower], space))


def sample_nearest(labels: Int32[Array, "*space"], coordinates: Coordinates) -> Int32[Array, "*patch"]:
    """Label of the pixel nearest to each coordinate, mirrored about the outermost pixels.

    Args:
        labels: Class ids, or any other integers such as -1 for a pixel that takes no part: none is ever mixed.
        coordinates: As for `sample_linear`. Half-way between two pixels, the one with the larger position wins.

    Returns:
        The labels, each one that occurs in `labels`.

    Example:
        >>> rows, columns = jnp.zeros((1, 3)), jnp.array([[0.4, 0.6, 1.7]])
        >>> sample_nearest(jnp.array([[7, -1]]), (rows, columns)).tolist()
        [[7, -1, 7]]
    """
    nearest = [
        jnp.floor(_mirror(q, size) + 0.5).astype(jnp.int32) for q, size in zip(coordinates, labels.shape, strict=True)
    ]
    return _take(labels.reshape(-1), _flat_index(nearest, labels.shape))


def _strides(space: Sequence[int]) -> list[int]:
    """Steps between neighbours along each axis, in an image whose pixels lie in one row."""
    return [math.prod(space[axis + 1 :]) for axis in range(len(space))]


def _flat_index(positions: Sequence[Int32[Array, "*patch"]], space: Sequence[int]) -> Int32[Array, "*patch"]:
    """Where pixels lie in that row."""
    first, *others = (q * stride for q, stride in zip(positions, _strides(space), strict=True))
    return sum(others, start=first)


def _take(pixels: Array, index: Int32[Array, "*patch"]) -> Array:
    """Pixels at an index that `_mirror` has already kept inside, so that nothing checks it again."""
    return pixels.at[index].get(mode="promise_in_bounds")


def _mirror(coordinate: Float[Array, "*patch"], size: int) -> Float[Array, "*patch"]:
    """Fold a coordinate into [0, size - 1]: a triangle wave of period 2 (size - 1), exact for whole numbers."""
    last = size - 1
    if last == 0:
        return jnp.zeros_like(coordinate)
    phase = coordinate - 2 * last * jnp.floor(coordinate / (2 * last))
    # A rounded quotient can miss the period by one; the wave is continuous there, and the clip takes the last bit.
    return jnp.clip(last - jnp.abs(phase - last), 0, last)
