"""Three ways to double the size of a map: transposed convolution, bilinear interpolation, pixel shuffle.

Multiplications for each pixel of the input, from c to d channels in n dimensions:

| option | what it is | cost |
| --- | --- | --- |
| `transpose` | every pixel becomes a block of 2^n pixels; the paper's, and the default | 2^n c d |
| `bilinear` | 1x1 convolution, then interpolation: the cheapest, and smooth | c d |
| `pixel_shuffle` | 3x3 convolution to 2^n d channels, then depth to space: the dearest | 3^n 2^n c d |

An axis may be left as it is; n then counts the others alone.
"""

import math
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from tinyunet.layers import native, paths
from tinyunet.layers.conv import Conv
from tinyunet.layers.correlate import correlate
from tinyunet.layers.factors import axis_factors

Upsampling = Literal["transpose", "bilinear", "pixel_shuffle"]

MADE_UP: dict[Upsampling, int] = {"transpose": 0, "bilinear": 1, "pixel_shuffle": 2}
"""How many pixels at each end of a doubled axis depend on what lies beyond the map."""


def depth_to_space(x: Float[Array, "b *space m"], block: Sequence[int] | None = None) -> Float[Array, "b *fine d"]:
    """Moves groups of channels into the pixels of a block, 2^n of them where all n axes of space are doubled.

        y[b, s p + q, d] = x[b, p, (q_1 ... q_n, d)]      0 <= q < s, the last axis of q varying fastest

    with s the size of the block and products of positions taken axis by axis.

    Args:
        x: Feature maps.
        block: Pixels along each axis of space that one becomes, 1 or 2; all 2 if None.

    Raises:
        ValueError: The channels are not a multiple of the block's pixels, or the block is not 1 or 2 for each axis.

    Example:
        >>> depth_to_space(jnp.arange(4.0).reshape(1, 1, 1, 4))[0, :, :, 0]
        Array([[0., 1.],
               [2., 3.]], dtype=float32)

    References:
        Shi et al. (2016), Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network, section 3.2.
    """
    batch, *space, channels = x.shape
    n, steps = len(space), axis_factors(block, len(space), name="block")
    pixels = math.prod(steps)
    if channels % pixels:
        power = f"2^{steps.count(2)}"
        raise ValueError(
            f"`x` must have a multiple of {pixels} channels to fill blocks of {power} pixels, got {channels}."
        )
    x = x.reshape(batch, *space, *steps, channels // pixels)
    interleaved = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
    fine = (step * size for step, size in zip(steps, space, strict=True))
    return x.transpose(0, *interleaved, 2 * n + 1).reshape(batch, *fine, -1)


def conv_transpose(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], bias: Float[Array, " d"]
) -> Float[Array, "b *fine d"]:
    """Transposed convolution whose stride is its window (`VALID`): where that is two pixels, space doubles.

        y[b, s p + q, d] = bias[d] + sum over c of x[b, p, c] kernel[s - 1 - q, c, d]      0 <= q < s

    with s the window and products of positions taken axis by axis. The blocks do not overlap, so it is one matrix
    product to 2^n d channels, then depth to space. The kernel is turned over on every axis because that is how
    `flax.linen.ConvTranspose` stores it.

    Args:
        x: Feature maps.
        kernel: Weights with a window of two along every axis, or of one along an axis that keeps its size.
        bias: Added to every pixel.

    Where native kernels are installed, a CPU uses those: see `tinyunet.layers.paths`.

    Raises:
        ValueError: The window is not 1 or 2 along each axis.

    Example:
        >>> kernel = jnp.arange(4.0).reshape(2, 2, 1, 1)
        >>> conv_transpose(jnp.ones((1, 1, 1, 1)), kernel, jnp.zeros(1))[0, :, :, 0]
        Array([[3., 2.],
               [1., 0.]], dtype=float32)

    References:
        Ronneberger et al. (2015), U-Net, section 2 ("up-convolution").
    """
    if paths.covers(x, kernel, None):
        return native.conv_transpose(x, kernel, bias, _conv_transpose_by_xla)
    return _conv_transpose_by_xla(x, kernel, bias)


