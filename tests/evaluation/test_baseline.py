import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.filters import threshold_otsu

from tinyunet.evaluation.baseline import choose_polarity, otsu_labels

SPOT = np.array([[10, 10, 10], [10, 200, 190], [10, 180, 10]], np.uint8)[..., None]
INSIDE = (SPOT[..., 0] > 100).astype(np.int32)

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)))


def test_a_bright_spot_by_hand():
    np.testing.assert_array_equal(otsu_labels(SPOT, polarity="bright"), INSIDE)
    np.testing.assert_array_equal(otsu_labels(SPOT, polarity="dark"), 1 - INSIDE)
    np.testing.assert_array_equal(otsu_labels(SPOT, polarity="bright", positive=0), 1 - INSIDE)
    np.testing.assert_array_equal(otsu_labels(SPOT, polarity="dark", positive=0), INSIDE)


@pytest.mark.parametrize("channels", [1, 3])
def test_threshold_is_that_of_scikit_image_on_the_mean_over_channels(channels):
    image = np.random.default_rng(channels).gamma(2.0, 30.0, (40, 50, channels))
    brightness = image.mean(axis=-1)
    expected = brightness > threshold_otsu(brightness)
    np.testing.assert_array_equal(otsu_labels(image, polarity="bright"), expected)


def test_threshold_separates_as_well_as_the_best_of_all():
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(50, 10, 400), rng.normal(150, 20, 200)]).reshape(20, 30, 1)

    def variance_between(above):
        weight = above.mean()
        return weight * (1 - weight) * (image[above].mean() - image[~above].mean()) ** 2

    best = max(variance_between(image > threshold) for threshold in np.sort(image.ravel())[:-1])
    assert variance_between(otsu_labels(image, polarity="bright")[..., None] == 1) == pytest.approx(best, rel=1e-3)


@given(IMAGES, st.integers(0, 1))
def test_flips_and_the_order_of_channels_change_nothing(image, axis):
    labels = otsu_labels(image, polarity="bright")
    flipped = np.flip(otsu_labels(np.flip(image, axis)[..., ::-1], polarity="bright"), axis)
    np.testing.assert_array_equal(flipped, labels)


@given(IMAGES)
def test_bright_and_dark_are_each_other_unless_the_image_is_constant(image):
    bright, dark = (otsu_labels(image, polarity=polarity) for polarity in ("bright", "dark"))
    if np.ptp(image.mean(axis=-1)) == 0:
        assert not bright.any()
        assert not dark.any()
    else:
        np.testing.assert_array_equal(bright, 1 - dark)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_any_type_of_image(dtype):
    np.testing.assert_array_equal(otsu_labels(SPOT.astype(dtype), polarity="bright"), INSIDE)


def test_three_dimensions():
    volume = np.stack([SPOT, SPOT])
    np.testing.assert_array_equal(otsu_labels(volume, polarity="bright"), [INSIDE, INSIDE])
    assert choose_polarity([(volume, 1 - np.stack([INSIDE, INSIDE]))]) == "dark"


@pytest.mark.parametrize("polarity", ["bright", "dark"])
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize(
    "image",
    [np.full((2, 3, 1), 7, np.uint8), np.full((1, 1, 3), 0.1), np.zeros((2, 2, 1)), np.zeros((0, 4, 1))],
)
def test_constant_images_are_all_negative(image, polarity, positive):
    labels = otsu_labels(image, polarity=polarity, positive=positive)
    assert labels.shape == image.shape[:-1]
    assert np.all(labels == 1 - positive)


def test_an_image_that_is_constant_up_to_rounding_is_all_negative():
    image = np.array([[[1.0], [np.nextafter(1.0, 2)]]])
    assert not otsu_labels(image, polarity="dark").any()


def test_polarity_is_the_one_that_scores_better():
    assert choose_polarity([(SPOT, INSIDE)]) == "bright"
    assert choose_polarity([(SPOT, 1 - INSIDE)]) == "dark"
    assert choose_polarity([(SPOT, 1 - INSIDE)], positive=0) == "bright"


def test_polarity_is_chosen_by_the_positive_class_alone():
    everything = np.zeros((3, 3), int)  # four pixels are bright, five are dark
    assert choose_polarity([(SPOT, everything)], positive=0) == "dark"


def test_polarity_pools_the_pixels_of_all_images():
    large = np.tile(SPOT, (4, 4, 1)), np.tile(1 - INSIDE, (4, 4))
    assert choose_polarity(iter([large, (SPOT, INSIDE), (SPOT, INSIDE)])) == "dark"


def test_ignored_pixels_have_no_say_in_the_polarity():
    target = np.where(INSIDE == 1, 1, -1)
    target[0, 0] = 0
    assert choose_polarity([(SPOT, target)]) == "bright"


def test_polarity_without_any_evidence_is_bright():
    assert choose_polarity([(SPOT, np.full((3, 3), -1))]) == "bright"
    assert choose_polarity([(SPOT[1:2, :2], np.array([[1, 1]]))]) == "bright"  # one pixel each


def test_unknown_options_are_errors():
    with pytest.raises(ValueError, match=r"^`polarity` must be one of bright, dark, got 'Bright'\.$"):
        otsu_labels(SPOT, polarity="Bright")
    with pytest.raises(ValueError, match=r"^`positive` must be 0 or 1, got 2\.$"):
        otsu_labels(SPOT, polarity="bright", positive=2)


def test_polarity_of_no_images_is_an_error():
    with pytest.raises(ValueError, match=r"^`pairs` must hold at least one image with its labels, got none\.$"):
        choose_polarity([])


def test_image_and_truth_of_different_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"^`prediction` must have the shape of `target`, \(2, 3\), got \(3, 3\)\.$"):
        choose_polarity([(SPOT, INSIDE[:2])])
