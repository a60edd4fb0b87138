"""Convolution with stride 1, and the linen module that holds its parameters."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Padding = Literal["same", "valid"]


def convolve(
    x: Float[Array, "b *space c"],
    kernel: Float[Array, "*window c d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding = "same",
) -> Float[Array, "b *out d"]:
    """Cross-correlation with stride 1, channels last, plus a bias.

        y[b, p, d] = bias[d] + sum over q and c of x[b, p + q - o, c] kernel[q, c, d]

    with p and q positions in space and in the window, and o = (window - 1) // 2 for `same`, 0 for `valid`. Outside
    the image x is zero. A window of one pixel is a matrix product and is computed as one: on a CPU that takes a third
    of the time of XLA's convolution.

    Args:
        x: Feature maps of one, two or three spatial dimensions.
        kernel: Weights; the window's axes first.
        bias: Added to every pixel.
        padding: `same` keeps the size, `valid` loses window - 1 pixels on each axis.

    Example:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> convolve(x, jnp.ones((3, 3, 1, 1)), jnp.zeros(1))[0, :, :, 0]
        Array([[6., 6.],
               [6., 6.]], dtype=float32)
    """
    window = kernel.shape[:-2]
    if all(size == 1 for size in window):
        return x @ kernel.reshape(kernel.shape[-2:]) + bias
    space = "DHW"[-len(window) :]
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * len(window),
        padding=padding.upper(),
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
    )
    return y + bias


class Conv(nn.Module):
    """`convolve` with parameters `kernel` and `bias`, named and initialised as `flax.linen.Conv` does.

    Attributes:
        features: Channels of the result.
        window: Size of the kernel along each axis of space.
        padding: `same` or `valid`.
        dtype: In what the sum is computed; the parameters stay float32.
    """

    features: int
    window: Sequence[int]
    padding: Padding = "same"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        shape = (*self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        return convolve(x, kernel, bias, padding=self.padding)
