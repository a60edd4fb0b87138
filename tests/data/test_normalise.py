import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinyunet.data.normalise import ChannelRule, Normalisation, has_opaque_alpha, is_grey, measure, normalise
from tinyunet.errors import ConfigError, DataError

OPAQUE_GREY = ChannelRule(drop_alpha=True, collapse_grey=True, used=1)
DTYPES = ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def images(dtypes=DTYPES):
    return st.sampled_from(dtypes).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=3, max_dims=3, max_side=5),
            elements={"min_value": -1000, "max_value": 1000} if dtype.startswith("float") else None,
        )
    )


def test_four_pixels_by_hand():
    image = np.array([[[1, 10], [3, 10]], [[3, 30], [5, 30]]], np.uint8)  # means 3 and 20, deviations √2 and 10
    normalised = normalise(image, Normalisation("image"))
    np.testing.assert_allclose(normalised[..., 0], np.array([[-2, 0], [0, 2]]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_array_equal(normalised[..., 1], [[-1, -1], [1, 1]])
    assert normalised.dtype == np.float32


def test_given_mean_and_deviation():
    image = np.array([[[4], [0]]], np.uint16)
    assert normalise(image, Normalisation("dataset", (2.0,), (4.0,))).ravel().tolist() == [0.5, -0.5]


@given(image=images([dtype for dtype in DTYPES if "int64" not in dtype]))  # float64 holds those only to 1 in 2**53
def test_mean_is_0_and_deviation_1_or_0(image):
    before = image.copy()
    normalised = normalise(image, Normalisation("image")).astype(np.float64)
    np.testing.assert_array_equal(image, before)
    assert np.isfinite(normalised).all()
    # by more than has a square that float64 holds
    varied = np.ptp(image.astype(np.float64), axis=(0, 1)) > 1e-150
    np.testing.assert_allclose(normalised.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=(0, 1))[varied], 1, rtol=1e-3)
    np.testing.assert_array_equal(normalised[..., ~varied], 0)


@given(image=images(["uint8", "uint16", "float32"]), gain=st.floats(0.5, 100), offset=st.floats(-1000, 1000))
def test_brightness_and_contrast_do_not_matter(image, gain, offset):
    other = image.astype(np.float64) * gain + offset
    varied = image.std(axis=(0, 1), dtype=np.float64) > 1e-3
    both = [normalise(x, Normalisation("image"))[..., varied] for x in (image, other)]
    np.testing.assert_allclose(*both, atol=1e-4)


@given(image=images())
def test_an_image_measured_once_is_normalised_piece_by_piece(image):
    whole = normalise(image, Normalisation("image"))
    pieces = [normalise(row[None], measure(image)) for row in image]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@given(value=st.floats(-1e30, 1e30), side=st.integers(1, 40))
@example(value=0.1, side=3)  # whose mean in float64 is not 0.1
def test_constant_image_is_0(value, side):
    image = np.full((side, 7, 1), value)
    assert not normalise(image, Normalisation("image")).any()
    assert measure(image).std == (0.0,)


def test_small_contrast_on_a_large_offset_survives():
    image = np.array([[[2**31], [2**31 + 1]]], np.uint32)
    assert normalise(image, Normalisation("image")).ravel().tolist() == [-1, 1]


def test_channel_that_never_varied_in_training_is_0_where_it_varies_later():
    image = np.array([[[0], [255]]], np.uint8)
    assert not normalise(image, Normalisation("dataset", (7.0,), (0.0,))).any()


def test_single_pixel():
    assert normalise(np.array([[[9]]], np.uint8), Normalisation("image")).tolist() == [[[0.0]]]


def test_image_with_other_channels_than_the_normalisation():
    with pytest.raises(ValueError, match=r"^`image` must have 2 channels as `normalisation` has, got 3\.$"):
        normalise(np.zeros((1, 1, 3)), Normalisation("dataset", (0.0, 0.0), (1.0, 1.0)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "pixel"}, "`kind` must be 'image' or 'dataset', got 'pixel'."),
        ({"kind": "image", "mean": (1.0,), "std": (1.0,)}, "`mean` and `std` must be empty where `kind` is 'image'"),
        ({"kind": "dataset"}, "`mean` and `std` must hold one number for each channel, got 0 and 0."),
        ({"kind": "dataset", "mean": (1.0,), "std": ()}, "must hold one number for each channel, got 1 and 0."),
        ({"kind": "dataset", "mean": (1.0,), "std": (-1.0,)}, "`mean` must be finite and `std` at least 0, got (1.0,)"),
        ({"kind": "dataset", "mean": (np.nan,), "std": (1.0,)}, "`mean` must be finite and `std` at least 0"),
    ],
)
def test_normalisations_that_cannot_be(options, text):
    if options["kind"] == "pixel":  # the type checks of these tests would be first
        normalisation = object.__new__(Normalisation)
        for name, value in {"mean": (), "std": (), **options}.items():
            object.__setattr__(normalisation, name, value)
        with pytest.raises(ConfigError, match=re.escape(text)):
            normalisation.__post_init__()
        return
    with pytest.raises(ConfigError, match=re.escape(text)):
        Normalisation(**options)


