import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import losses as reference

from tinyunet.errors import ConfigError
from tinyunet.training.losses import LossConfig, cross_entropy, dice_loss, loss

K = 3
SHAPE = (2, 3, 2)
WEIGHTS = (0.5, 1.0, 4.0)
OPTIONS = {
    "defaults": LossConfig(),
    "cross-entropy": LossConfig(dice=0.0),
    "weighted": LossConfig(dice=0.0, class_weights=WEIGHTS),
    "dice": LossConfig(cross_entropy=0.0),
    "all": LossConfig(cross_entropy=0.7, dice=1.3, class_weights=WEIGHTS),
}


@st.composite
def logits_and_labels(draw):
    """Always of one shape, so that each loss is compiled once."""
    logits = draw(hnp.arrays(np.float32, (*SHAPE, K), elements=st.floats(-20, 20, width=32)))
    labels = draw(hnp.arrays(np.int32, SHAPE, elements=st.integers(-1, K - 1)))
    return jnp.asarray(logits), jnp.asarray(labels)


def on_host(batch):
    return tuple(np.asarray(array) for array in batch)


def a_batch():
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(*SHAPE, K)), jnp.float32), jnp.asarray(rng.integers(-1, K, SHAPE))


def test_three_pixels_by_hand():
    logits = jnp.log(jnp.array([[0.5, 0.5], [0.75, 0.25], [0.1, 0.9]]))
    labels = jnp.array([0, 1, -1])
    np.testing.assert_allclose(cross_entropy(logits, labels), (math.log(2) + math.log(4)) / 2, rtol=1e-6)
    weighted = cross_entropy(logits, labels, class_weights=(1.0, 3.0))
    np.testing.assert_allclose(weighted, (math.log(2) + 3 * math.log(4)) / 4, rtol=1e-6)
    # Class 0: overlap 0.5, predicted 1.25, true 1. Class 1: overlap 0.25, predicted 0.75, true 1.
    np.testing.assert_allclose(dice_loss(logits, labels), 1 - (2 / 3.25 + 1.5 / 2.75) / 2, rtol=1e-6)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    logits, labels = a_batch()
    config = LossConfig(cross_entropy=0.7, dice=1.3, class_weights=WEIGHTS)
    parts = 0.7 * cross_entropy(logits, labels, class_weights=WEIGHTS) + 1.3 * dice_loss(logits, labels)
    np.testing.assert_allclose(loss(logits, labels, config), parts, rtol=1e-6)


@given(logits_and_labels())
def test_they_agree_with_the_definitions(batch):
    np.testing.assert_allclose(
        cross_entropy(*batch, class_weights=WEIGHTS),
        reference.cross_entropy(*on_host(batch), WEIGHTS),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(dice_loss(*batch), reference.dice_loss(*on_host(batch)), rtol=1e-4, atol=1e-5)


def test_cross_entropy_agrees_with_optax():
    logits, labels = a_batch()
    each = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0), where=None)
    np.testing.assert_allclose(cross_entropy(logits, labels), jnp.mean(each, where=labels >= 0), rtol=1e-6)


@given(logits_and_labels())
def test_they_are_in_range(batch):
    assert 0 <= cross_entropy(*batch) <= 40 + math.log(K)
    assert -1e-6 <= dice_loss(*batch) < 1


