import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.models.presets import PRESETS, ModelConfig
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_axis, plan_grid
from tinyunet.runs.build import TILE_VOXELS, build_model, build_probabilities, build_tiles
from tinyunet.training.state import initial_variables

# Every combination of what decides how an image is cut.
TILED = [
    ModelConfig(depth=depth, padding=padding, convs_per_block=convs, norm=norm, upsample=upsample)
    for depth, padding, convs, norm, upsample in itertools.product(
        (0, 1, 4, 6), ("same", "valid"), (1, 2), ("batch", "instance"), ("transpose", "bilinear", "pixel_shuffle")
    )
]
SMALL = ModelConfig(features=2, depth=1)


def check(config, spec):
    """What the tiles of a network must hold to."""
    topology, _ = config.unet().topologies(2)
    for size in spec.ladder:
        output = topology.output_size(size)
        assert output == size - 2 * spec.lost
    assert spec.multiple == 2**config.depth
    assert spec.stride >= spec.multiple
    assert spec.blend == (config.norm in ("group", "instance"))
    if config.padding == "same" and not spec.blend:
        assert spec.halo >= topology.receptive_radius()
        assert 2 * spec.stride >= spec.ladder[-1]  # at least half of a tile is kept along an axis
    for length in (1, 300, 3000):
        assert plan_axis(length, spec).cores[-1][1] == length


@pytest.mark.parametrize("name", PRESETS)
def test_the_tiles_of_every_preset_are_legal(name):
    check(PRESETS[name], *build_tiles(PRESETS[name], (256, 256))[:1])


def test_the_tiles_of_every_option_are_legal():
    for config in TILED:
        check(config, *build_tiles(config, (256, 256))[:1])
        check(config, *build_tiles(config, (256, 256), large=True)[:1])


def test_large_images_have_larger_tiles_unless_these_gain_nothing_or_take_too_much():
    spec, _ = build_tiles(PRESETS["tiny"], (256, 256), large=True)
    assert spec.ladder == (256, 512, 1024)
    for config in (dataclasses.replace(SMALL, norm="instance"), dataclasses.replace(SMALL, features=64)):
        assert build_tiles(config, (256, 256), large=True) == build_tiles(config, (256, 256))
    assert build_tiles(SMALL, (32, 64, 64), large=True) == build_tiles(SMALL, (32, 64, 64))


def test_the_tiles_by_hand():
    spec, _ = build_tiles(ModelConfig(depth=2), (256, 256))
    assert (spec.ladder, spec.halo, spec.multiple, spec.border) == ((256, 512), 13, 4, "valid-map")
    # The paper's network loses 92 pixels on each side: 572 become 388.
    paper, _ = build_tiles(PRESETS["unet2015"], (256, 256))
    assert (paper.halo, paper.border) == (92, "mirror")


@pytest.mark.parametrize("patch", [(40, 56, 40), (5, 64, 64), (16, 128, 128)])
@pytest.mark.parametrize("options", [{}, {"hold": (2, 0, 0)}, {"norm": "instance"}, {"padding": "valid"}], ids=str)
def test_the_tiles_of_volumes_are_legal_and_blended(patch, options):
    config = ModelConfig(depth=3, **options)
    specs = build_tiles(config, patch)
    for side, spec, topology in zip(patch, specs, config.unet().topologies(3), strict=True):
        assert spec.blend
        assert spec.fill == (config.norm == "instance")
        assert spec.ladder[0] - 2 * spec.lost >= side
        assert all(topology.output_size(size) == size - 2 * spec.lost for size in spec.ladder)
    # Every axis at its largest is a tile that memory holds, up to rounding to what the network takes.
    assert np.prod([spec.ladder[-1] - 2 * spec.lost for spec in specs]) <= 2 * TILE_VOXELS


