"""Test-time augmentation: the mean over the square's symmetries has those symmetries."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.augmented import FLIPS_AND_TURNS, predict_augmented
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec

SPEC = TileSpec(ladder=(8, 12), halo=2, multiple=4, batch=2)
WHOLE = TileSpec(ladder=(3,), halo=0, multiple=1, batch=1)


def identity(tiles, valid):
    return tiles


def leaning(tiles, valid):
    """Each pixel with some of its right and lower neighbours and of the place in the tile: no symmetry at all."""
    below = np.roll(tiles, -1, axis=1)
    right = np.roll(tiles, -1, axis=2)
    return tiles + 0.5 * below + 0.25 * right + np.linspace(0, 1, tiles.shape[1])[:, np.newaxis, np.newaxis]


def random_image(height, width):
    return np.random.default_rng(0).normal(size=(height, width, 1)).astype(np.float32)


def symmetries(image):
    """The eight flips and turns, written out."""
    turned = image.swapaxes(0, 1)
    return [
        image, image[::-1], image[:, ::-1], image[::-1, ::-1],
        turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1],
    ]  # fmt: skip


def test_the_mean_by_hand():
    """A network that gives 1 at the top left pixel of a 3 x 3 image: each corner is top left two times of eight."""

    def top_left(tiles, valid):
        output = np.zeros_like(tiles)
        output[:, 0, 0] = 1
        return output

    result = predict_augmented(top_left, np.zeros((3, 3, 1), np.float32), WHOLE, classes=1)
    np.testing.assert_array_equal(result[..., 0], [[0.25, 0, 0.25], [0, 0, 0], [0.25, 0, 0.25]])


def test_all_eight_are_taken_once():
    seen = []

    def forward(tiles, valid):
        seen.append(tiles[0, ..., 0].tolist())
        return tiles

    image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    predict_augmented(forward, image, WHOLE, classes=1)
    assert sorted(seen) == sorted(turned[..., 0].tolist() for turned in symmetries(image))
    assert len(FLIPS_AND_TURNS) == 8


@pytest.mark.parametrize(("flips", "turns", "count"), [(True, False, 4), (False, True, 4), (False, False, 1)])
def test_those_that_are_left_out_are_not_taken(flips, turns, count):
    seen = []

    def forward(tiles, valid):
        seen.append(tiles[0, ..., 0])
        return tiles

    image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    result = predict_augmented(forward, image, WHOLE, classes=1, flips=flips, turns=turns)
    np.testing.assert_array_equal(result, image)
    plane = image[..., 0]
    mirrored = [plane, plane[::-1], plane[:, ::-1], plane[::-1, ::-1]]
    turned = [np.rot90(plane, quarters) for quarters in range(4)]
    wanted = mirrored if flips else turned if turns else [plane]
    assert sorted(map(np.ndarray.tolist, seen)) == sorted(map(np.ndarray.tolist, wanted))
    assert len(seen) == count


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_network_with_the_symmetries_is_not_changed(height, width):
    image = random_image(height, width)
    before = image.copy()
    result = predict_augmented(identity, image, SPEC, classes=1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, image, rtol=1e-6)
    np.testing.assert_array_equal(image, before)


@given(st.integers(1, 20), st.integers(1, 20), st.booleans())
def test_the_flipped_image_gives_the_flipped_result(height, width, blend):
    spec = TileSpec(ladder=(8, 12), halo=2, multiple=4, batch=2, blend=blend)
    image = random_image(height, width)
    result = predict_augmented(leaning, image, spec, classes=1)
    for turned_image, turned_result in zip(symmetries(image), symmetries(result), strict=True):
        of_turned = predict_augmented(leaning, turned_image, spec, classes=1)
        np.testing.assert_allclose(of_turned, turned_result, rtol=1e-5, atol=1e-5)


def test_a_prediction_alone_has_no_such_symmetry():
    """The check above can fail."""
    image = random_image(9, 9)
    alone = predict_probabilities(leaning, image, SPEC, classes=1)
    flipped = predict_probabilities(leaning, image[::-1], SPEC, classes=1)
    assert np.abs(flipped - alone[::-1]).max() > 0.1


def test_slices_of_a_volume_keep_their_order():
    first_slices = []

    def forward(tiles, valid):
        first_slices.append(tiles[0, 0].copy())
        return tiles

    image = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) * np.ones((1, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(predict_augmented(forward, image, WHOLE, classes=1), image)
    assert len(first_slices) == 8
    assert not any(pixels.any() for pixels in first_slices)


def test_progress_counts_the_tiles_of_all_eight():
    calls = []
    image = np.zeros((12, 20, 1), np.float32)  # Two tiles of 12 x 12, with halos of 2.
    predict_augmented(identity, image, SPEC, classes=1, progress=lambda *call: calls.append(call))
    assert calls == [(2 * i, 16) for i in range(1, 9)]


def test_one_pixel():
    image = np.array([[[0.25, 0.75]]], np.float32)
    np.testing.assert_array_equal(predict_augmented(identity, image, SPEC, classes=2), image)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 1), "`image` must have two axes of space and channels, got shape (4, 1)."),
        ((4, 0, 1), "`image` must have at least one pixel and one channel, got shape (4, 0, 1)."),
    ],
)
def test_an_image_that_cannot_be_turned_is_an_error(shape, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_augmented(identity, np.zeros(shape, np.float32), SPEC, classes=1)
