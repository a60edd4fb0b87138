import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.evaluation.display import to_display


def test_to_display_of_one_channel_is_grey_between_the_percentiles():
    values = np.linspace(100.0, 300.0, 201).reshape(1, 201, 1)
    shown = to_display(values)
    assert (shown == shown[:, :, :1]).all()
    # The percentiles are 101 and 299, so 200 lies in the middle: 255 * (200 - 101) / 198 = 127.5.
    assert shown[0, 0, 0] == 0
    assert shown[0, 200, 0] == 255
    assert shown[0, 100, 0] == 128


def test_to_display_is_not_darkened_by_a_hot_pixel():
    image = np.tile(np.linspace(0, 100, 50, dtype=np.uint16), (50, 1))[:, :, None]
    hot = image.copy()
    hot[3, 4] = 65535
    away = np.ones((50, 50), bool)
    away[3, 4] = False
    assert np.array_equal(to_display(hot)[away], to_display(image)[away])
    assert to_display(hot)[3, 4].tolist() == [255, 255, 255]


def test_to_display_of_a_colour_picture_keeps_its_hues():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (200, 100, 0)  # the percentiles of these twelve values are 0 and 100 + 0.945 * 100 = 194.5
    assert to_display(image)[0, 0].tolist() == [255, 131, 0]


def test_to_display_of_two_channels_is_green_and_magenta():
    image = np.zeros((1, 3, 2), np.uint16)
    image[0, 0, 0] = 1000
    image[0, 1, 1] = 7
    assert to_display(image)[0].tolist() == [[0, 255, 0], [255, 0, 255], [0, 0, 0]]


def test_to_display_of_many_channels_shows_the_first_three():
    image = np.random.default_rng(0).normal(size=(6, 5, 7))
    assert np.array_equal(to_display(image), to_display(image[:, :, :3]))


def test_to_display_of_a_rare_bright_spot_on_nothing_shows_it():
    image = np.zeros((100, 100, 1), np.uint16)
    image[50, 50] = 9  # both percentiles are 0
    assert to_display(image)[50, 50, 0] == 255
    assert to_display(image)[0, 0, 0] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 2), (3, 1, 3), (2, 2, 5)])
def test_to_display_of_a_constant_image_is_mid_grey(dtype, shape):
    assert (to_display(np.ones(shape, dtype)) == 128).all()


def test_to_display_of_an_image_larger_than_the_sample_uses_all_of_its_range():
    ramp = np.broadcast_to(np.arange(1500, dtype=np.float32)[:, None, None], (1500, 1500, 1))
    shown = to_display(ramp)
    assert shown[0, 0, 0] == 0
    assert shown[-1, 0, 0] == 255
    assert abs(int(shown[750, 0, 0]) - 128) <= 1


@given(st.integers(1, 4), st.floats(0.01, 100), st.floats(-50, 50))
def test_to_display_does_not_depend_on_gain_and_offset(channels, gain, offset):
    image = np.random.default_rng(channels).normal(size=(12, 10, channels))
    apart = np.abs(to_display(image).astype(int) - to_display(gain * image + offset).astype(int))
    assert apart.max() <= 1


def test_to_display_refuses_an_image_without_pixels():
    with pytest.raises(ValueError, match=r"`image` must have pixels and channels, got the shape \(0, 3, 1\)\."):
        to_display(np.zeros((0, 3, 1)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_to_display_of_a_volume_is_that_of_its_slices_laid_in_a_row(channels, dtype):
    volume = (60 * np.random.default_rng(0).normal(2, 1, (3, 4, 5, channels))).astype(dtype)
    assert np.array_equal(to_display(volume), to_display(volume.reshape(12, 5, channels)).reshape(3, 4, 5, 3))


def test_to_display_of_a_volume_larger_than_the_sample_uses_all_of_its_range():
    ramp = np.broadcast_to(np.arange(300, dtype=np.float32)[:, None, None, None], (300, 300, 300, 1))
    shown = to_display(ramp)
    assert (shown[0, 0, 0, 0], shown[-1, 0, 0, 0]) == (0, 255)
    assert abs(int(shown[150, 0, 0, 0]) - 128) <= 2
