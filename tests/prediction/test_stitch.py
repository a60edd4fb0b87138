"""Stitching: cut up and put back gives the same image; blending weights sum to one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.stitch import add_blended, blend_weights, put_core
from tinyunet.prediction.tiles import TileSpec, plan_axis, plan_grid, read_tile

SPECS = [
    TileSpec(ladder=(8,), halo=2, multiple=2, batch=1),
    TileSpec(ladder=(4, 16), halo=5, multiple=4, batch=1),
    TileSpec(ladder=(14,), halo=5, multiple=2, batch=1, border="mirror"),
    TileSpec(ladder=(8,), halo=0, multiple=4, batch=1, blend=True),
    TileSpec(ladder=(6, 10), halo=2, multiple=1, batch=1, border="mirror", blend=True),
]


def test_three_blended_pixels_by_hand():
    """Tiles of two pixels, one step apart: the middle pixel is as far from both centres."""
    axis = plan_axis(3, TileSpec(ladder=(2,), halo=0, multiple=1, batch=1, blend=True))
    assert [weights.tolist() for weights in blend_weights(axis)] == [[1.0, 0.5], [0.5, 1.0]]


def test_weights_agree_with_sums_over_whole_tiles():
    """nnU-Net's way: weighted sums of two-dimensional tiles, divided by the sums of their weights."""
    spec = TileSpec(ladder=(8,), halo=0, multiple=2, batch=1, blend=True)
    grid = plan_grid((13, 19), spec)
    rows, columns = np.mgrid[:8, :8] - 3.5
    gaussian = np.exp(-(rows**2 + columns**2) / 2)
    outputs = np.random.default_rng(0).random((len(grid), 8, 8, 2), np.float32)
    sums, weights = np.zeros((13, 19, 2)), np.zeros((13, 19, 1))
    for tile, output in zip(grid, outputs, strict=True):
        sums[tile.destination] += (gaussian[..., np.newaxis] * output)[tile.source]
        weights[tile.destination] += gaussian[tile.source][..., np.newaxis]
    blended = np.zeros((13, 19, 2), np.float32)
    axis_weights = tuple(blend_weights(axis) for axis in grid.axes)
    for tile, output in zip(grid, outputs, strict=True):
        add_blended(blended, output, tile, axis_weights)
    np.testing.assert_allclose(blended, sums / weights, rtol=2e-6)


@given(st.integers(1, 200), st.integers(2, 40), st.sampled_from([1, 2, 4]))
def test_weights_sum_to_one(length, multiples, multiple):
    spec = TileSpec(ladder=(multiples * multiple,), halo=0, multiple=multiple, batch=1, blend=True)
    axis = plan_axis(length, spec)
    total = np.zeros(length)
    for (start, stop), weights in zip(axis.cores, blend_weights(axis), strict=True):
        assert np.all(weights > 0)
        total[start:stop] += weights
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(SPECS))
def test_cut_up_and_put_back_is_the_same_image(height, width, spec):
    image = np.random.default_rng(0).normal(size=(height, width, 2)).astype(np.float32)
    before = image.copy()
    grid = plan_grid((height, width), spec)
    weights = tuple(blend_weights(axis) for axis in grid.axes)
    result = np.zeros_like(image)
    for tile in grid:
        pixels, _ = read_tile(image, grid, tile)
        output = pixels[(slice(spec.lost, -spec.lost or None),) * 2]
        if spec.blend:
            add_blended(result, output, tile, weights)
        else:
            put_core(result, output, tile)
    if spec.blend:
        np.testing.assert_allclose(result, image, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(result, image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("shape", [(5,), (20,), (3, 11, 17)])
def test_lines_and_volumes_are_put_back_too(spec, shape):
    image = np.random.default_rng(0).normal(size=(*shape, 1)).astype(np.float32)
    grid = plan_grid(shape, spec)
    weights = tuple(blend_weights(axis) for axis in grid.axes)
    result = np.zeros_like(image)
    for tile in grid:
        output = read_tile(image, grid, tile)[0][(slice(spec.lost, -spec.lost or None),) * len(shape)]
        if spec.blend:
            add_blended(result, output, tile, weights)
        else:
            put_core(result, output, tile)
    np.testing.assert_allclose(result, image, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 8])
def test_a_single_tile_weighs_exactly_one(length):
    axis = plan_axis(length, TileSpec(ladder=(8,), halo=0, multiple=2, batch=1, blend=True))
    assert [weights.tolist() for weights in blend_weights(axis)] == [[1.0] * length]