def _conv_transpose_by_xla(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], bias: Float[Array, " d"]
) -> Float[Array, "b *fine d"]:
    *window, channels, features = kernel.shape
    n = len(window)
    turned = jnp.flip(kernel, axis=tuple(range(n)))
    matrix = jnp.moveaxis(turned, n, 0).reshape(*(1,) * n, channels, math.prod(window) * features)
    return depth_to_space(correlate(x, matrix, "same"), window) + bias


def bilinear(
    x: Float[Array, "b *space d"],
    valid: Bool[Array, "b *space 1"] | None = None,
    factors: Sequence[int] | None = None,
) -> Float[Array, "b *fine d"]:
    """Doubles the size by linear interpolation between pixel centres, the border pixels repeated outwards.

        y[2 i] = 3/4 x[i] + 1/4 x[i - 1],     y[2 i + 1] = 3/4 x[i] + 1/4 x[i + 1]      along every axis in turn

    Equal to `jax.image.resize(method="bilinear")`.

    Args:
        x: Feature maps.
        valid: Which pixels lie inside the image; a neighbour outside it is replaced by the pixel itself, exactly as
            at the border of the array.
        factors: 2 for each axis of space that is doubled, 1 for one that is left as it is; all 2 if None.

    Raises:
        ValueError: The factors are not 1 or 2 for each axis.

    Example:
        >>> bilinear(jnp.array([0.0, 4.0]).reshape(1, 2, 1))[0, :, 0]
        Array([0., 1., 3., 4.], dtype=float32)
    """
    for axis, factor in enumerate(axis_factors(factors, x.ndim - 2, name="factors"), start=1):
        if factor == 1:
            continue
        before, after = (_neighbour(x, axis, step) for step in (-1, 1))
        if valid is not None:
            before = jnp.where(_neighbour(valid, axis, -1), before, x)
            after = jnp.where(_neighbour(valid, axis, 1), after, x)
            valid = jnp.repeat(valid, 2, axis)
        pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def _neighbour(x: Array, axis: int, step: int) -> Array:
    """The pixel one step before or after along an axis; beyond the end, the last pixel itself."""
    last = x.shape[axis]
    inner = (slice(None),) * axis
    if step < 0:
        return jnp.concatenate([x[(*inner, slice(0, 1))], x[(*inner, slice(0, last - 1))]], axis)
    return jnp.concatenate([x[(*inner, slice(1, last))], x[(*inner, slice(last - 1, last))]], axis)


class ConvTranspose(nn.Module):
    """`conv_transpose` with parameters named and initialised as `flax.linen.ConvTranspose` does.

    Attributes:
        features: Channels of the result.
        dtype: In what the product is computed; the parameters stay float32.
        block: Pixels along each axis of space that one becomes, 1 or 2; all 2 if None.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    block: Sequence[int] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *fine d"]:
        shape = (*axis_factors(self.block, x.ndim - 2, name="block"), x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        return conv_transpose(x, kernel, bias)


class BilinearUpsample(nn.Module):
    """A 1x1 convolution to `features` channels, then `bilinear`.

    The interpolation's weights sum to one and are the same for all channels, so it commutes with the 1x1 convolution;
    this order takes a quarter (in three dimensions an eighth) of the arithmetic of the other. Attributes as of
    `ConvTranspose`.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    block: Sequence[int] | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], valid: Bool[Array, "b *space 1"] | None = None
    ) -> Float[Array, "b *fine d"]:
        return bilinear(Conv(self.features, (1,) * (x.ndim - 2), dtype=self.dtype)(x), valid, self.block)


class PixelShuffle(nn.Module):
    """A 3x3 convolution to 2^n times `features` channels, then `depth_to_space`.

    With a 1x1 convolution it would be the transposed convolution under another name. Along an axis that is left as it
    is the window has one pixel, and n counts the others alone. Attributes as of `ConvTranspose`.
    """

    features: int
    dtype: DTypeLike = jnp.float32
    block: Sequence[int] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *fine d"]:
        block = axis_factors(self.block, x.ndim - 2, name="block")
        window = [3 if step == 2 else 1 for step in block]
        return depth_to_space(Conv(math.prod(block) * self.features, window, dtype=self.dtype)(x), block)
