import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.errors import ConfigError
from tinyunet.models.presets import PRESETS, ModelConfig, preset
from tinyunet.models.segmenter import Segmenter
from tinyunet.models.unet import UNet

KEY = jax.random.PRNGKey(0)


def count_parameters(model, image):
    shapes = jax.eval_shape(model.init, KEY, image)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))


def test_the_paper_is_reproduced_in_sizes_and_in_parameters():
    """Ronneberger et al. (2015), figure 1; only traced, never run."""
    unet = preset("unet2015").unet()
    image = jax.ShapeDtypeStruct((1, 572, 572, 1), jnp.float32)
    features, _ = jax.eval_shape(unet.init_with_output, KEY, image)
    assert features.shape == (1, 388, 388, 64)
    assert count_parameters(Segmenter(classes=2, unet=unet), image) == 31_030_658


def test_the_seed_is_the_founding_page():
    assert preset("seed") == ModelConfig(
        depth=2, padding="same", convs_per_block=1, norm="batch", upsample="transpose", skip="concat", residual=False
    )


def test_parameters_of_a_tiny_seed_by_hand():
    # One feature, one channel: e1, e2, b, d2, d1; u2, u1; a scale and a bias for every channel of the five blocks.
    convolutions = (9 + 1) + (9 * 2 + 2) + (9 * 2 * 4 + 4) + (9 * 4 * 2 + 2) + (9 * 2 * 1 + 1)
    upsamplings = (4 * 4 * 2 + 2) + (4 * 2 * 1 + 1)
    norms = 2 * (1 + 2 + 4 + 2 + 1)
    unet = dataclasses.replace(preset("seed"), features=1).unet()
    assert count_parameters(unet, jnp.zeros((1, 4, 4, 1))) == convolutions + upsamplings + norms


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_network(name):
    model = Segmenter(classes=2, unet=preset(name).unet())
    shape = jax.eval_shape(model.init_with_output, KEY, jax.ShapeDtypeStruct((1, 20, 30, 1), jnp.float32))[0].shape
    assert shape == (1, 20, 30, 2)


def test_a_configuration_has_the_networks_options_and_defaults():
    def options(kind):
        return {f.name: f.default for f in dataclasses.fields(kind) if f.name not in ("parent", "name")}

    assert options(ModelConfig) == {**options(UNet), "dtype": "float32"}
    config = ModelConfig(
        features=3, depth=1, norm="group", upsample="bilinear", skip="add", dtype="bfloat16", hold=(1, 0)
    )
    assert {name: getattr(config.unet(), name) for name in options(ModelConfig)} == dataclasses.asdict(config)


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["seed"] = ModelConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["seed"].features = 1


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("features", 0, "`model.features` must be from 1 to 4096, got 0."),
        ("features", 4097, "`model.features` must be from 1 to 4096, got 4097."),
        ("depth", -1, "`model.depth` must be from 0 to 8, got -1."),
        ("depth", 9, "`model.depth` must be from 0 to 8, got 9."),
        ("convs_per_block", 0, "`model.convs_per_block` must be from 1 to 8, got 0."),
        ("dropout", 1.0, "`model.dropout` must be in [0, 1), got 1.0."),
        ("dropout", math.nan, "`model.dropout` must be in [0, 1), got nan."),
        ("momentum", -0.1, "`model.momentum` must be in [0, 1), got -0.1."),
        ("max_features", 0, "`model.max_features` must be at least 1, got 0."),
        ("hold", (4, 0), "`model.hold` must hold numbers from 0 to `model.depth` 3, got (4, 0)."),
        ("hold", (0, -1), "`model.hold` must hold numbers from 0 to `model.depth` 3, got (0, -1)."),
    ],
)
def test_values_out_of_range_are_refused(option, value, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ModelConfig(**{option: value})


@given(st.integers(1, 4096), st.integers(0, 8), st.floats(0, 1, exclude_max=True))
def test_values_in_range_are_taken(features, depth, dropout):
    assert ModelConfig(features=features, depth=depth, dropout=dropout).unet().depth == depth


def test_an_unknown_preset_is_answered_with_those_that_exist():
    message = "No preset is called 'unet2016'. Did you mean 'unet2015'? Known: seed, tiny, unet2015."
    with pytest.raises(ConfigError, match=re.escape(message)):
        preset("unet2016")
