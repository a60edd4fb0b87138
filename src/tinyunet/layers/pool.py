"""Max-pooling by two, or along some axes not at all."""

import itertools
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from tinyunet.layers.factors import axis_factors


def max_pool(x: Float[Array, "b *space d"], window: Sequence[int] | None = None) -> Float[Array, "b *pooled d"]:
    """Maximum over windows of two pixels along every axis of space, stride two, nothing padded (`VALID`).

        y[b, p, d] = max over q in {0, 1}^n of x[b, 2 p + q, d]

    Computed as the maximum of the 2^n strided slices, which fuses, where XLA's windowed reduction on a CPU and above
    all its gradient (`select_and_scatter`) do not: 6 ms against 145 ms forward and backward at (4, 256, 256, 16).

    The value is exactly that of `flax.linen.max_pool`. So is the gradient wherever the maximum of a window is unique.
    At ties, which a ReLU makes common at zero, both are subgradients, but not the same: the stock operation gives all
    of it to the first of the equal pixels, [1, 0, 0, 0], this one halves it at every comparison of two, so that four
    equal pixels get [1/4, 1/4, 1/4, 1/4].

    Args:
        x: Feature maps; a last odd row or column is dropped, as `VALID` does.
        window: For each axis of space its window and stride, 2, or 1 where it is left as it is; all 2 if None.

    Raises:
        ValueError: The window is not one of 1 or 2 for each axis.

    Example:
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
        Array([[ 5.,  7.],
               [13., 15.]], dtype=float32)
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (1, 2))[0, :, :, 0].shape
        (4, 2)
    """
    steps = axis_factors(window, x.ndim - 2, name="window")
    pooled = [size // step for size, step in zip(x.shape[1:-1], steps, strict=True)]
    # Pairs of neighbours along the last axis are compared first: max(max(a, b), max(c, d)).
    slices = [
        x[(slice(None), *(slice(o, o + s * (n - 1) + 1, s) for o, s, n in zip(offset, steps, pooled, strict=True)))]
        for offset in itertools.product(*(range(step) for step in steps))
    ]
    while len(slices) > 1:
        slices = [jnp.maximum(a, b) for a, b in zip(slices[::2], slices[1::2], strict=True)]
    return slices[0]