@given(logits_and_labels(), st.permutations(range(K)), st.integers(0, len(SHAPE) - 1))
def test_names_of_classes_and_places_of_pixels_do_not_matter(batch, order, axis):
    logits, labels = batch
    new = jnp.array([*np.argsort(order), -1])  # the last entry is what -1 finds
    renamed = jnp.flip(logits[..., jnp.array(order)], axis), jnp.flip(new[labels], axis)
    np.testing.assert_allclose(loss(*renamed, LossConfig()), loss(*batch, LossConfig()), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_an_ignored_pixel_is_as_good_as_absent(config):
    logits, labels = (array.reshape(-1, *array.shape[3:]) for array in a_batch())
    taken = labels >= 0
    assert 0 < taken.sum() < taken.size
    np.testing.assert_allclose(loss(logits, labels, config), loss(logits[taken], labels[taken], config), rtol=1e-6)
    gradient = jax.grad(loss)(logits, labels, config)
    assert not gradient[~taken].any()
    assert gradient[taken].any(axis=-1).all()


@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_jit_and_vmap_change_nothing(config):
    logits, labels = a_batch()
    eager = jnp.stack([loss(z, y, config) for z, y in zip(logits, labels, strict=True)])
    np.testing.assert_allclose(jax.vmap(lambda z, y: loss(z, y, config))(logits, labels), eager, rtol=1e-6)
    whole = jax.jit(lambda z, y: loss(z, y, config))(logits, labels)
    np.testing.assert_allclose(whole, loss(logits, labels, config), rtol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e4, 1e30])
@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_gradients_are_finite_however_large_the_logits(config, size):
    logits, labels = a_batch()
    value, gradient = jax.value_and_grad(loss)(size * jnp.sign(logits), labels, config)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_gradient_is_that_of_finite_differences(config):
    logits, labels = a_batch()
    direction = jnp.asarray(np.random.default_rng(1).normal(size=logits.shape), jnp.float32)
    slope = (loss(logits + 1e-2 * direction, labels, config) - loss(logits - 1e-2 * direction, labels, config)) / 2e-2
    along = jnp.sum(jax.grad(loss)(logits, labels, config) * direction)
    np.testing.assert_allclose(along, slope, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_where_everything_is_ignored_there_is_nothing_to_lose(config):
    logits, labels = a_batch()
    value, gradient = jax.value_and_grad(loss)(logits, jnp.full_like(labels, -1), config)
    assert value == 0
    assert not gradient.any()


def test_an_absent_class_costs_only_what_is_predicted_of_it():
    sure = 50 * jax.nn.one_hot(jnp.zeros(4, jnp.int32), 2)
    np.testing.assert_allclose(dice_loss(sure, jnp.zeros(4, jnp.int32)), 0, atol=1e-6)
    # Two of four pixels are wrongly given to class 1: D_0 = 5/7, D_1 = 1/3.
    half = 50 * jax.nn.one_hot(jnp.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(dice_loss(half, jnp.zeros(4, jnp.int32)), 1 - (5 / 7 + 1 / 3) / 2, rtol=1e-6)


@pytest.mark.parametrize("config", OPTIONS.values(), ids=OPTIONS.keys())
def test_bfloat16_logits_are_summed_in_float32(config):
    rng = np.random.default_rng(2)
    logits, labels = jnp.asarray(rng.normal(size=(1000, K)), jnp.bfloat16), jnp.asarray(rng.integers(-1, K, 1000))
    value = loss(logits, labels, config)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, loss(logits.astype(jnp.float32), labels, config), rtol=1e-6)


def test_one_weight_for_each_class():
    logits, labels = a_batch()
    message = "`class_weights` must have 3 entries, one for each class, got 2."
    with pytest.raises(ValueError, match=re.escape(message)):
        cross_entropy(logits, labels, class_weights=(1.0, 2.0))


@pytest.mark.parametrize(("weight", "dice"), [(-1.0, 1.0), (1.0, -0.1), (0.0, 0.0), (math.nan, 1.0), (1.0, math.nan)])
def test_there_is_something_to_minimise(weight, dice):
    message = (
        f"`loss.cross_entropy` and `loss.dice` must be at least 0 and one of them positive, got {weight} and {dice}."
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        LossConfig(cross_entropy=weight, dice=dice)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_class_weights_are_positive(weight):
    message = f"`loss.class_weights` must be positive, got [1.0, {weight}]."
    with pytest.raises(ConfigError, match=re.escape(message)):
        LossConfig(class_weights=(1.0, weight))
