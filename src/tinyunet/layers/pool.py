"""Max-pooling by two."""

import itertools

import jax.numpy as jnp
from jaxtyping import Array, Float


def max_pool(x: Float[Array, "b *space d"]) -> Float[Array, "b *half d"]:
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

    Example:
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
        Array([[ 5.,  7.],
               [13., 15.]], dtype=float32)
    """
    half = [size // 2 for size in x.shape[1:-1]]
    # Pairs of neighbours along the last axis are compared first: max(max(a, b), max(c, d)).
    slices = [
        x[(slice(None), *(slice(o, o + 2 * n - 1, 2) for o, n in zip(offset, half, strict=True)))]
        for offset in itertools.product((0, 1), repeat=len(half))
    ]
    while len(slices) > 1:
        slices = [jnp.maximum(a, b) for a, b in zip(slices[::2], slices[1::2], strict=True)]
    return slices[0]
