"""Three ways to double the size of a map: transposed convolution, bilinear interpolation, pixel shuffle.

Multiplications for each pixel of the input, from c to d channels in n dimensions:

| option | what it is | cost |
| --- | --- | --- |
| `transpose` | every pixel becomes a block of 2^n pixels; the paper's, and the default | 2^n c d |
| `bilinear` | 1x1 convolution, then interpolation: the cheapest, and smooth | c d |
| `pixel_shuffle` | 3x3 convolution to 2^n d channels, then depth to space: the dearest | 3^n 2^n c d |
"""

import math
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from tinyunet.layers.conv import Conv

Upsampling = Literal["transpose", "bilinear", "pixel_shuffle"]


def depth_to_space(x: Float[Array, "b *space m"]) -> Float[Array, "b *twice d"]:
    """Moves 2^n groups of channels into the 2^n pixels of a block, n being the number of spatial axes.

        y[b, 2 p + q, d] = x[b, p, (q_1 ... q_n, d)]      q in {0, 1}^n, the last axis of q varying fastest

    Raises:
        ValueError: The channels are not a multiple of 2^n.

    Example:
        >>> depth_to_space(jnp.arange(4.0).reshape(1, 1, 1, 4))[0, :, :, 0]
        Array([[0., 1.],
               [2., 3.]], dtype=float32)

    References:
        Shi et al. (2016), Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network, section 3.2.
    """
    batch, *space, channels = x.shape
    n = len(space)
    if channels % 2**n:
        raise ValueError(f"`x` must have a multiple of {2**n} channels to fill blocks of 2^{n} pixels, got {channels}.")
    x = x.reshape(batch, *space, *(2,) * n, channels // 2**n)
    interleaved = [axis for i in range(n) for axis in (1 + i, 1 + n + i)]
    return x.transpose(0, *interleaved, 2 * n + 1).reshape(batch, *(2 * size for size in space), -1)


def conv_transpose(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], bias: Float[Array, " d"]
) -> Float[Array, "b *twice d"]:
    """Transposed convolution with a window of two pixels and stride two (`VALID`): space doubles.

        y[b, 2 p + q, d] = bias[d] + sum over c of x[b, p, c] kernel[1 - q, c, d]      q in {0, 1}^n

    The blocks do not overlap, so it is one matrix product to 2^n d channels, then depth to space. The kernel is
    turned over on every axis because that is how `flax.linen.ConvTranspose` stores it.

    Args:
        x: Feature maps.
        kernel: Weights with a window of two along every axis.
        bias: Added to every pixel.

    Example:
        >>> kernel = jnp.arange(4.0).reshape(2, 2, 1, 1)
        >>> conv_transpose(jnp.ones((1, 1, 1, 1)), kernel, jnp.zeros(1))[0, :, :, 0]
        Array([[3., 2.],
               [1., 0.]], dtype=float32)

    References:
        Ronneberger et al. (2015), U-Net, section 2 ("up-convolution").
    """
    *window, channels, features = kernel.shape
    n = len(window)
    turned = jnp.flip(kernel, axis=tuple(range(n)))
    matrix = jnp.moveaxis(turned, n, 0).reshape(channels, math.prod(window) * features)
    return depth_to_space(x @ matrix) + bias


def bilinear(
    x: Float[Array, "b *space d"], valid: Bool[Array, "b *space 1"] | None = None
) -> Float[Array, "b *twice d"]:
    """Doubles the size by linear interpolation between pixel centres, the border pixels repeated outwards.

        y[2 i] = 3/4 x[i] + 1/4 x[i - 1],     y[2 i + 1] = 3/4 x[i] + 1/4 x[i + 1]      along every axis in turn

    Equal to `jax.image.resize(method="bilinear")`.

    Args:
        x: Feature maps.
        valid: Which pixels lie inside the image; a neighbour outside it is replaced by the pixel itself, exactly as
            at the border of the array.

    Example:
        >>> bilinear(jnp.array([0.0, 4.0]).reshape(1, 2, 1))[0, :, 0]
        Array([0., 1., 3., 4.], dtype=float32)
    """
    for axis in range(1, x.ndim - 1):
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
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *twice d"]:
        shape = (*(2,) * (x.ndim - 2), x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        return conv_transpose(x, kernel, bias)


class BilinearUpsample(nn.Module):
    """A 1x1 convolution to `features` channels, then `bilinear`.

    The interpolation's weights sum to one and are the same for all channels, so it commutes with the 1x1 convolution;
    this order takes a quarter (in three dimensions an eighth) of the arithmetic of the other.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], valid: Bool[Array, "b *space 1"] | None = None
    ) -> Float[Array, "b *twice d"]:
        return bilinear(Conv(self.features, (1,) * (x.ndim - 2), dtype=self.dtype)(x), valid)


class PixelShuffle(nn.Module):
    """A 3x3 convolution to 2^n times `features` channels, then `depth_to_space`.

    With a 1x1 convolution it would be the transposed convolution under another name.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *twice d"]:
        n = x.ndim - 2
        return depth_to_space(Conv(2**n * self.features, (3,) * n, dtype=self.dtype)(x))
