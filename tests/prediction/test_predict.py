"""Prediction: stitched equals whole for networks of a known receptive field, and one program serves many images."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.prediction.predict import predict_labels, predict_probabilities
from tinyunet.prediction.tiles import TileSpec

PADDED_HALO = 5  # One pixel, one pixel at half resolution from either place in a window (3), one pixel.
UNPADDED_HALO = 4  # One pixel, one at half resolution (2), one.
KERNEL = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)  # Without symmetry.


def convolve(x, *, padding, xp):
    """Correlation with `KERNEL`; `padding` zeros on every side."""
    x = xp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return sum(KERNEL[i, j] * x[:, i : i + height, j : j + width] for i in range(3) for j in range(3))


def pool(x):
    n, height, width, c = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, c).mean((2, 4))


def upsample(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def two_classes(x, *, xp):
    probability = (1 + xp.tanh(x)) / 2
    return xp.concatenate([1 - probability, probability], axis=-1)


def padded_network(tiles, valid, *, xp=np):
    """A U-Net of depth one with zero padding, whose activations outside `valid` are zero."""
    coarse_valid = valid[:, ::2, ::2]
    fine = (convolve(tiles, padding=1, xp=xp) + 0.5) * valid
    coarse = (xp.tanh(convolve(pool(fine), padding=1, xp=xp)) + 0.5) * coarse_valid
    return two_classes(convolve(upsample(coarse) + fine, padding=1, xp=xp), xp=xp)


def unpadded_network(tiles, valid, *, xp=np):
    """The same without padding: loses `UNPADDED_HALO` pixels per side."""
    fine = convolve(tiles, padding=0, xp=xp) + 0.5
    coarse = xp.tanh(convolve(pool(fine), padding=0, xp=xp)) + 0.5
    return two_classes(convolve(upsample(coarse) + fine[:, 2:-2, 2:-2], padding=0, xp=xp), xp=xp)


def random_image(height, width, channels=1):
    return np.random.default_rng(height * 1000 + width).normal(size=(height, width, channels)).astype(np.float32)


def padded_whole(image):
    height, width, _ = image.shape
    whole = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")[np.newaxis]
    return padded_network(whole, np.ones((*whole.shape[:3], 1), bool))[0, :height, :width]


def unpadded_whole(image):
    height, width, _ = image.shape
    sides = [(UNPADDED_HALO, UNPADDED_HALO + size % 2) for size in (height, width)]
    whole = np.pad(image, (*sides, (0, 0)), mode="reflect")[np.newaxis]
    return unpadded_network(whole, None)[0, :height, :width]


def identity(tiles, valid):
    return tiles


def test_two_tiles_by_hand():
    """Each tile adds the number of its valid pixels, so the tiles can be told apart: 4 + 4 pixels, then 2 of 4."""
    image = np.arange(5, dtype=np.float32).reshape(5, 1)

    def forward(tiles, valid):
        return tiles + 10 * valid.sum(axis=1, keepdims=True)

    two = predict_probabilities(forward, image, TileSpec(ladder=(4,), halo=1, multiple=2, batch=3), classes=1)
    assert two[:, 0].tolist() == [40, 41, 42, 43, 44]
    one = predict_probabilities(forward, image, TileSpec(ladder=(8,), halo=1, multiple=2, batch=3), classes=1)
    assert one[:, 0].tolist() == [60, 61, 62, 63, 64]


@given(st.integers(1, 45), st.integers(1, 45), st.integers(PADDED_HALO, 8), st.sampled_from([(18,), (2, 20), (8, 24)]))
def test_stitched_equals_whole_with_a_map_of_valid_pixels(height, width, halo, ladder):
    image = random_image(height, width)
    before = image.copy()
    spec = TileSpec(ladder=ladder, halo=halo, multiple=2, batch=2)
    result = predict_probabilities(padded_network, image, spec, classes=2)
    np.testing.assert_allclose(result, padded_whole(image), atol=2e-6)
    np.testing.assert_array_equal(image, before)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([(10,), (12, 16), (10, 24)]))
def test_stitched_equals_whole_with_mirrored_borders(height, width, ladder):
    image = random_image(height, width)
    spec = TileSpec(ladder=ladder, halo=UNPADDED_HALO, multiple=2, batch=2, border="mirror")
    result = predict_probabilities(unpadded_network, image, spec, classes=2)
    np.testing.assert_allclose(result, unpadded_whole(image), atol=2e-6)


@pytest.mark.parametrize("height", [7, 40])
def test_stitched_equals_whole_under_jit(height):
    image = random_image(height, 41)
    padded = jax.jit(functools.partial(padded_network, xp=jnp))
    result = predict_probabilities(padded, image, TileSpec(ladder=(16,), halo=5, multiple=2, batch=2), classes=2)
    np.testing.assert_allclose(result, padded_whole(image), atol=2e-6)
    unpadded = jax.jit(functools.partial(unpadded_network, xp=jnp))
    spec = TileSpec(ladder=(16,), halo=UNPADDED_HALO, multiple=2, batch=2, border="mirror")
    result = predict_probabilities(unpadded, image, spec, classes=2)
    np.testing.assert_allclose(result, unpadded_whole(image), atol=2e-6)


def test_one_pixel_of_halo_too_few_shows():
    """The check above can fail: the receptive field really is as large as said."""
    image = random_image(45, 45)
    spec = TileSpec(ladder=(2 * PADDED_HALO,), halo=PADDED_HALO - 1, multiple=2, batch=8)
    result = predict_probabilities(padded_network, image, spec, classes=2)
    assert np.abs(result - padded_whole(image)).max() > 1e-3


def test_a_volume_is_stitched_by_the_same_code():
    """Means over 3 x 3 x 3 pixels, with zeros outside."""

    def forward(tiles, valid):
        for axis in (1, 2, 3):
            padded = np.pad(tiles, [(1, 1) if a == axis else (0, 0) for a in range(tiles.ndim)])
            tiles = sum(np.take(padded, np.arange(tiles.shape[axis]) + i, axis=axis) for i in range(3)) / 3
        return tiles * valid

    image = np.random.default_rng(0).normal(size=(6, 11, 14, 1)).astype(np.float32)
    result = predict_probabilities(forward, image, TileSpec(ladder=(6,), halo=1, multiple=1, batch=4), classes=1)
    whole = forward(image[np.newaxis], np.ones((1, 6, 11, 14, 1), bool))[0]
    np.testing.assert_allclose(result, whole, atol=1e-6)


@pytest.mark.parametrize("border", ["valid-map", "mirror"])
@pytest.mark.parametrize("blend", [False, True])
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_labels_are_the_most_probable_classes(border, blend, height, width):
    spec = TileSpec(ladder=(12, 20), halo=5, multiple=2, batch=3, border=border, blend=blend)
    image = random_image(height, width, channels=4)
    forward = identity if border == "valid-map" else lambda tiles, valid: tiles[:, 5:-5, 5:-5]
    labels = predict_labels(forward, image, spec)
    assert labels.dtype == np.int32
    probabilities = predict_probabilities(forward, image, spec, classes=4)
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))
    np.testing.assert_array_equal(labels, image.argmax(-1))


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_blended_constant_stays_constant_under_a_norm_over_the_tile(height, width):
    def forward(tiles, valid):
        mean = tiles.mean((1, 2), keepdims=True)
        assert valid.all() or not tiles[~valid].any()
        return tiles - mean + 0.25

    image = np.full((height, width, 1), 3, np.float32)
    spec = TileSpec(ladder=(8, 16), halo=0, multiple=4, batch=1, blend=True, fill=True)
    np.testing.assert_allclose(predict_probabilities(forward, image, spec, classes=1), 0.25, rtol=1e-6)


@pytest.mark.parametrize("blend", [False, True])
def test_few_programs_serve_many_sizes(blend):
    shapes, compiled = set(), []

    @jax.jit
    def program(tiles, valid):
        compiled.append(tiles.shape)  # Runs when JAX traces, not when it computes.
        return tiles

    def forward(tiles, valid):
        assert valid.shape == (*tiles.shape[:-1], 1)
        assert valid.dtype == bool
        assert tiles.dtype == np.float32
        shapes.add(tiles.shape)
        return program(tiles, valid)

    spec = TileSpec(ladder=(8, 16), halo=4, multiple=4, batch=2, blend=blend)
    for height in (1, 5, 8, 9, 16, 17, 33):
        for width in (1, 7, 8, 15, 40):
            predict_probabilities(forward, random_image(height, width), spec, classes=1)
    assert shapes == {(2, height, width, 1) for height in (8, 16) for width in (8, 16)}
    assert sorted(compiled) == sorted(shapes)


def test_the_next_batch_is_handed_over_before_the_last_is_waited_for():
    events = []

    class Pending:
        """Like a JAX array: its shape is known at once, its values when it is converted."""

        def __init__(self, values):
            self.values, self.shape, self.number = values, values.shape, events.count("begin")
            events.append("begin")

        def __array__(self, dtype=None, copy=None):
            events.append(f"wait {self.number}")
            return self.values

    image = random_image(12, 1)
    spec = TileSpec(ladder=(4,), halo=0, multiple=4, batch=1)
    result = predict_probabilities(lambda tiles, valid: Pending(tiles), image, spec, classes=1)
    assert events == ["begin", "begin", "wait 0", "begin", "wait 1", "wait 2"]
    np.testing.assert_array_equal(result, image)


def test_batches_are_never_written_to_again():
    """JAX may read an array that it was handed after the call has returned."""
    given_tiles = []

    def forward(tiles, valid):
        given_tiles.append((tiles, tiles.copy()))
        return tiles

    predict_labels(forward, random_image(40, 8, channels=2), TileSpec(ladder=(8,), halo=0, multiple=2, batch=2))
    assert len(given_tiles) == 3
    for tiles, copy in given_tiles:
        np.testing.assert_array_equal(tiles, copy)


def test_the_last_batch_is_filled_with_empty_tiles():
    seen = []

    def forward(tiles, valid):
        seen.append((tiles.copy(), valid.copy()))
        return tiles

    predict_probabilities(forward, random_image(12, 4), TileSpec(ladder=(4,), halo=0, multiple=4, batch=2), classes=1)
    assert [valid.any((1, 2, 3)).tolist() for _, valid in seen] == [[True, True], [True, False]]
    assert not seen[1][0][1].any()


@pytest.mark.parametrize("predict", [predict_labels, functools.partial(predict_probabilities, classes=2)])
def test_progress_counts_tiles(predict):
    calls = []
    spec = TileSpec(ladder=(4,), halo=0, multiple=4, batch=2)
    predict(identity, random_image(12, 4, channels=2), spec, progress=lambda *call: calls.append(call))
    assert calls == [(2, 3), (3, 3)]


@pytest.mark.parametrize("border", ["valid-map", "mirror"])
@pytest.mark.parametrize("blend", [False, True])
def test_one_pixel(border, blend):
    spec = TileSpec(ladder=(40,), halo=4, multiple=8, batch=2, border=border, blend=blend)
    forward = identity if border == "valid-map" else lambda tiles, valid: tiles[:, 4:-4, 4:-4]
    image = np.array([[[0.25, 0.75]]], np.float32)
    np.testing.assert_array_equal(predict_probabilities(forward, image, spec, classes=2), image)
    np.testing.assert_array_equal(predict_labels(forward, image, spec), [[1]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, np.float64])
def test_other_floats_become_float32(dtype):
    image = np.array([[[0.25, 0.75]]], np.float32)
    spec = TileSpec(ladder=(2,), halo=0, multiple=2, batch=1)
    result = predict_probabilities(lambda tiles, valid: tiles.astype(dtype), image, spec, classes=2)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, image)


def test_equal_probabilities_give_the_first_class():
    spec = TileSpec(ladder=(2,), halo=0, multiple=2, batch=1)
    assert predict_labels(identity, np.full((1, 2, 3), 1 / 3, np.float32), spec).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(4, np.float32), "`image` must have axes and channels, such as (h, w, c), got shape (4,)."),
        (np.zeros((4, 4, 1), np.uint8), "`image` must be normalised to float32, got uint8."),
        (np.zeros((4, 4, 1)), "`image` must be normalised to float32, got float64."),
        (
            np.zeros((4, 0, 1), np.float32),
            "`image` must have at least one pixel and one channel, got shape (4, 0, 1).",
        ),
        (
            np.zeros((4, 4, 0), np.float32),
            "`image` must have at least one pixel and one channel, got shape (4, 4, 0).",
        ),
    ],
)
@pytest.mark.parametrize("blend", [False, True])
def test_an_image_that_is_not_normalised_pixels_is_an_error(image, message, blend):
    spec = TileSpec(ladder=(4,), halo=0, multiple=2, batch=1, blend=blend)
    for predict in (predict_labels, functools.partial(predict_probabilities, classes=1)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            predict(identity, image, spec)


@pytest.mark.parametrize(
    ("output", "shape"),
    [((2, 8, 8, 2), "(2, 8, 8, 2)"), ((2, 6, 6, 3), "(2, 6, 6, 3)"), ((1, 8, 8, 3), "(1, 8, 8, 3)"), ((), "()")],
)
def test_a_network_of_another_output_shape_is_an_error(output, shape):
    spec = TileSpec(ladder=(8,), halo=2, multiple=2, batch=2)
    message = f"`forward` must return probabilities of shape (2, 8, 8, 3), got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_probabilities(lambda tiles, valid: np.zeros(output), random_image(4, 4), spec, classes=3)


def test_labels_from_another_output_shape_are_an_error():
    spec = TileSpec(ladder=(12,), halo=2, multiple=2, batch=1, border="mirror")
    message = "`forward` must return probabilities of shape (1, 8, 8, k), got (1, 12, 12, 2)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_labels(identity, random_image(4, 4, channels=2), spec)


@pytest.mark.parametrize("blend", [False, True])
def test_labels_from_one_class_are_an_error(blend):
    message = "`forward` must return two classes or more to choose labels from, got 1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        predict_labels(identity, random_image(4, 4), TileSpec(ladder=(8,), halo=0, multiple=2, batch=1, blend=blend))