def test_a_volume_a_little_larger_than_the_patch_is_one_tile():
    grid = plan_grid((47, 59, 43), build_tiles(ModelConfig(depth=3), (40, 56, 40)))
    assert (grid.tile_shape, len(grid)) == ((48, 72, 48), 1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_model_is_what_its_configuration_says(name):
    model = build_model(PRESETS[name], classes=3)
    assert model.classes == 3
    for field in dataclasses.fields(ModelConfig):
        assert getattr(model.unet, field.name) == getattr(PRESETS[name], field.name)


def perturbed(variables):
    """Batch statistics and shifts away from zero, so that pixels beyond the image would be seen."""
    return jax.tree.map(lambda x: x + 0.1, variables)


@pytest.mark.parametrize("options", [{}, {"norm": "instance"}, {"padding": "valid"}], ids=str)
def test_probabilities_are_those_of_the_model(options):
    model = build_model(dataclasses.replace(SMALL, **options), classes=3)
    variables = perturbed(initial_variables(model, 0, channels=1, shape=(12,) * 2))
    tiles = jnp.asarray(np.random.default_rng(0).normal(size=(2, 12, 12, 1)), jnp.float32)
    found = build_probabilities(model)(variables, tiles, jnp.ones((2, 12, 12, 1), bool))
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-5)
    assert (found >= 0).all()
    expected = jax.nn.softmax(jax.jit(lambda v, x: model.apply(v, x, method="tile"))(variables, tiles))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("norm", "told"), [("batch", True), ("none", True), ("instance", False)])
def test_networks_that_can_be_are_told_which_pixels_exist(norm, told):
    model = build_model(dataclasses.replace(SMALL, norm=norm), classes=2)
    variables = perturbed(initial_variables(model, 0, channels=1, shape=(8,) * 2))
    tiles = np.random.default_rng(0).normal(size=(1, 16, 8, 1)).astype(np.float32)
    valid = np.arange(16)[None, :, None, None] * np.ones((1, 1, 8, 1)) < 8
    probabilities = build_probabilities(model)
    other = np.where(valid, tiles, 100 + tiles)
    same = np.allclose(probabilities(variables, tiles, valid)[:, :8], probabilities(variables, other, valid)[:, :8])
    assert same == told


# The network itself, tile by tile and in one piece

NETWORKS = [
    dataclasses.replace(SMALL, depth=depth, upsample=upsample, convs_per_block=convs)
    for upsample, depth, convs in (
        *(("transpose", 1, 2), ("transpose", 3, 1), ("bilinear", 1, 2)),
        *(("bilinear", 2, 1), ("pixel_shuffle", 1, 2), ("pixel_shuffle", 2, 1)),
    )
]
SIDE = 112


@functools.cache
def forward_of(config):
    """A compiled network of random weights; two sizes of tiles are all that it is compiled for."""
    model = build_model(config, classes=3)
    variables = random_variables(model, jnp.zeros((1, 16, 16, 1)))
    return quick_jit(lambda tiles, valid: jax.nn.softmax(model.apply(variables, tiles, valid=valid, method="tile")))


@settings(max_examples=5)
@given(config=st.sampled_from(NETWORKS), size=st.tuples(*(st.integers(1, SIDE),) * 2), seed=st.integers(0, 99))
def test_tiles_give_what_the_image_gives_in_one_piece(config, size, seed):
    topology, _ = config.unet().topologies(2)
    tile = -(-2 * topology.receptive_radius() // topology.multiple) * topology.multiple + 2 * topology.multiple
    spec = TileSpec(ladder=(tile,), halo=topology.receptive_radius(), multiple=topology.multiple, batch=1)
    image = np.random.default_rng(seed).normal(size=(*size, 1)).astype(np.float32)
    found, whole = (
        predict_probabilities(forward_of(config), image, dataclasses.replace(spec, ladder=(side,)), classes=3)
        for side in (tile, SIDE)
    )
    assert np.abs(found - whole).max() <= 1e-5
