import numpy as np
import pytest

from tinyunet.prediction.batches import tile_outputs
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_grid

SPEC = TileSpec(ladder=(4,), halo=0, multiple=2, batch=2)


def counted(calls):
    def forward(tiles, valid):
        calls.append(tiles.copy())
        return tiles + np.arange(16, dtype=np.float32).reshape(4, 4, 1)

    return forward


def outputs(forward, image, spec=SPEC, **options):
    grid = plan_grid(image.shape[:-1], spec)
    batches = tile_outputs(forward, image, grid, range(len(grid)), lambda tile: True, **options)
    return [(tile.index, output) for batch in batches for tile, output in batch]


def test_a_tile_of_one_value_is_computed_once_and_alone():
    image = np.full((4, 20, 1), 7, np.float32)
    image[:, 8:12] = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    image[:, 16:] = 5
    calls = []
    found = outputs(counted(calls), image)
    # one call for the value 7, one for the batch in which another tile stands, one for the value 5
    assert len(calls) == 3
    assert (calls[0][0] == 7).all()
    assert not calls[0][1].any()
    np.testing.assert_array_equal(found[0][1], found[3][1])
    steps = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    for number, (index, output) in enumerate(found):
        assert index == (0, number)
        np.testing.assert_array_equal(output, image[:, 4 * number : 4 * number + 4] + steps)


def test_more_values_than_are_kept():
    image = np.repeat(np.arange(12, dtype=np.float32), 4)[None, :, None].repeat(4, axis=0)
    spec = TileSpec(ladder=(4,), halo=0, multiple=2, batch=6)
    calls = []
    found = outputs(counted(calls), image, spec)
    assert len(calls) == 12
    assert [output[0, 0, 0] for _, output in found] == list(range(12))


def test_a_tile_that_reaches_beyond_the_image_is_computed_with_the_others():
    calls = []
    outputs(counted(calls), np.full((2, 8, 1), 7, np.float32))  # the image ends after two rows
    assert len(calls) == 1
    assert calls[0][0].sum() == calls[0][1].sum() == 8 * 7


def test_all_channels_make_the_value():
    image = np.zeros((4, 4, 2), np.float32)
    image[..., 1] = 3
    calls = []
    outputs(lambda tiles, valid: calls.append(tiles.copy()) or tiles, image)
    assert len(calls) == 1
    assert calls[0][0, 0, 0].tolist() == [0, 3]


def test_reading_in_a_thread_fails_here():
    class Broken:
        shape = (8, 8, 1)

        def __getitem__(self, key):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        outputs(lambda tiles, valid: tiles, Broken(), read_ahead=2)


def test_a_constant_image_has_the_bits_that_it_has_alone():
    image = np.full((16, 16, 1), 2, np.float32)
    forward = counted([])
    small = TileSpec(ladder=(4,), halo=0, multiple=4, batch=1)
    result = predict_probabilities(forward, image, small, classes=1)
    np.testing.assert_array_equal(result, np.tile(forward(image[None, :4, :4], None)[0], (4, 4, 1)))
