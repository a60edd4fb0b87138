"""Tiles: every pixel is kept once, far enough from inner borders, and reads are what the border rule says."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.tiles import TileSpec, plan_axis, plan_grid, read_tile


@st.composite
def spec_options(draw, *, borders=("valid-map", "mirror"), blends=(False, True)):
    border, blend = draw(st.sampled_from(borders)), draw(st.sampled_from(blends))
    multiple, halo = draw(st.sampled_from((1, 2, 4))), draw(st.integers(0, 6))
    lost = halo if border == "mirror" else 0
    least = -(-(2 * (multiple + lost) if blend else multiple + 2 * halo) // multiple) * multiple
    largest = least + multiple * draw(st.integers(0, 4))
    smaller = range(-(-(2 * lost + 1) // multiple) * multiple, largest, multiple)
    ladder = (*sorted(draw(st.sets(st.sampled_from(smaller), max_size=2)) if smaller else ()), largest)
    return {"ladder": ladder, "halo": halo, "multiple": multiple, "batch": 1, "border": border, "blend": blend}


def test_two_tiles_by_hand():
    axis = plan_axis(9, TileSpec(ladder=(4, 8), halo=1, multiple=2, batch=1))
    assert (axis.padded, axis.tile, axis.output) == (10, 8, 8)
    assert axis.begins == (0, 2)  # The second ends where the padded image ends.
    assert axis.cores == ((0, 5), (5, 9))


def test_the_unet_paper_by_hand():
    """572 pixels in, 388 out; 512 pixels of an image take two tiles."""
    axis = plan_axis(512, TileSpec(ladder=(572,), halo=92, multiple=16, batch=1, border="mirror"))
    assert (axis.tile, axis.output, axis.begins) == (572, 388, (0, 128))
    grid = plan_grid((512, 512), TileSpec(ladder=(572,), halo=92, multiple=16, batch=1, border="mirror"))
    assert [tile.start for tile in grid] == [(-92, -92), (-92, 36), (36, -92), (36, 36)]


def test_tiles_overlap_by_half_when_blended():
    axis = plan_axis(16, TileSpec(ladder=(8,), halo=3, multiple=2, batch=1, blend=True))
    assert axis.cores == ((0, 8), (4, 12), (8, 16))


@pytest.mark.parametrize(("length", "tile"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (32, 32), (100, 32)])
def test_the_smallest_tile_that_holds_the_axis_is_taken(length, tile):
    assert plan_axis(length, TileSpec(ladder=(8, 16, 32), halo=4, multiple=4, batch=1)).tile == tile


@given(st.integers(1, 200), spec_options())
def test_no_other_size_would_compute_fewer_pixels(length, options):
    spec = TileSpec(**options)
    found = plan_axis(length, spec)
    if len(found.begins) > 1 and not spec.blend:
        alone = [replace(spec, ladder=(size,)) for size in spec.ladder if spec.stride_of(size)]
        pixels = [axis.tile * len(axis.begins) for axis in (plan_axis(length, one) for one in alone)]
        assert found.tile * len(found.begins) == min(pixels)


@given(st.integers(1, 60), spec_options())
def test_cores_hold_every_pixel(length, options):
    spec = TileSpec(**options)
    axis = plan_axis(length, spec)
    times_held = np.zeros(length, int)
    for start, stop in axis.cores:
        times_held[start:stop] += 1
    assert times_held.min() == 1 if not spec.blend else times_held.min() >= 1
    assert spec.blend or times_held.max() == 1
    assert all(stop > start for start, stop in axis.cores)


@given(st.integers(1, 60), spec_options())
def test_pooling_windows_of_all_tiles_agree(length, options):
    spec = TileSpec(**options)
    axis = plan_axis(length, spec)
    assert all(begin % spec.multiple == 0 for begin in axis.begins)
    assert axis.tile in spec.ladder
    assert len(set(axis.begins)) == len(axis.begins)


@given(st.integers(1, 60), spec_options(blends=(False,)))
def test_inner_borders_are_a_halo_away(length, options):
    spec = TileSpec(**options)
    axis = plan_axis(length, spec)
    last = len(axis.begins) - 1
    for i, (begin, (start, stop)) in enumerate(zip(axis.begins, axis.cores, strict=True)):
        first_read = begin - axis.lost
        assert i == 0 or start - first_read >= spec.halo
        assert i == last or first_read + axis.tile - stop >= spec.halo


@given(st.integers(1, 60), spec_options())
def test_no_tile_is_needless(length, options):
    spec = TileSpec(**options)
    axis = plan_axis(length, spec)
    assert len(axis.begins) == 1 or axis.begins[-2] + axis.output < length


@given(st.integers(1, 20), st.integers(1, 20), spec_options())
def test_a_grid_is_the_product_of_its_axes(height, width, options):
    spec = TileSpec(**options)
    grid = plan_grid((height, width), spec)
    tiles = list(grid)
    assert len(tiles) == len(grid) == len(plan_axis(height, spec).begins) * len(plan_axis(width, spec).begins)
    held = np.zeros((height, width), bool)
    for tile in tiles:
        held[tile.destination] = True
        assert all(
            (s.stop - s.start) == (d.stop - d.start) and s.start >= 0 and s.stop <= output
            for s, d, output in zip(tile.source, tile.destination, grid.output_shape, strict=True)
        )
    assert held.all()


@given(st.integers(1, 12), st.integers(1, 12), spec_options(borders=("mirror",)))
def test_mirrored_reads_agree_with_numpy(height, width, options):
    spec = TileSpec(**options)
    image = np.arange(height * width).reshape(height, width, 1)
    grid = plan_grid((height, width), spec)
    far = max(spec.ladder) + spec.halo
    mirrored = np.pad(image, ((far, far), (far, far), (0, 0)), mode="reflect")
    for tile in grid:
        pixels, valid = read_tile(image, grid, tile)
        inside = tuple(slice(far + a, far + a + t) for a, t in zip(tile.start, grid.tile_shape, strict=True))
        np.testing.assert_array_equal(pixels, mirrored[inside])
        assert valid.all()


@given(st.integers(1, 12), st.integers(1, 12), spec_options(borders=("valid-map",), blends=(False,)))
def test_reads_repeat_the_edge_to_the_next_multiple_and_end(height, width, options):
    spec = TileSpec(**options)
    image = 1 + np.arange(height * width).reshape(height, width, 1)
    grid = plan_grid((height, width), spec)
    more = [(0, -size % spec.multiple) for size in (height, width)]
    padded = np.pad(image, (*more, (0, 0)), mode="edge")
    expected = np.pad(padded, ((0, max(spec.ladder)), (0, max(spec.ladder)), (0, 0)))
    for tile in grid:
        pixels, valid = read_tile(image, grid, tile)
        inside = tuple(slice(a, a + t) for a, t in zip(tile.start, grid.tile_shape, strict=True))
        np.testing.assert_array_equal(pixels, expected[inside])
        np.testing.assert_array_equal(valid, expected[inside] > 0)


def test_a_blended_tile_larger_than_the_image_is_filled_with_its_edge():
    grid = plan_grid((2,), TileSpec(ladder=(6,), halo=0, multiple=2, batch=1, blend=True, fill=True))
    pixels, valid = read_tile(np.array([[4], [5]]), grid, next(iter(grid)))
    assert pixels[:, 0].tolist() == [4, 5, 5, 5, 5, 5]
    assert valid.all()


@pytest.mark.parametrize("border", ["valid-map", "mirror"])
def test_one_pixel_is_everywhere(border):
    spec = TileSpec(ladder=(12,), halo=4, multiple=4, batch=1, border=border)
    grid = plan_grid((1, 1), spec)
    pixels, valid = read_tile(np.full((1, 1, 3), 7), grid, next(iter(grid)))
    assert pixels.shape == (12, 12, 3)
    assert np.all(pixels[valid[..., 0]] == 7)
    assert valid.sum() == (144 if border == "mirror" else 16)


def test_an_inner_tile_reads_only_its_part_of_the_image(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, np.arange(40).reshape(40, 1))
    image = np.load(path, mmap_mode="r")
    grid = plan_grid((40,), TileSpec(ladder=(8,), halo=2, multiple=2, batch=1))
    pixels, _ = read_tile(image, grid, list(grid)[1])
    assert np.shares_memory(pixels, image)
    assert pixels[:, 0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halo": -1}, "`halo` must be at least 0, got -1."),
        ({"multiple": 0}, "`multiple` must be at least 1, got 0."),
        ({"batch": 0}, "`batch` must be at least 1, got 0."),
        ({"ladder": ()}, "`ladder` must be positive tile sizes in ascending order, got ()."),
        ({"ladder": (32, 16)}, "`ladder` must be positive tile sizes in ascending order, got (32, 16)."),
        ({"ladder": (16, 16)}, "`ladder` must be positive tile sizes in ascending order, got (16, 16)."),
        ({"ladder": (0, 16)}, "`ladder` must be positive tile sizes in ascending order, got (0, 16)."),
        ({"ladder": (18,)}, "`ladder` must hold multiples of 4, got (18,)."),
        ({"ladder": (16,)}, "`ladder` must end with 20 or more at a halo of 8 and a multiple of 4, got (16,)."),
        (
            {"ladder": (4,), "blend": True},
            "`ladder` must end with 8 or more at a halo of 8 and a multiple of 4, got (4,).",
        ),
        ({"ladder": (16, 32), "border": "mirror"}, "`ladder` must hold sizes above 16 (twice the halo), got (16, 32)."),
        (
            {"ladder": (18,), "border": "mirror"},
            "`ladder` must end with 20 or more at a halo of 8 and a multiple of 4, got (18,).",
        ),
    ],
)
def test_a_specification_that_cannot_be_is_an_error(changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TileSpec(**({"ladder": (32,), "halo": 8, "multiple": 4, "batch": 1} | changes))


def test_an_axis_without_pixels_is_an_error():
    message = "`image` must have at least one pixel along every axis, got 0."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plan_grid((3, 0), TileSpec(ladder=(4,), halo=0, multiple=2, batch=1))


def test_an_unknown_border_rule_is_an_error():
    spec = TileSpec(ladder=(4,), halo=0, multiple=2, batch=1)
    object.__setattr__(spec, "border", "zero")  # The constructor's types are checked first in these tests.
    message = '`border` must be "valid-map" or "mirror", got \'zero\'.'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        spec.__post_init__()
