"""Pipelines with random variables, and what they compute, step by step in NumPy with the network alone in JAX."""

import jax
import numpy as np
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.data.normalise import ChannelRule, Normalisation, normalise
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.export.pipeline import Pipeline
from tinyunet.models.presets import ModelConfig
from tinyunet.models.segmenter import Segmenter


def pipeline_of(*, channels=1, names=("ground", "cell", "wall"), dimensions=2, members=1, **options):
    """A pipeline whose network has the options of a model configuration, and other members than its keys say."""
    own = {key: options.pop(key) for key in ("normalisation", "temperature", "values", "maps") if key in options}
    own = {"normalisation": Normalisation("image"), "values": tuple(range(len(names)))} | own
    rule = options.pop("rule", ChannelRule(drop_alpha=False, collapse_grey=False, used=channels))
    config = ModelConfig(**{"features": 2, "depth": 1} | options)
    model = Segmenter(len(names), config.unet())
    image = jax.ShapeDtypeStruct((1, *(1,) * dimensions, rule.used), np.float32)
    variables = tuple(random_variables(model, image, seed=seed) for seed in range(members))
    return Pipeline(model=config, members=variables, dimensions=dimensions, channels=rule, names=names, **own)


def images_of(pipeline, *shape, batch=2, seed=0):
    """Images as files hold them, each of its own brightness, float32 (b, *space, c)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (batch, *shape, pipeline.channels.used))
    return (images * np.arange(1, batch + 1).reshape(-1, *(1,) * (images.ndim - 1)) + 7).astype(np.float32)


def unscaled(pipeline, images):
    """Probabilities before the temperature, of every image by itself."""
    model = Segmenter(len(pipeline.names), pipeline.model.unet())
    tile = quick_jit(lambda variables, x: model.apply(variables, x, method="tile"))
    space = images.shape[1:-1]
    widths = []
    for axis, size in zip(pipeline.topologies, space, strict=True):
        whole = axis.smallest_size(size)
        lost = (whole - axis.output_size(whole)) // 2
        widths.append((lost, whole - size - lost))
    mode = "edge" if pipeline.model.padding == "same" else "reflect"
    found = []
    for image in images:
        pixels = np.pad(
            normalise(image[..., : pipeline.channels.used], pipeline.normalisation), [*widths, (0, 0)], mode
        )
        logits = [np.asarray(tile(variables, pixels[np.newaxis])[0], np.float64) for variables in pipeline.members]
        inside = [each[tuple(map(slice, space))] for each in logits]
        members = [np.exp(x - x.max(-1, keepdims=True)) for x in inside]
        found.append(np.mean([x / x.sum(-1, keepdims=True) for x in members], axis=0))
    return np.stack(found)


def results(pipeline, images):
    """All results by name, channels last."""
    plain = unscaled(pipeline, images)
    found = {"probabilities": scale_probabilities(plain, pipeline.temperature)}
    found |= {name: plain[..., list(places)].sum(-1) for name, places in pipeline.maps.items()}
    if pipeline.values is not None:
        found["labels"] = np.array(pipeline.values)[plain.argmax(-1)]
    return found


OPTIONS = [
    {"depth": 0},
    {"depth": 2, "channels": 2},
    {"convs_per_block": 2, "skip": "add", "upsample": "bilinear", "residual": True},
    {"depth": 2, "skip": "none", "upsample": "pixel_shuffle", "norm": "none"},
    {"norm": "instance", "residual": True, "upsample": "pixel_shuffle"},
    {"norm": "group", "features": 8, "depth": 2, "max_features": 16},
    {"depth": 2, "hold": (1, 0), "upsample": "bilinear"},
    {"depth": 2, "hold": (0, 2), "upsample": "pixel_shuffle"},
    {"padding": "valid", "convs_per_block": 2, "residual": True},
    {"padding": "valid", "depth": 2, "upsample": "bilinear", "skip": "add", "norm": "group"},
    {"dimensions": 3, "convs_per_block": 2, "residual": True},
    {"dimensions": 3, "depth": 2, "hold": (1, 0, 0), "upsample": "pixel_shuffle", "norm": "instance"},
    {"dimensions": 3, "padding": "valid", "upsample": "bilinear", "norm": "none"},
]
"""Every value of every option of a network, in 2-D and in 3-D."""


def odd_shape(pipeline):
    """A size that the network does not take as it is."""
    return (7, 13) if pipeline.dimensions == 2 else (3, 5, 7)
