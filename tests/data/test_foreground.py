import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.foreground import draw_pixels, intensities


def picture(seed=0, size=(60, 70)):
    rng = np.random.default_rng(seed)
    values = (rng.uniform(size=size) < 0.1).astype(np.int64)
    return rng.normal(50, 5, (*size, 2)) + 100 * values[..., None], values


def test_numbers_by_hand():
    image, values = np.array([[[1.0], [5], [7]]]), np.array([[0, 3, 3]])
    drawn = draw_pixels(image, values, 0)
    found = intensities([(drawn, drawn.values == 3)], used=1)
    assert (found.mean, found.std, found.low, found.high) == ((6.0,), (1.0,), (5.0,), (7.0,))


def test_all_pixels_give_the_numbers_of_numpy():
    image, values = picture()
    drawn = draw_pixels(image, values, 0, at_most=2 * values.size)
    found = intensities([(drawn, drawn.values > 0)], used=2)
    marked = image[values > 0]
    np.testing.assert_allclose(found.mean, marked.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.std, marked.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.low, np.percentile(marked, 0.5, axis=0), atol=1)
    np.testing.assert_allclose(found.high, np.percentile(marked, 99.5, axis=0), atol=1)


def test_a_sample_gives_about_the_same_and_the_same_every_time():
    image, values = picture()
    drawn = draw_pixels(image, values, 0, at_most=400)
    assert (len(drawn.values), (drawn.values > 0).sum()) == (400, 200)
    assert drawn.weights.sum() == pytest.approx(values.size)
    found = intensities([(drawn, drawn.values > 0)], used=2)
    np.testing.assert_allclose(found.mean, image[values > 0].mean(axis=0), atol=1.5)
    np.testing.assert_array_equal(drawn.pixels, draw_pixels(image, values, 0, at_most=400).pixels)


def test_large_images_weigh_more_than_small_ones():
    small = draw_pixels(np.zeros((1, 10, 1)), np.ones((1, 10), np.int64), 1, at_most=4)
    large = draw_pixels(np.ones((3, 10, 1)), np.ones((3, 10), np.int64), 1, at_most=4)
    everything = [(one, one.values == 1) for one in (small, large)]
    assert intensities(everything, used=1).mean == (0.75,)


def test_a_volume_is_sampled_as_an_image_is():
    image, values = picture()
    flat = draw_pixels(image, values, 0, at_most=100)
    deep = draw_pixels(image.reshape(6, 10, 70, 2), values.reshape(6, 10, 70), 0, at_most=100)
    np.testing.assert_array_equal(flat.pixels, deep.pixels)


@given(st.integers(1, 20), st.integers(2, 12))
def test_no_more_pixels_than_asked_for(size, at_most):
    drawn = draw_pixels(np.zeros((size, 3, 1)), np.arange(3 * size).reshape(size, 3) % 2, 0, at_most=at_most)
    assert len(drawn.values) <= at_most


def test_nothing_marked_has_no_numbers():
    drawn = draw_pixels(np.zeros((2, 2, 1)), np.zeros((2, 2), np.int64), 0)
    assert intensities([(drawn, drawn.values > 0)], used=1) is None
    assert intensities([], used=1) is None
