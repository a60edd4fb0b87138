import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.evaluation.calibration import BINS, calibration_error, reliability
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
