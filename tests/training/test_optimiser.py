import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.errors import ConfigError
from tinyunet.models.segmenter import Segmenter
from tinyunet.models.unet import UNet
from tinyunet.training.optimiser import OptimiserConfig, is_hidden, learning_rate, optimiser

PARAMS = {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([1.0, -1.0])}


def gradients(count):
    """Large and small ones, so that some are clipped."""
    rng = np.random.default_rng(0)
    sizes = [10.0 ** (i % 4 - 2) for i in range(count)]
    return [{name: jnp.asarray(s * rng.normal(size=p.shape), jnp.float32) for name, p in PARAMS.items()} for s in sizes]


def descend(config, steps):
    """The parameters after all steps, as the training does it."""
    transformation = optimiser(config)
    params, state = PARAMS, transformation.init(PARAMS)
    for step, gradient in enumerate(gradients(steps)):
        direction, state = transformation.update(gradient, state, params)
        rate = learning_rate(step, config, steps=steps)
        params = jax.tree.map(lambda p, d: p - rate * d, params, direction)  # noqa: B023
    return params


def test_the_schedule_by_hand():
    config = OptimiserConfig(learning_rate=2.0, warmup_share=0.2)
    rates = [learning_rate(step, config, steps=10) for step in range(11)]
    decay = [2 * (0.01 + 0.99 * (1 + math.cos(math.pi * s / 8)) / 2) for s in range(9)]
    np.testing.assert_allclose(rates, [1.0, 2.0, *decay])
    assert rates[2] == 2.0
    assert rates[6] == pytest.approx(2 * 0.505)
    assert rates[10] == pytest.approx(0.02)


def test_the_first_step_by_hand():
    # Adam's first direction is the sign of the gradient; a kernel also decays by 0.1 of itself.
    transformation = optimiser(OptimiserConfig(kind="adamw", weight_decay=0.1))
    gradient = {"kernel": jnp.full((2, 2), 0.01), "bias": jnp.array([-0.01, 0.01])}
    direction, _ = transformation.update(gradient, transformation.init(PARAMS), PARAMS)
    np.testing.assert_allclose(direction["kernel"], 1 + 0.1 * PARAMS["kernel"], rtol=1e-5)
    np.testing.assert_allclose(direction["bias"], [-1, 1], rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        OptimiserConfig(kind="adamw"),
        OptimiserConfig(kind="adamw", learning_rate=0.1, weight_decay=0.5, clip_norm=0.05),
        OptimiserConfig(kind="adamw", warmup_share=0.0, weight_decay=0.0, clip_norm=1e6),
    ],
)
def test_it_is_optax_adamw_with_the_same_schedule(config):
    steps = 12
    oracle = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            lambda step: jnp.array([learning_rate(s, config, steps=steps) for s in range(steps)])[step],
            weight_decay=config.weight_decay,
            mask={"kernel": True, "bias": False},
        ),
    )
    params, state = PARAMS, oracle.init(PARAMS)
    for gradient in gradients(steps):
        updates, state = oracle.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), descend(config, steps), params)


def test_the_schedule_agrees_with_optax_after_the_warm_up():
    config = OptimiserConfig(learning_rate=0.3, warmup_share=0.1)
    oracle = optax.cosine_decay_schedule(0.3, decay_steps=90, alpha=0.01)
    ours = [learning_rate(step, config, steps=100) for step in range(10, 101)]
    np.testing.assert_allclose(ours, [oracle(step) for step in range(91)], rtol=1e-5)


@given(st.integers(1, 300), st.floats(0, 0.99), st.floats(1e-6, 10))
def test_the_rate_rises_then_falls_and_stays_in_range(steps, share, peak):
    config = OptimiserConfig(learning_rate=peak, warmup_share=share)
    rates = [learning_rate(step, config, steps=steps) for step in range(steps)]
    top = int(np.argmax(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(peak)
    assert min(rates) > 0


def test_clipping_bounds_the_gradient_as_a_whole():
    config = OptimiserConfig(kind="adamw", clip_norm=1e-12, weight_decay=0.0)
    transformation = optimiser(config)
    huge = jax.tree.map(lambda p: 1e9 * p, PARAMS)
    direction, _ = transformation.update(huge, transformation.init(PARAMS), PARAMS)
    # Far below Adam's epsilon the direction is the clipped gradient over epsilon, not its sign.
    assert optax.tree.norm(direction) == pytest.approx(1e-12 / 1e-8, rel=1e-3)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_gradient_of_zero_moves_nothing(kind):
    transformation = optimiser(OptimiserConfig(kind=kind, weight_decay=0.0))
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    direction, _ = transformation.update(zeros, transformation.init(PARAMS), PARAMS)
    assert optax.tree.norm(direction) == 0


@pytest.mark.parametrize("name", ["learning_rate", "clip_norm", "muon_rms"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_what_must_be_positive(name, value):
    with pytest.raises(ConfigError, match=re.escape(f"`optimiser.{name}` must be positive, got {value}.")):
        OptimiserConfig(**{name: value})


@pytest.mark.parametrize("name", ["warmup_share", "ema_decay"])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_what_must_be_a_share(name, value):
    with pytest.raises(ConfigError, match=re.escape(f"`optimiser.{name}` must be in [0, 1), got {value}.")):
        OptimiserConfig(**{name: value})


@pytest.mark.parametrize("value", [-1e-9, math.nan])
def test_the_decay_is_not_negative(value):
    with pytest.raises(ConfigError, match=re.escape(f"`optimiser.weight_decay` must be at least 0, got {value}.")):
        OptimiserConfig(weight_decay=value)


def test_muon_leaves_the_first_convolution_and_the_head_to_adam():
    segmenter = Segmenter(classes=2, unet=UNet(features=2, depth=1, convs_per_block=2, residual=True))
    image = jax.ShapeDtypeStruct((1, 4, 4, 1), jnp.float32)
    params = jax.eval_shape(segmenter.init, jax.random.PRNGKey(0), image)["params"]
    marks = flatten_dict(is_hidden(params), sep="/")
    left = {name for name, hidden in marks.items() if name.endswith("/kernel") and not hidden}
    assert left == {"head/kernel", "unet/ConvBlock_0/Conv_0/kernel"}
    assert not any(hidden for name, hidden in marks.items() if not name.endswith("/kernel"))
