"""The block that every stage of the U-Net is made of."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from tinyunet.layers.conv import Conv, Padding
from tinyunet.layers.norm import Norm, normalise


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

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], *, train: bool, valid: Bool[Array, "b *space 1"] | None = None
    ) -> Float[Array, "b *out d"]:
        n = x.ndim - 2
        shortcut = x
        for i in range(self.convs):
            x = Conv(self.features, self.window or (3,) * n, self.padding, self.dtype)(x)
            x = normalise(self, x, norm=self.norm, train=train, momentum=self.momentum)
            if self.residual and i == self.convs - 1:
                x = x + self._project(crop_to(shortcut, x.shape))
            x = nn.relu(x).astype(self.dtype)
            if valid is not None:
                # The next convolution must see zeros outside the image, as it would at the border of the array.
                x = jnp.where(valid, x, 0)
        return nn.Dropout(self.dropout, broadcast_dims=tuple(range(1, n + 1)), deterministic=not train)(x)

    def _project(self, shortcut: Float[Array, "b *out c"]) -> Float[Array, "b *out d"]:
        if shortcut.shape[-1] == self.features:
            return shortcut
        return Conv(self.features, (1,) * (shortcut.ndim - 2), dtype=self.dtype, name="shortcut")(shortcut)


def crop_to(x: Float[Array, "b *space c"], shape: tuple[int, ...]) -> Float[Array, "b *out c"]:
    """Cuts the centre out of a map, so that its axes of space are those of `shape`, another map's shape.

    Example:
        >>> crop_to(jnp.arange(6.0).reshape(1, 6, 1), (1, 2, 1))[0, :, 0]
        Array([2., 3.], dtype=float32)
    """
    start = [(have - want) // 2 for have, want in zip(x.shape[1:-1], shape[1:-1], strict=True)]
    return x[(slice(None), *(slice(s, s + want) for s, want in zip(start, shape[1:-1], strict=True)))]
