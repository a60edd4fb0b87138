"""Convolution with stride 1, and the linen module that holds its parameters."""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from tinyunet.layers import native, paths
from tinyunet.layers.correlate import Padding, correlate


def convolve(
    x: Float[Array, "b *space c"],
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding = "same",
    more: Float[Array, "b *space e"] | None = None,
) -> Float[Array, "b *out d"]:
    """Cross-correlation with stride 1, channels last, plus a bias.

        y[b, p, d] = bias[d] + sum over q and c of x[b, p + q - o, c] kernel[q, c, d]

    with p and q positions in space and in the window, and o = (window - 1) // 2 for `same`, 0 for `valid`. Outside
    the image x is zero. A window of one pixel is a matrix product and is computed as one: on a CPU that takes a third
    of the time of XLA's convolution. A volume is convolved as a batch of its slices: XLA's convolution of three axes on
    a CPU takes three to ten times as long, and its gradient longer still. Where native kernels are installed, a CPU
    uses those: see `tinyunet.layers.paths`.

    Args:
        x: Feature maps of one, two or three spatial dimensions.
        kernel: Weights; the window's axes first, of any size each.
        bias: Added to every pixel.
        padding: `same` keeps the size, `valid` loses window - 1 pixels on each axis.
        more: Further channels of the same maps, as if concatenated to those of x; f counts both.

    Example:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> convolve(x, jnp.ones((3, 3, 1, 1)), jnp.zeros(1))[0, :, :, 0]
        Array([[6., 6.],
               [6., 6.]], dtype=float32)
    """
    if all(size == 1 for size in kernel.shape[:-2]):
        kernel = kernel.reshape(*(1,) * (x.ndim - 2), *kernel.shape[-2:])
    if paths.covers(x, kernel, padding):
        return native.convolve(x, more, kernel, bias, padding, partial(convolve_by_xla, padding=padding))
    return convolve_by_xla(x, more, kernel, bias, padding=padding)


def convolve_by_xla(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding,
) -> Float[Array, "b *out d"]:
    """`convolve`, whatever is installed."""
    return products_by_xla(x, more, kernel, padding=padding) + bias


def products_by_xla(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    *,
    padding: Padding,
) -> Float[Array, "b *out d"]:
    """The same without the bias."""
    if kernel.ndim == 5 and set(kernel.shape[:3]) != {1}:
        return _correlate_volume(x if more is None else jnp.concatenate([x, more], axis=-1), kernel, padding)
    return correlate(x, kernel, padding, more)


def _correlate_volume(
    x: Float[Array, "b z h w c"], kernel: Float[Array, "m i j c d"], padding: Padding
) -> Float[Array, "b oz oh ow d"]:
    """The same for volumes, by one convolution of all slices, whichever side has fewer channels made m times as wide.

    Either m neighbouring slices become the channels of one, or every slice gives its share to m slices at once, and
    the shares are added up. Along depth the window then has one pixel.
    """
    taps, *window, channels, features = kernel.shape
    around = ((taps - 1) // 2, taps // 2) if padding == "same" else (0, 0)
    slices = max(0, x.shape[1] + sum(around) - taps + 1)
    if channels <= features:
        x = _pad_depth(x, around)
        x = jnp.concatenate([x[:, m : m + slices] for m in range(taps)], axis=-1)
        wide = jnp.moveaxis(kernel, 0, -3).reshape(*window, taps * channels, features)
        return _correlate_slices(x, wide, padding)
    wide = jnp.moveaxis(kernel, 0, -2).reshape(*window, channels, taps * features)
    shares = _pad_depth(_correlate_slices(x, wide, padding), around)
    first, *others = (shares[:, m : m + slices, ..., m * features : (m + 1) * features] for m in range(taps))
    return sum(others, start=first)


def _correlate_slices(
    x: Float[Array, "b z h w c"], kernel: Float[Array, "i j c d"], padding: Padding
) -> Float[Array, "b z oh ow d"]:
    """Every slice on its own."""
    y = correlate(x.reshape(-1, *x.shape[2:]), kernel, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def _pad_depth(x: Float[Array, "b z h w c"], around: tuple[int, int]) -> Float[Array, "b wide h w c"]:
    """Slices of zeros before the first and after the last."""
    return jnp.pad(x, ((0, 0), around, (0, 0), (0, 0), (0, 0))) if any(around) else x


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

    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        """Convolves maps of any type in `dtype`."""
        x = x.astype(self.dtype)
        return convolve(x, *self.weights(x.shape[-1]), padding=self.padding)

    @nn.compact
    def weights(self, channels: int) -> tuple[Float[Array, "*window c d"], Float[Array, " d"]]:
        """Kernel and bias for maps of so many channels, in `dtype`."""
        shape = (*self.window, channels, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return kernel.astype(self.dtype), bias.astype(self.dtype)
