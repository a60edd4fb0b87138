"""The U-Net's body: down, bottom, up, with skips.

The variables have the paper's roles: e1, e2 … the encoder's maps, p1, p2 … pooled, b the bottom, u2, u1 … upsampled,
d2, d1 … the decoder's. Stage 1 is the one at full size.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from tinyunet.layers.block import ConvBlock, crop_to
from tinyunet.layers.correlate import Padding
from tinyunet.layers.norm import Norm
from tinyunet.layers.upsample import MADE_UP, BilinearUpsample, ConvTranspose, PixelShuffle, Upsampling
from tinyunet.models.sizes import Topology, check_sizes

Skip = Literal["concat", "add", "none"]
Observer = Callable[[str, Array, str], None]
"""Called with each value's name, the value, and what made it."""


class UNet(nn.Module):
    """U-Net without a head: feature maps of the image's size with `features` channels.

    Stage s of the encoder has f_s = min(2^(s-1) features, max_features) channels. With the default options and
    `depth=2` it is the seed's network, name for name and number for number.

    Attributes:
        features: Channels of the first stage, at least 1.
        depth: Number of poolings: 2 in the seed, 4 in the 2015 paper. 0 is one block.
        padding: `same` keeps the size; `valid` is the paper's: no padding, the skips are cropped. Nothing is made up
            at a border then: upsampling that looks at neighbours gives only the pixels whose neighbours there are.
        convs_per_block: 1 in the seed, 2 in the paper.
        norm: `batch`, `group`, `instance` or `none`.
        upsample: `transpose`, `bilinear` or `pixel_shuffle`; costs in `tinyunet.layers.upsample`.
        skip: `concat` is the U-Net's; `add` needs half the arithmetic in the decoder's blocks; `none` is the
            ablation that shows what the skips are for.
        residual: A shortcut around each block.
        max_features: Upper bound of the channels of the deep stages, or None.
        dropout: Share of channels zeroed at the bottom while training, in [0, 1); needs a `dropout` key.
        momentum: Of the running averages of batch normalisation.
        dtype: float32, or bfloat16 for the convolutions with parameters and normalisation in float32.
        hold: For each axis of space, through how many stages from the top it is neither pooled nor convolved across,
            because its pixels are already that coarse: (2, 0, 0) for slices about four times as far apart as the
            pixels within them. From 0 to `depth` each; () is 0 for every axis.

    Example:
        >>> import jax
        >>> model = UNet(features=4, depth=2)
        >>> image = jnp.zeros((1, 8, 8, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.PRNGKey(0), image)[0]).shape
        (1, 8, 8, 4)
        >>> slices = UNet(features=4, depth=3, hold=(2, 0, 0))
        >>> [axis.multiple for axis in slices.topologies(3)]
        [2, 8, 8]

    References:
        Ronneberger, Fischer and Brox (2015), U-Net: Convolutional networks for biomedical image segmentation,
        section 2 and figure 1.
    """

    features: int = 16
    depth: int = 3
    padding: Padding = "same"
    convs_per_block: int = 1
    norm: Norm = "batch"
    upsample: Upsampling = "transpose"
    skip: Skip = "concat"
    residual: bool = False
    max_features: int | None = None
    dropout: float = 0.0
    momentum: float = 0.99
    dtype: DTypeLike = jnp.float32
    hold: tuple[int, ...] = ()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *space c"],
        *,
        train: bool = False,
        valid: Bool[Array, "b *space 1"] | None = None,
        observe: Observer | None = None,
    ) -> Float[Array, "b *out d"]:
        """Runs the network.

        Args:
            x: Images or volumes, channels last.
            train: Use batch statistics and dropout; then apply with `mutable=["batch_stats"]`.
            valid: For tiles that reach beyond the image: which pixels are inside. Outside them every map is held at
                zero, so that the result inside is the one the whole image would give. `same` padding only.
            observe: Called with every value on the way; what `tinyunet summary` prints.

        Raises:
            ValueError: A size that the poolings do not divide, naming the nearest that they do; or `hold` has not one
                number from 0 to `depth` for each axis.
        """
        axes = x.ndim - 2
        if all(isinstance(size, int) for size in x.shape[1:-1]):  # a symbol's divisors cannot always be told
            check_sizes(self.topologies(axes), x.shape[1:-1])
        if valid is not None:
            x = jnp.where(valid, x, 0)
        x = x.astype(self.dtype)
        see = observe or (lambda name, value, made_by: None)
        see("image", x, "")

        skips = []
        for stage in range(1, self.depth + 1):
            e, x = self._block(stage, axes).then_pool(x, train=train, valid=valid, pool=self._steps(stage, axes))
            see(f"e{stage}", e, f"ConvBlock({self.width(stage)})")
            skips.append((e, valid))
            see(f"p{stage}", x, "MaxPool")
            valid = None if valid is None else _first_of_each(valid, self._steps(stage, axes))

        bottom = self.depth + 1
        x = self._block(bottom, axes, dropout=self.dropout)(x, train=train, valid=valid)
        see("b", x, f"ConvBlock({self.width(bottom)})")

        for stage in range(self.depth, 0, -1):
            e, finer = skips.pop()
            u = self._upsample(stage, x, valid)
            valid = finer
            if valid is not None:
                u = jnp.where(valid, u, 0)
            see(f"u{stage}", u, f"{_UPSAMPLERS[self.upsample].__name__}({self.width(stage)})")
            e = crop_to(e, u.shape)
            if observe and self.skip == "concat":  # which the block does by itself
                see(f"d{stage}", jnp.concatenate([u, e], axis=-1), f"concat(u{stage}, e{stage})")
            if self.skip == "add":
                u = u + e
                see(f"d{stage}", u, f"u{stage} + e{stage}")
            x = self._block(stage, axes)(u, e if self.skip == "concat" else None, train=train, valid=valid)
            see(f"d{stage}", x, f"ConvBlock({self.width(stage)})")
        return x

    def topologies(self, n: int) -> tuple[Topology, ...]:
        """What decides the sizes of the maps along each of n axes of space.

        Raises:
            ValueError: `hold` has not one number from 0 to `depth` for each axis.
        """
        if len(self.hold) not in (0, n):
            raise ValueError(f"`hold` must have one number for each of {n} axes of space, got {self.hold}.")
        return tuple(
            Topology(
                depth=self.depth,
                padding=self.padding,
                convs_per_block=self.convs_per_block,
                upsample=self.upsample,
                hold=hold,
            )
            for hold in self.hold or (0,) * n
        )

    def width(self, stage: int) -> int:
        """Channels of a stage, counted from 1 at full size."""
        return min(self.features * 2 ** (stage - 1), self.max_features or self.features * 2**self.depth)

    def _steps(self, stage: int, n: int) -> tuple[int, ...]:
        """By how much the pooling after a stage, and the upsampling back to it, change each of n axes of space."""
        return tuple(2 if stage > hold else 1 for hold in self.hold or (0,) * n)

    def _block(self, stage: int, n: int, *, dropout: float = 0.0) -> ConvBlock:
        return ConvBlock(
            self.width(stage),
            convs=self.convs_per_block,
            norm=self.norm,
            padding=self.padding,
            residual=self.residual,
            dropout=dropout,
            momentum=self.momentum,
            dtype=self.dtype,
            window=tuple(3 if step == 2 else 1 for step in self._steps(stage, n)),
        )

    def _upsample(self, stage: int, x: Array, valid: Array | None) -> Array:
        """Undoes the pooling after a stage."""
        steps = self._steps(stage, x.ndim - 2)
        layer = _UPSAMPLERS[self.upsample](self.width(stage), dtype=self.dtype, block=steps)
        u = layer(x, valid) if isinstance(layer, BilinearUpsample) else layer(x)
        if self.padding == "same":
            return u
        ends = (2 * MADE_UP[self.upsample] * (step - 1) for step in steps)
        known = (size - end for size, end in zip(u.shape[1:-1], ends, strict=True))
        return crop_to(u, (u.shape[0], *known, self.width(stage)))


_UPSAMPLERS = {"transpose": ConvTranspose, "bilinear": BilinearUpsample, "pixel_shuffle": PixelShuffle}


def _first_of_each(valid: Bool[Array, "b *space 1"], steps: tuple[int, ...]) -> Bool[Array, "b *pooled 1"]:
    """The map of the pooled pixels: an image padded to a multiple of 2^depth ends between pooling windows."""
    return valid[(slice(None), *(slice(None, None, step) for step in steps))]
