import dataclasses

import jax
import numpy as np
import pytest
from reference.variables import random_variables

from tinyunet.errors import ConfigError
from tinyunet.export.tiles import open_on_tiles
from tinyunet.models.presets import ModelConfig
from tinyunet.runs.build import build_model, build_probabilities, is_told

SMALL = ModelConfig(features=2, depth=2, convs_per_block=2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skip": "add", "residual": True},
        {"upsample": "pixel_shuffle", "norm": "none"},
        {"norm": "instance", "upsample": "bilinear"},
        {"padding": "valid", "depth": 1},
        {"dimensions": 3, "hold": (1, 0, 0)},
    ],
    ids=str,
)
def test_probabilities_are_those_of_jax_also_where_the_image_ends(options):
    dimensions = options.get("dimensions", 2)
    config = dataclasses.replace(SMALL, **{key: value for key, value in options.items() if key != "dimensions"})
    model = build_model(config, classes=3)
    size = (24,) * dimensions if config.padding == "valid" else (8,) * dimensions
    members = [random_variables(model, jax.ShapeDtypeStruct((1, *size, 1), np.float32), seed=s) for s in (0, 1)]
    tiles = np.random.default_rng(0).normal(size=(2, *size, 1)).astype(np.float32)
    valid = np.ones((2, *size, 1), bool)
    if is_told(model):
        valid[1, ..., 4:, :] = False
    found = open_on_tiles(config, members, dimensions=dimensions, told=is_told(model), threads=1)(tiles, valid)
    compiled = build_probabilities(model, kernels=False)
    expected = sum(np.asarray(compiled(variables, tiles, valid)) for variables in members) / 2
    assert found.shape == expected.shape
    keep = valid[..., 0] if is_told(model) else np.ones(found.shape[:-1], bool)
    np.testing.assert_allclose(found[keep], expected[keep], atol=1e-5)


def test_what_interpolates_cannot_be_told_where_the_image_ends():
    config = dataclasses.replace(SMALL, upsample="bilinear")
    with pytest.raises(
        ConfigError, match=r"^A network with bilinear upsampling cannot be told in ONNX which pixels are"
    ):
        open_on_tiles(config, [{"params": {}}], dimensions=2, told=True, threads=1)
