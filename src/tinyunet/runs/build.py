"""From names and numbers of a configuration to objects: the only place that does it."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from tinyunet.data.labelling import Labelling
from tinyunet.data.store import Target
from tinyunet.layers.compiling import compiler_options
from tinyunet.layers.norm import LOCAL_NORMS
from tinyunet.layers.paths import without_kernels
from tinyunet.models.presets import ModelConfig
from tinyunet.models.segmenter import Segmenter
from tinyunet.models.sizes import Topology
from tinyunet.objects.target import OBJECT_CLASSES, object_labels
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs.config import Config
from tinyunet.training.state import Variables

TILE_SIZES = (256, 512)
"""Sizes a tile of an image may have, in pixels, before rounding to what the network takes; two make four programs."""

LARGE_PIXELS = 2**20
"""From so many pixels on, an image is cut into larger tiles: a halo of 107 pixels leaves a third of 512², but five
eighths of 1024²."""

LARGE_TILE = 1024
"""The size of these, before rounding to what the network takes."""

LARGE_FEATURES = 32
"""The most channels of the first stage with which larger tiles are used; a map of theirs takes 128 MiB then."""

TILE_STEPS = (1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0)
"""Sizes a tile of a volume may have, in training patches: close, since a voxel too many costs along three axes."""

TILE_VOXELS = 2**21
"""The most voxels in a tile; the maps of the default network take half a gigabyte for so many."""

Probabilities = Callable[
    [Variables, Float[np.ndarray, "n *space c"], Bool[np.ndarray, "n *space 1"]], Float[Array, "n *out k"]
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
    return lambda instances, spacing: object_labels(instances, config.objects, spacing=spacing)


def build_model(config: ModelConfig, *, classes: int) -> Segmenter:
    """The segmenter of a configuration."""
    return Segmenter(classes=classes, unet=config.unet())


@lru_cache(maxsize=8)
def build_probabilities(model: Segmenter, *, kernels: bool = True) -> Probabilities:
    """The compiled function from variables, tiles and their validity to probabilities, one for all runs of a network.

    A network whose norms look at the whole tile is not told which pixels are valid: its tiles are blended instead.

    Args:
        model: The network.
        kernels: Whether by the kernels of `tinyunet.layers.paths`, where there are any.
    """
    told = is_told(model)

    @partial(jax.jit, compiler_options=compiler_options(jax.default_backend()))
    def probabilities(
        variables: Variables, tiles: Float[Array, "n *space c"], valid: Bool[Array, "n *space 1"]
    ) -> Float[Array, "n *out k"]:
        with nullcontext() if kernels else without_kernels():
            logits = model.apply(variables, tiles, valid=valid if told else None, method="tile")
        return jax.nn.softmax(jnp.asarray(logits))

    return probabilities


def is_told(model: Segmenter) -> bool:
    """Whether a network is told which pixels of a tile are valid."""
    return model.unet.padding == "same" and model.unet.norm in LOCAL_NORMS


def build_tiles(config: ModelConfig, patch: tuple[int, ...], *, large: bool = False) -> tuple[TileSpec, ...]:
    """How images are cut for a network, along each axis of space.

    Args:
        config: Of the network.
        patch: What it is trained on.
        large: The image has `LARGE_PIXELS` or more. It makes no difference to volumes, to tiles that are blended, which
            overlap by half whatever their size, and to wide networks.
    """
    topologies = config.unet().topologies(len(patch))
    if len(patch) == 3:
        return _volume_tiles(config, patch, topologies)
    large = large and config.norm in LOCAL_NORMS and config.features <= LARGE_FEATURES
    return tuple(_image_tiles(config, topology, large=large) for topology in topologies)


def _image_tiles(config: ModelConfig, topology: Topology, *, large: bool) -> TileSpec:
    """Tiles large enough to throw away all that sees beyond an inner border."""
    multiple = topology.multiple
    sizes = (*TILE_SIZES, LARGE_TILE) if large else TILE_SIZES
    if config.padding == "valid":
        ladder = tuple(topology.smallest_size(size) for size in sizes)
        halo = (ladder[0] - (topology.output_size(ladder[0]) or 0)) // 2
    else:
        halo = topology.receptive_radius()
        # The largest tile keeps at least half of itself along each axis.
        scale = max(1, -(-4 * halo // TILE_SIZES[-1]))
        ladder = tuple(-(-size * scale // multiple) * multiple for size in sizes)
    whole = config.norm not in LOCAL_NORMS
    return TileSpec(
        ladder=ladder,
        halo=halo,
        multiple=multiple,
        # A processor is kept busy by one tile; an accelerator wants several, as many pixels as fit whatever their size.
        batch=1 if jax.default_backend() == "cpu" else 2 if large else 8,
        border="mirror" if config.padding == "valid" else "valid-map",
        blend=whole,
        fill=whole,
    )


def _volume_tiles(
    config: ModelConfig, patch: tuple[int, ...], topologies: tuple[Topology, ...]
) -> tuple[TileSpec, ...]:
    """A volume is one tile as far as memory allows, and else tiles that overlap by half and are blended.

    A halo of the receptive field on both sides of three axes would leave next to nothing of a tile.
    """
    largest = max(1.0, (TILE_VOXELS / math.prod(patch)) ** (1 / len(patch)))
    steps = sorted({min(step, largest) for step in TILE_STEPS})
    specs = []
    for size, topology in zip(patch, topologies, strict=True):
        least = 2 * topology.multiple
        wanted = (max(least, round(size * step)) for step in steps)
        if config.padding == "valid":
            ladder = tuple(sorted({topology.smallest_size(w) for w in wanted}))
            halo = (ladder[0] - (topology.output_size(ladder[0]) or 0)) // 2
        else:
            ladder = tuple(sorted({-(-w // topology.multiple) * topology.multiple for w in wanted}))
            halo = 0
        specs.append(
            TileSpec(
                ladder=ladder,
                halo=halo,
                multiple=topology.multiple,
                batch=1,
                border="mirror" if config.padding == "valid" else "valid-map",
                blend=True,
                fill=config.norm not in LOCAL_NORMS,
            )
        )
    return tuple(specs)
