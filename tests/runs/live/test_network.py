"""The network of a live training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from tinyunet.runs.config import config_from_dict
from tinyunet.runs.live.network import WARMUP_STEPS, Network, grown

CONFIG = config_from_dict(
    {"model": {"features": 2, "depth": 1}, "batches": {"patch": [16], "margin": [2], "batch": 2}}, where="a test"
)


@pytest.fixture(scope="module")
def network():
    return Network(CONFIG, channels=1, classes=2, step=40)


def test_a_prediction_is_the_most_probable_class_and_its_doubt(network):
    image = np.random.default_rng(0).normal(size=(21, 34, 1)).astype(np.float32)
    found = network.predict(image)
    assert found.labels.shape == found.doubt.shape == (21, 34)
    probabilities = np.asarray(jax.nn.softmax(network.model.apply(network.variables, jnp.asarray(image)[np.newaxis])))[
        0
    ]
    clear = np.abs(probabilities[..., 0] - 0.5) > 1e-4
    assert np.array_equal(found.labels[clear], np.argmax(probabilities, axis=-1)[clear])
    entropy = -np.sum(probabilities * np.log2(probabilities), axis=-1)
    assert np.abs(found.doubt / 255 - entropy).max() < 0.01


def test_warming_up_changes_nothing_that_is_learnt(network):
    before = network.host_variables()
    network.warm()
    after = network.host_variables()
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    assert network.step == int(network.state.step) == 40


def test_the_rate_rises_after_a_start_wherever_that_is(network):
    peak = CONFIG.optimiser.learning_rate
    assert network.rate(40) == pytest.approx(peak / WARMUP_STEPS)
    assert network.rate(40 + WARMUP_STEPS) == network.rate(10**6) == peak


def test_a_grown_head_keeps_the_classes_it_knew(network):
    wider = Network(CONFIG, channels=1, classes=3)
    variables = grown(network.variables, wider.variables)
    before, after, fresh = (flatten_dict(v, sep="/") for v in (network.variables, variables, wider.variables))
    for name, value in after.items():
        known = before[name].shape[-1]
        assert np.array_equal(value[..., :known], before[name])
        assert np.array_equal(value[..., known:], fresh[name][..., known:])
        assert value.shape == fresh[name].shape


def test_what_does_not_fit_is_named(network):
    wider = Network(CONFIG, channels=1, classes=3).variables
    with pytest.raises(ValueError, match="`old` must fit `fresh`, got params/head/"):
        grown(wider, network.variables)
    with pytest.raises(ValueError, match="`old` must have the tensors of `fresh`, got no "):
        grown({}, wider)
