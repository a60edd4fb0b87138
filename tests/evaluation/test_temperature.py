import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import minimize_scalar

from tinyunet.evaluation.temperature import HIGHEST, LOWEST, fit_temperature, scale_probabilities
from tinyunet.objects.decode import decode_objects
from tinyunet.objects.target import ObjectConfig

temperatures = st.floats(LOWEST, HIGHEST)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def drawn(seed, *, count=20_000, classes=3, temperature=1.0):
    """Probabilities of a network that says them at a temperature, and labels that follow the true ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)) * 2
    labels = (rng.random((count, 1)) > softmax(logits).cumsum(axis=-1)).sum(axis=-1).clip(0, classes - 1)
    return softmax(logits * temperature), labels


def loss(probabilities, labels, temperature):
    scaled = scale_probabilities(probabilities.astype(np.float64), temperature)
    return -np.log(scaled[np.arange(len(labels)), labels]).mean()


def test_two_classes_by_hand():
    # Odds of 4 to 1 become odds of 2 to 1 by the square root, and of 16 to 1 by the square.
    np.testing.assert_allclose(scale_probabilities(np.array([0.8, 0.2]), 2.0), [2 / 3, 1 / 3])
    np.testing.assert_allclose(scale_probabilities(np.array([0.8, 0.2]), 0.5), [16 / 17, 1 / 17])
    # Odds of 9 to 1 are to become 4 to 1: 9^(1/T) = 4.
    probabilities = np.tile([0.9, 0.1], (10, 1))
    found = fit_temperature(probabilities, np.array([0] * 8 + [1] * 2))
    assert found == pytest.approx(math.log(9) / math.log(4), rel=1e-8)


@given(st.integers(0, 2**32 - 1), temperatures)
def test_it_is_the_softmax_of_divided_logits(seed, temperature):
    logits = np.random.default_rng(seed).normal(size=(4, 5, 3)) * 3
    found = scale_probabilities(softmax(logits), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_it_agrees_with_scipy(classes, temperature):
    probabilities, labels = drawn(0, count=3000, classes=classes, temperature=temperature)
    expected = minimize_scalar(lambda t: loss(probabilities, labels, t), bounds=(LOWEST, HIGHEST), method="bounded")
    assert fit_temperature(probabilities, labels) == pytest.approx(expected.x, rel=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 4))
def test_nothing_in_the_range_is_better(seed, count, classes):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.3), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    found = fit_temperature(probabilities, labels)
    assert LOWEST <= found <= HIGHEST
    least = loss(probabilities, labels, found)
    assert all(least <= loss(probabilities, labels, t) + 1e-9 for t in np.geomspace(LOWEST, HIGHEST, 50))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_network_is_found_again(temperature):
    # A network whose logits are `temperature` times too large is right at that temperature.
    assert fit_temperature(*drawn(1, temperature=temperature)) == pytest.approx(temperature, rel=0.03)


@given(
    arrays.arrays(np.float32, (6, 3), elements=st.floats(2.0**-20, 1, width=32) | st.just(0.0)),
    temperatures | st.sampled_from([1.0, LOWEST, HIGHEST]),
)
def test_the_most_probable_class_stays_even_by_the_last_bit(values, temperature):
    values[:, 0] = np.nextafter(values[:, 1], np.float32(2))  # nearly equal
    before = values.copy()
    scaled = scale_probabilities(values, temperature)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(np.argmax(scaled, axis=-1), np.argmax(values, axis=-1))
    np.testing.assert_array_equal(values, before)
    if temperature != 1:
        np.testing.assert_allclose(scaled.sum(axis=-1), 1, atol=1e-5)


def test_a_temperature_of_one_changes_no_bit():
    probabilities = np.random.default_rng(0).dirichlet([1, 1], 9).astype(np.float32)
    np.testing.assert_array_equal(scale_probabilities(probabilities, 1.0), probabilities)


def test_volumes_are_scaled_like_images():
    probabilities = np.random.default_rng(0).dirichlet([1, 1], (2, 3, 4))
    flat = scale_probabilities(probabilities.reshape(-1, 2), 2.0)
    np.testing.assert_array_equal(scale_probabilities(probabilities, 2.0).reshape(-1, 2), flat)


def test_objects_would_change_so_they_are_found_without_scaling():
    probabilities = np.array([[[0.4, 0.3, 0.3], [0.1, 0.3, 0.6], [0.45, 0.275, 0.275]]])
    config = ObjectConfig(smallest_px=1, smallest_seed_px=1)
    plain = decode_objects(probabilities, config)
    assert (decode_objects(scale_probabilities(probabilities, 0.3), config) != plain).any()


@pytest.mark.parametrize(("labels", "end"), [([0, 0, 0], LOWEST), ([1, 1, 1], HIGHEST), ([0, 1, 1], HIGHEST)])
def test_without_a_minimum_inside_it_is_the_nearer_end(labels, end):
    assert fit_temperature(np.tile([0.9, 0.1], (3, 1)), np.array(labels)) == end


def test_sure_and_wrong_is_no_infinity():
    probabilities = np.float32([[1, 0], [1, 0], [0, 1], [0.6, 0.4]])
    assert LOWEST < fit_temperature(probabilities, np.array([0, 1, 1, 0])) <= HIGHEST


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match=rf"^`temperature` must be above 0 and finite, got {temperature}\.$"):
        scale_probabilities(np.array([0.5, 0.5]), temperature)


def test_without_pixels_there_is_no_temperature():
    with pytest.raises(ValueError, match=r"^`labels` must hold at least one pixel\.$"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
