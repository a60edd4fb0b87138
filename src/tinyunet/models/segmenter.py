"""The U-Net with a head, for images of any size."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from tinyunet.layers.conv import Conv
from tinyunet.models.unet import UNet


class Segmenter(nn.Module):
    """A U-Net and a 1x1 convolution to `classes` logits; any height and width, and any depth of volumes.

    With `same` padding an image whose size the poolings do not divide is padded by its edge pixels at the bottom and
    the right, and the result is cropped; where they divide, nothing is added and the result is exactly the bare
    network's. With `valid` padding the image is extended by mirroring on all sides, so that the result covers it: the
    overlap-tile strategy of the paper.

    Attributes:
        classes: Number of classes k, at least 2.
        unet: The body.

    Example:
        >>> import jax
        >>> model = Segmenter(classes=3, unet=UNet(features=4, depth=2))
        >>> image = jnp.zeros((1, 7, 1, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.PRNGKey(0), image)[0]).shape
        (1, 7, 1, 3)

    References:
        Ronneberger et al. (2015), U-Net, section 2 and figure 2.
    """

    classes: int
    unet: UNet

    def setup(self) -> None:
        """Makes the head."""
        self.head = Conv(self.classes, (1,), name="head")

    def __call__(self, x: Float[Array, "b *space c"], *, train: bool = False) -> Float[Array, "b *space k"]:
        """Logits of the same size as `x`, whatever it is."""
        space = x.shape[1:-1]
        axes = zip(self.unet.topologies(len(space)), space, strict=True)
        extra = [axis.smallest_size(size) - size for axis, size in axes]
        if self.unet.padding == "same":
            x = jnp.pad(x, ((0, 0), *((0, e) for e in extra), (0, 0)), mode="edge")
        else:
            # The result is the centre of the input, so the image must be too.
            x = mirror(x, [(e // 2, e - e // 2) for e in extra])
        logits = self.tile(x, train=train)
        surplus = [have - want for have, want in zip(logits.shape[1:-1], space, strict=True)]
        start = [0 if self.unet.padding == "same" else s // 2 for s in surplus]
        return logits[(slice(None), *(slice(s, s + want) for s, want in zip(start, space, strict=True)))]

    def tile(
        self, x: Float[Array, "b *space c"], *, train: bool = False, valid: Bool[Array, "b *space 1"] | None = None
    ) -> Float[Array, "b *out k"]:
        """Logits of a tile whose size the network takes as it is; see `UNet.__call__` for `valid`."""
        return self.head(self.unet(x, train=train, valid=valid)).astype(jnp.float32)


def mirror(x: Float[Array, "b *space c"], widths: list[tuple[int, int]]) -> Float[Array, "b *wide c"]:
    """Extends a map by mirroring about its border pixels, however far; a single pixel is repeated.

    Example:
        >>> mirror(jnp.array([[[1.0], [2.0]]]), [(3, 1)])[0, :, 0]
        Array([2., 1., 2., 1., 2., 1.], dtype=float32)
    """
    for axis, (before, after) in enumerate(widths, start=1):
        size = x.shape[axis]
        position = jnp.arange(-before, size + after) % max(1, 2 * size - 2)
        x = jnp.take(x, jnp.minimum(position, 2 * size - 2 - position) if size > 1 else 0 * position, axis)
    return x