# Channels.


@pytest.mark.parametrize(
    "image",
    [
        np.array([[[5], [7]]], np.uint8),
        np.array([[[5, 255], [7, 255]]], np.uint8),
        np.array([[[5, 5, 5], [7, 7, 7]]], np.uint8),
        np.array([[[5, 5, 5, 255], [7, 7, 7, 255]]], np.uint8),
    ],
    ids=["grey", "grey with alpha", "RGB", "RGBA"],
)
def test_grey_images_are_grey_however_they_are_stored(image):
    before = image.copy()
    assert OPAQUE_GREY.apply(image, where="a.png").tolist() == [[[5], [7]]]
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_image_of_the_used_channels_passes_unchanged(channels):
    image = np.random.default_rng(0).integers(0, 9, (2, 3, channels))
    for drop_alpha in (False, True):
        rule = ChannelRule(drop_alpha=drop_alpha, collapse_grey=False, used=channels)
        assert rule.apply(image, where="a.png") is image


@pytest.mark.parametrize(
    ("pixel", "used", "kept"),
    [
        ([5, 5, 5], 1, [5]),
        ([5, 255], 1, [5]),
        ([5, 5, 5, 255], 1, [5]),
        ([5, 6, 7, 255], 3, [5, 6, 7]),
    ],
)
def test_channels_that_hold_nothing_are_left_out_where_grey_or_rgb_is_wanted(pixel, used, kept):
    rule = ChannelRule(drop_alpha=False, collapse_grey=False, used=used)
    assert rule.apply(np.array([[pixel]], np.uint8), where="a.png")[0, 0].tolist() == kept


@pytest.mark.parametrize(
    ("image", "rule", "text"),
    [
        (
            np.array([[[5, 5, 5, 255], [7, 7, 7, 0]]], np.uint8),
            OPAQUE_GREY,
            "a.png is transparent in places, unlike the other images: save it without alpha.",
        ),
        (
            np.array([[[5, 6, 7]]], np.uint8),
            OPAQUE_GREY,
            "a.png is in colour, unlike the other images, which are grey: convert it to grey.",
        ),
        (
            np.array([[[5, 6, 7]]], np.uint8),
            ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
            "a.png has 3 channels where 1 are wanted: convert it to grey.",
        ),
        (
            np.zeros((1, 1, 1), np.uint8),
            ChannelRule(drop_alpha=True, collapse_grey=False, used=3),
            "a.png has 1 channels where 3 are wanted: convert it to RGB.",
        ),
        (
            np.zeros((1, 1, 4), np.uint8),
            ChannelRule(drop_alpha=False, collapse_grey=False, used=5),
            "a.png has 4 channels where 5 are wanted: convert it to 5 channels.",
        ),
    ],
)
def test_images_unlike_the_others(image, rule, text):
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        rule.apply(image, where="a.png")


@pytest.mark.parametrize(("collapse_grey", "used", "text"), [(False, 0, "at least 1, got 0"), (True, 3, "1, got 3")])
def test_rules_that_cannot_be(collapse_grey, used, text):
    with pytest.raises(ConfigError, match=rf"^`used` must be {text}\.$"):
        ChannelRule(drop_alpha=False, collapse_grey=collapse_grey, used=used)


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_alpha_that_says_nothing_is_at_the_top_of_its_dtype(dtype, top):
    image = np.full((2, 2, 4), top, dtype)
    assert has_opaque_alpha(image)
    assert not has_opaque_alpha(image[..., :3])
    image[1, 1, 3] = 0
    assert not has_opaque_alpha(image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_only_three_or_four_channels_can_be_grey_colours(channels):
    assert is_grey(np.zeros((2, 2, channels), np.uint8)) == (channels in (3, 4))


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_coloured_pixel_is_enough(channel):
    image = np.zeros((3, 3, 3), np.uint8)
    image[2, 2, channel] = 1
    assert not is_grey(image)
