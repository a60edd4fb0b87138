import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.evaluation.calibration import (
    BINS,
    calibration_counts,
    calibration_error,
    calibration_scores,
    reliability,
)
from tinyunet.evaluation.threshold import probability_histogram


def histogram(probability, target):
    return probability_histogram(np.array(probability, float), np.array(target), positive=1)


def test_five_pixels_by_hand():
    found = histogram([0.05, 0.05, 0.95, 0.95, 0.5], [0, 1, 1, 1, -1])
    np.testing.assert_allclose(reliability(found), [[0.05, 0.5, 0.5], [0.95, 1.0, 0.5]], atol=1e-3)
    assert calibration_error(found) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
def test_it_agrees_with_grouping_the_probabilities_themselves(seed, count):
    rng = np.random.default_rng(seed)
    probability, target = rng.beta(0.5, 0.5, count), rng.integers(0, 2, count)
    group = np.minimum((probability * BINS).astype(int), BINS - 1)
    expected = sum(
        (group == g).mean() * abs(target[group == g].mean() - probability[group == g].mean()) for g in np.unique(group)
    )
    found = histogram(probability, target)
    assert calibration_error(found) == pytest.approx(expected, abs=1e-3)
    assert reliability(found)[:, 2].sum() == pytest.approx(1)


def test_probabilities_that_are_right_have_no_error():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=200_000)
    assert calibration_error(histogram(probability, (rng.uniform(size=200_000) < probability).astype(int))) < 0.01


def test_all_wrong_is_one_and_nothing_is_nan():
    assert calibration_error(histogram([0.0, 1.0], [1, 0])) == pytest.approx(1, abs=1e-3)
    assert np.isnan(calibration_error(histogram([0.5], [-1])))
    assert reliability(histogram([0.5], [-1])).shape == (0, 3)


def test_the_loss_is_the_surprise_at_each_true_class():
    probabilities = np.array([[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0.0, 1.0]]])
    found = calibration_scores(calibration_counts(probabilities, np.array([[0, 1], [0, -1]]), positive=1))
    assert found.loss == pytest.approx(-np.log([0.75, 0.5, 0.25]).mean())
    assert found.error == pytest.approx((0.25 + 0.5 + 0.75) / 3, abs=1e-3)


def test_of_more_classes_the_most_probable_is_looked_at():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.6, 0.2, 0.2], [0.3, 0.1, 0.6]])
    found = calibration_scores(calibration_counts(probabilities, np.array([0, 1, 2, -1]), positive=None))
    np.testing.assert_allclose(found.reliability, [[0.6, 2 / 3, 1]], atol=1e-3)
    assert found.error == pytest.approx(2 / 3 - 0.6, abs=1e-3)


def test_images_are_merged_pixel_by_pixel():
    rng = np.random.default_rng(0)
    probabilities, target = rng.dirichlet([1, 1, 1], (8, 9)), rng.integers(-1, 3, (8, 9))
    for positive in (None, 1):
        parts = [calibration_counts(probabilities[i], target[i], positive=positive) for i in range(8)]
        merged = calibration_scores(sum(parts[1:], start=parts[0]))
        whole = calibration_scores(calibration_counts(probabilities, target, positive=positive))
        assert merged.loss == pytest.approx(whole.loss)
        assert (merged.error, merged.reliability) == (whole.error, whole.reliability)


def test_a_probability_of_zero_costs_much_but_not_everything():
    counts = calibration_counts(np.array([[0.0, 1.0]]), np.array([0]), positive=1)
    assert 80 < calibration_scores(counts).loss < 90


@pytest.mark.parametrize("positive", [None, 0])
def test_without_pixels_there_are_no_scores(positive):
    found = calibration_scores(calibration_counts(np.array([[0.5, 0.5]]), np.array([-1]), positive=positive))
    assert np.isnan(found.error)
    assert np.isnan(found.loss)
    assert found.reliability == ()
