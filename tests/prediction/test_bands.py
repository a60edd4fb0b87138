"""Bands: each can be computed alone, and together they are the image."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.bands import plan_bands
from tinyunet.prediction.predict import predict_bands, predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_grid

CORES = TileSpec(ladder=(8,), halo=2, multiple=2, batch=1)
BLENDED = TileSpec(ladder=(12,), halo=0, multiple=4, batch=3, blend=True)  # begins every 4 pixels: three tiles overlap
SPECS = {
    "cores": CORES,
    "cores, batches of three": TileSpec(ladder=(8,), halo=2, multiple=2, batch=3),
    "mirrored": TileSpec(ladder=(9, 12), halo=3, multiple=2, batch=2, border="mirror"),
    "blended": BLENDED,
    "blended and filled": TileSpec(ladder=(6, 8), halo=0, multiple=2, batch=2, blend=True, fill=True),
}


def forward_of(spec):
    """Two classes of a tile, which depend on where in the tile and in the batch a pixel lies: order must not matter."""

    def forward(tiles, valid):
        inner = tuple(slice(spec.lost, size - spec.lost) for size in tiles.shape[1:-1])
        kept = tiles[(slice(None), *inner)]
        steps = np.linspace(0.1, 0.9, kept[0].size, dtype=np.float32).reshape(kept.shape[1:])
        number = np.arange(len(tiles), dtype=np.float32).reshape(-1, *(1,) * (tiles.ndim - 1))
        return np.concatenate([kept * steps + number, kept], axis=-1)

    return forward


def random_image(*shape):
    return np.random.default_rng(sum(shape)).normal(size=(*shape, 1)).astype(np.float32)


def test_bands_by_hand():
    # Tiles begin at 0, 4, 8 and 10; their cores are cut at 6, 10 and 13.
    bands = plan_bands(plan_grid((18, 3), CORES))
    assert [(band.start, band.stop, band.first, band.last) for band in bands] == [
        (0, 6, 0, 0),
        (6, 10, 1, 1),
        (10, 13, 2, 2),
        (13, 18, 3, 3),
    ]
    # Outputs of 12 pixels begin at 0, 4, 8: the rows from 8 on are seen by all three.
    bands = plan_bands(plan_grid((20, 3), BLENDED))
    assert [(band.start, band.stop, band.first, band.last) for band in bands] == [
        (0, 4, 0, 0),
        (4, 8, 0, 1),
        (8, 20, 0, 2),
    ]


@given(st.sampled_from(list(SPECS)), st.integers(1, 40), st.integers(1, 30))
def test_bands_cut_the_image_into_rows(name, height, width):
    bands = plan_bands(plan_grid((height, width), SPECS[name]))
    assert [band.number for band in bands] == list(range(len(bands)))
    assert bands[0].start == 0
    assert bands[-1].stop == height
    assert all(a.stop == b.start for a, b in itertools.pairwise(bands))


@given(st.sampled_from(list(SPECS)), st.data())
def test_any_bands_and_any_region_have_the_bits_of_the_whole(name, data):
    spec = SPECS[name]
    space = data.draw(st.one_of(*(st.tuples(*(st.integers(1, high),) * n) for n, high in ((2, 32), (3, 14)))))
    image, forward = random_image(*space), forward_of(spec)
    whole = predict_probabilities(forward, image, spec, classes=2)
    starts = [data.draw(st.integers(0, size - 1)) for size in space]
    region = tuple(slice(a, data.draw(st.integers(a + 1, size))) for a, size in zip(starts, space, strict=True))
    grid = plan_grid(space, spec)
    bands = plan_bands(grid, region)
    first = data.draw(st.integers(0, len(bands) - 1))
    chosen = bands[first : data.draw(st.integers(first + 1, len(bands)))]
    ahead = data.draw(st.integers(0, 1))
    found = list(predict_bands(forward, image, grid, chosen, region=region, read_ahead=ahead))
    assert [band for band, _ in found] == list(chosen)
    for band, rows in found:
        np.testing.assert_array_equal(rows, whole[(slice(band.start, band.stop), *region[1:])])


@pytest.mark.parametrize("name", SPECS)
def test_rows_are_given_as_soon_as_they_are_complete(name):
    """Whoever takes the first band has paid for its tiles alone, and one batch ahead."""
    spec, calls = SPECS[name], []

    def forward(tiles, valid):
        calls.append(len(tiles))
        return forward_of(spec)(tiles, valid)

    grid = plan_grid((80, 10), spec)
    next(predict_bands(forward, random_image(80, 10), grid, plan_bands(grid)))
    row = len(grid) // len(grid.axes[0].begins)
    assert len(calls) <= -(-row // spec.batch) + 1


def test_progress_counts_the_tiles_of_the_bands_that_are_asked_for():
    grid = plan_grid((40, 3), CORES)
    calls = []
    bands = plan_bands(grid)[2:5]
    list(predict_bands(forward_of(CORES), random_image(40, 3), grid, bands, progress=lambda *call: calls.append(call)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
