"""The block that every stage of the U-Net is made of."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from tinyunet.layers import native, paths
from tinyunet.layers.conv import Conv, convolve, convolve_by_xla, products_by_xla
from tinyunet.layers.correlate import Padding
from tinyunet.layers.norm import EPSILON, BatchNorm, Norm, normalise, normalise_relu
from tinyunet.layers.pool import max_pool


class ConvBlock(nn.Module):
    """Convolution 3x3, normalisation, ReLU; `convs` times.

    Attributes:
        features: Channels of the result.
        convs: Number of convolutions: 1 in the seed, 2 in the 2015 paper.
        norm: See `tinyunet.layers.norm`.
        padding: `same` keeps the size; `valid` loses two pixels per convolution on each axis.
        residual: Adds the input to the result before the last ReLU, through a 1x1 convolution where channels differ
            (He et al. 2016, Deep residual learning, section 3.2).
        dropout: Share of the result's channels zeroed while training, in [0, 1).
        momentum: Of the running averages of batch normalisation.
        dtype: In what the convolutions are computed.
        window: Of the convolutions along each axis of space: 3, or 1 along an axis that they do not look across, which
            then loses nothing; 3 along every axis if None.
    """

    features: int
    convs: int = 1
    norm: Norm = "batch"
    padding: Padding = "same"
    residual: bool = False
    dropout: float = 0.0
    momentum: float = 0.99
    dtype: DTypeLike = jnp.float32
    window: Sequence[int] | None = None

    def __call__(
        self,
        x: Float[Array, "b *space c"],
        more: Float[Array, "b *space e"] | None = None,
        *,
        train: bool,
        valid: Bool[Array, "b *space 1"] | None = None,
    ) -> Float[Array, "b *out d"]:
        """Runs the block.

        Args:
            x: Feature maps.
            more: Further channels of the same maps, as if concatenated to those of x.
            train: Use the batch's statistics, and dropout.
            valid: Which pixels are inside the image; outside them the result is zero. `same` padding only.
        """
        return self.then_pool(x, more, train=train, valid=valid, pool=None)[0]

    @nn.compact
    def then_pool(
        self,
        x: Float[Array, "b *space c"],
        more: Float[Array, "b *space e"] | None = None,
        *,
        train: bool,
        valid: Bool[Array, "b *space 1"] | None = None,
        pool: Sequence[int] | None,
    ) -> tuple[Float[Array, "b *out d"], Float[Array, "b *pooled d"]]:
        """Runs the block, and pools its result over a window.

        Args:
            x: As for the block alone.
            more: As for the block alone.
            train: As for the block alone.
            valid: As for the block alone.
            pool: The window along each axis; None: not pooled, the result twice.
        """
        n = x.ndim - 2
        pooled = None
        shortcut = x if more is None or not self.residual else jnp.concatenate([x, more], axis=-1)
        for i in range(self.convs):
            last = i == self.convs - 1
            conv = Conv(self.features, self.window or (3,) * n, self.padding, self.dtype, name=f"Conv_{i}")
            x = x.astype(self.dtype)
            kernel, bias = conv.weights(x.shape[-1] + (0 if more is None else more.shape[-1]))
            fused = train or paths.covers(x, kernel, self.padding)
            if self.norm == "batch" and not (self.residual and last) and fused:
                batch_norm = BatchNorm(self.momentum, name=f"BatchNorm_{i}")
                window = pool if last and valid is None and not self.dropout else None
                x, pooled = convolve_normalise_relu(
                    batch_norm, x, more, kernel, bias, padding=self.padding, train=train, pool=window
                )
            else:
                x = convolve(x, kernel, bias, padding=self.padding, more=more)
                x = normalise(self, x, norm=self.norm, train=train, momentum=self.momentum, index=i)
                if self.residual and last:
                    x = x + self._project(crop_to(shortcut, x.shape))
                x = nn.relu(x).astype(self.dtype)
            more = None
            if valid is not None:
                # The next convolution must see zeros outside the image, as it would at the border of the array.
                x = jnp.where(valid, x, 0)
        x = nn.Dropout(self.dropout, broadcast_dims=tuple(range(1, n + 1)), deterministic=not train)(x)
        if pool is not None and pooled is None:
            pooled = max_pool(x, pool)
        return x, x if pooled is None else pooled

    def _project(self, shortcut: Float[Array, "b *out c"]) -> Float[Array, "b *out d"]:
        if shortcut.shape[-1] == self.features:
            return shortcut
        return Conv(self.features, (1,) * (shortcut.ndim - 2), dtype=self.dtype, name="shortcut")(shortcut)


def convolve_normalise_relu(
    batch_norm: BatchNorm,
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    *,
    padding: Padding,
    train: bool,
    pool: Sequence[int] | None,
) -> tuple[Float[Array, "b *out d"], Float[Array, "b *pooled d"] | None]:
    """Convolution, batch normalisation, ReLU and pooling, as one operation of the native kernels where they cover it.

    Once trained, the normalisation is part of the convolution there: its scale goes into the kernel, the rest into the
    bias.
    """
    scale, shift, mean, var = batch_norm.variables_of(kernel.shape[-1])
    if not train:
        factor = jax.lax.rsqrt(var.value + EPSILON) * scale
        kernel, bias = kernel * factor, (bias - mean.value) * factor + shift
        return native.convolve_relu(x, more, kernel, bias, padding, partial(_convolve_relu, padding=padding)), None
    window = None if pool is None else tuple(pool)
    stock = partial(_convolve_normalise_relu, padding=padding, pool=window)
    arrays = x, more, kernel, bias, scale, shift
    covered = paths.covers(x, kernel, padding)
    x, pooled, *found = (
        native.convolve_normalise(*arrays, padding, EPSILON, window, stock) if covered else stock(*arrays)
    )
    batch_norm.update(*found)
    return x, pooled


def _convolve_relu(x: Array, more: Array | None, kernel: Array, bias: Array, *, padding: Padding) -> Array:
    return nn.relu(convolve_by_xla(x, more, kernel, bias, padding=padding))


def _convolve_normalise_relu(
    x: Array,
    more: Array | None,
    kernel: Array,
    bias: Array,
    scale: Array,
    shift: Array,
    *,
    padding: Padding,
    pool: tuple[int, ...] | None,
) -> tuple[Array, Array | None, Array, Array]:
    z, mean, var = normalise_relu(products_by_xla(x, more, kernel, padding=padding), bias, scale, shift)
    z = z.astype(x.dtype)
    return z, None if pool is None else max_pool(z, pool), mean, var


def crop_to(x: Float[Array, "b *space c"], shape: Sequence[Any]) -> Float[Array, "b *out c"]:
    """Cuts the centre out of a map, so that its axes of space are those of `shape`, another map's shape.

    Example:
        >>> crop_to(jnp.arange(6.0).reshape(1, 6, 1), (1, 2, 1))[0, :, 0]
        Array([2., 3.], dtype=float32)
    """
    start = [(have - want) // 2 for have, want in zip(x.shape[1:-1], shape[1:-1], strict=True)]
    return x[(slice(None), *(slice(s, s + want) for s, want in zip(start, shape[1:-1], strict=True)))]
