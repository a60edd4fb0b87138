"""The founding page as code: the tiny U-Net's forward pass, and the table that walks through it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from tinyunet.models.presets import PRESETS
from tinyunet.models.unet import UNet


def unet_forward(
    seed: int | Shaped[Array, ""], image: Float[Array, "h w c"], base_features: int
) -> Float[Array, " hwd"]:
    """Initialises the tiny U-Net and applies it once, batch statistics and all.

    Two poolings, one 3x3 convolution per block with batch normalisation and ReLU, transposed convolutions, skips by
    concatenation, and the feature head as it is: `base_features` channels at the image's size. The parameters are
    those that plain Flax linen modules with default names and initialisers get from the same key.

    Args:
        seed: The key is `jax.random.PRNGKey(seed)`, handed whole to `init`.
        image: Pixels, channels last; height and width divisible by 4.
        base_features: Channels f of the first stage, at least 1.

    Returns:
        The h * w * f values of the last map, row by row, channels fastest.

    Raises:
        ValueError: The image is not (h, w, c), or a size is not divisible by 4 (the message names the nearest legal
            ones), or `base_features` is less than 1.

    Example:
        >>> jax.eval_shape(lambda image: unet_forward(0, image, 2), jnp.ones((4, 8, 1))).shape
        (64,)

    References:
        Ronneberger, Fischer and Brox (2015), U-Net: Convolutional networks for biomedical image segmentation.
    """
    if image.ndim != 3:
        raise ValueError(f"`image` must be (height, width, channels), got {image.ndim} axes: {image.shape}.")
    if base_features < 1:
        raise ValueError(f"`base_features` must be at least 1, got {base_features}.")
    model = dataclasses.replace(PRESETS["seed"], features=base_features).unet()
    batch = image[None]
    variables = model.init(jax.random.PRNGKey(seed), batch, train=True)
    features, _ = model.apply(variables, batch, train=True, mutable=["batch_stats"])
    return features.reshape(-1)


class Step(NamedTuple):
    """One row of the walk-through: a value, its shape, and what made it."""

    value: str
    shape: tuple[int, ...]
    made_by: str


def walk_through(model: UNet, image_shape: tuple[int, ...]) -> list[Step]:
    """The values a U-Net computes on its way, read off the running model.

    Nothing is computed: the model is traced with an abstract image.

    Args:
        model: Any U-Net.
        image_shape: Axes of space, then channels.

    Raises:
        ValueError: A size that the model cannot take.

    Example:
        >>> for step in walk_through(UNet(features=2, depth=0), (4, 4, 1)):
        ...     print(step.value, step.shape)
        image (1, 4, 4, 1)
        b (1, 4, 4, 2)
    """
    steps: list[Step] = []

    def trace(image: Array) -> None:
        # The first pass creates the parameters; only the second is written down.
        variables = model.init(jax.random.PRNGKey(0), image)
        model.apply(variables, image, observe=lambda name, x, made_by: steps.append(Step(name, x.shape, made_by)))

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
    return steps
