"""From names and numbers of a configuration to objects: the only place that does it."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from tinyunet.data.labelling import Labelling
from tinyunet.data.store import Target
from tinyunet.layers.norm import LOCAL_NORMS
from tinyunet.models.presets import ModelConfig
from tinyunet.models.segmenter import Segmenter
from tinyunet.objects.target import OBJECT_CLASSES, object_labels
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs.config import Config
from tinyunet.training.state import Variables

TILE_SIZES = (256, 512)
"""Sizes a tile may have, in pixels, before rounding to what the network takes. Two sizes make at most four programs."""

Probabilities = Callable[
    [Variables, Float[np.ndarray, "n h w c"], Bool[np.ndarray, "n h w 1"]], Float[Array, "n oh ow k"]
]
"""Variables, tiles and their validity -> probabilities, compiled."""


def network_classes(labelling: Labelling) -> tuple[str, ...]:
    """What the network tells apart, in the order of its outputs: the classes, or the parts of objects."""
    return OBJECT_CLASSES if labelling.task == "instances" else labelling.names


def build_target(config: Config) -> Target | None:
    """From the labels of an image to what the network learns of it; None where it learns the labels themselves."""
    labelling = config.data.labelling
    if labelling is None or labelling.task != "instances":
        return None
    return partial(object_labels, config=config.objects)


def build_model(config: ModelConfig, *, classes: int) -> Segmenter:
    """The segmenter of a configuration."""
    return Segmenter(classes=classes, unet=config.unet())


def build_probabilities(model: Segmenter) -> Probabilities:
    """The compiled function from variables, tiles and their validity to probabilities.

    A network whose norms look at the whole tile is not told which pixels are valid: its tiles are blended instead.
    """
    unet = model.unet
    told = unet.padding == "same" and unet.norm in LOCAL_NORMS

    @jax.jit
    def probabilities(
        variables: Variables, tiles: Float[Array, "n h w c"], valid: Bool[Array, "n h w 1"]
    ) -> Float[Array, "n oh ow k"]:
        logits = model.apply(variables, tiles, valid=valid if told else None, method="tile")
        return jax.nn.softmax(jnp.asarray(logits))

    return probabilities


def build_tiles(config: ModelConfig) -> TileSpec:
    """How images are cut for a network."""
    topology = config.unet().topologies(2)[0]
    multiple = topology.multiple
    if config.padding == "valid":
        ladder = tuple(topology.smallest_size(size) for size in TILE_SIZES)
        halo = (ladder[0] - (topology.output_size(ladder[0]) or 0)) // 2
    else:
        halo = topology.receptive_radius()
        # The largest tile keeps at least half of itself along each axis.
        scale = max(1, -(-4 * halo // TILE_SIZES[-1]))
        ladder = tuple(-(-size * scale // multiple) * multiple for size in TILE_SIZES)
    return TileSpec(
        ladder=ladder,
        halo=halo,
        multiple=multiple,
        # A processor is kept busy by one tile; an accelerator wants several.
        batch=1 if jax.default_backend() == "cpu" else 8,
        border="mirror" if config.padding == "valid" else "valid-map",
        blend=config.norm not in LOCAL_NORMS,
    )
