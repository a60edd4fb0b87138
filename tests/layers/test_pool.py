import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st
from reference import layers as reference
from reference.compiled import quick_jit

from tinyunet.layers.pool import max_pool

SPACES = st.sampled_from([(5,), (1, 4), (4, 7), (3, 2, 4)])
WINDOWS = {1: [(1,), (2,)], 2: [(2, 2), (1, 2), (2, 1)], 3: [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1)]}


@st.composite
def spaces_and_windows(draw):
    space = draw(SPACES)
    return space, draw(st.sampled_from(WINDOWS[len(space)]))


def distinct(*shape, seed=0):
    """No two values equal, so that every window has one maximum."""
    return jnp.asarray(np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape), jnp.float32)


def stock(x, window=None):
    window = window or (2,) * (x.ndim - 2)
    return nn.max_pool(x, window, strides=window, padding="VALID")


@functools.partial(quick_jit, static_argnums=(0, 3))
def pull_back(pool, x, towards, window=None):
    return jax.vjp(lambda x: pool(x, window), x)[1](towards)[0]


def test_six_pixels():
    x = jnp.array([[1.0, 5.0, -3.0], [2.0, 4.0, 9.0]]).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(max_pool(x), [[[[5.0]]]])  # the odd last column is dropped
    np.testing.assert_array_equal(max_pool(x, (2, 1))[0, :, :, 0], [[2, 5, 9]])
    np.testing.assert_array_equal(max_pool(x, (1, 2))[0, :, :, 0], [[5], [4]])
    np.testing.assert_array_equal(max_pool(x, (1, 1)), x)


def test_equal_pixels_share_the_gradient_where_the_stock_operation_picks_the_first():
    ties = jnp.zeros((1, 2, 2, 1))
    towards = jnp.ones((1, 1, 1, 1))
    np.testing.assert_array_equal(pull_back(max_pool, ties, towards).ravel(), [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(pull_back(stock, ties, towards).ravel(), [1, 0, 0, 0])
    two = jnp.array([7.0, 7.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(pull_back(max_pool, two, towards).ravel(), [0.5, 0.5, 0, 0])


@given(spaces_and_windows(), st.integers(0, 2**32 - 1))
def test_values_agree_with_loops_and_with_flax(case, seed):
    space, window = case
    x = np.random.default_rng(seed).integers(-2, 3, (2, *space, 2)).astype(np.float32)  # full of ties
    y = quick_jit(max_pool, static_argnums=1)(x, window)
    np.testing.assert_array_equal(y, reference.max_pool(x, window))
    np.testing.assert_array_equal(y, quick_jit(stock, static_argnums=1)(x, window))


@given(spaces_and_windows(), st.integers(0, 2**32 - 1))
def test_gradients_are_those_of_flax_where_the_maximum_is_unique(case, seed):
    space, window = case
    x = distinct(2, *space, 2, seed=seed)
    pooled = (size // step for size, step in zip(space, window, strict=True))
    towards = np.random.default_rng(seed).normal(size=(2, *pooled, 2)).astype(np.float32)
    found, expected = (pull_back(pool, x, towards, window) for pool in (max_pool, stock))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("space", [(5,), (4, 7), (3, 2, 4)])
def test_two_along_every_axis_is_the_default(space):
    x = distinct(2, *space, 2)
    np.testing.assert_array_equal(max_pool(x), max_pool(x, (2,) * len(space)))


def test_the_gradient_at_ties_is_a_subgradient():
    """Weights that are not negative, sum to one in each window, and lie on its largest pixels only."""
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (1, 8, 8, 1)), jnp.float32)
    gradient = pull_back(max_pool, x, jnp.ones((1, 4, 4, 1)))
    windows = np.asarray(gradient).reshape(4, 2, 4, 2).sum(axis=(1, 3))
    np.testing.assert_array_equal(windows, np.ones((4, 4)))
    assert (gradient >= 0).all()
    largest = np.repeat(np.repeat(max_pool(x), 2, 1), 2, 2)
    assert not np.asarray(gradient)[np.asarray(x) < largest].any()


@pytest.mark.parametrize("space", [(4,), (2, 4, 2)])
def test_jit_and_vmap_change_nothing(space):
    x = distinct(3, *space, 2)
    np.testing.assert_array_equal(jax.jit(max_pool)(x), max_pool(x))
    np.testing.assert_array_equal(jax.vmap(lambda one: max_pool(one[None])[0])(x), max_pool(x))
    held = (1,) * len(space)
    np.testing.assert_array_equal(jax.jit(lambda x: max_pool(x, held))(x), x)


def test_sizes_are_rounded_down_never_up():
    assert max_pool(jnp.zeros((1, 5, 7, 1))).shape == (1, 2, 3, 1)
    assert max_pool(jnp.zeros((1, 1, 4, 1))).shape == (1, 0, 2, 1)


def test_nothing_is_padded_not_even_by_a_value_that_loses():
    x = jnp.full((1, 3, 3, 1), -jnp.inf)
    np.testing.assert_array_equal(max_pool(x), [[[[-jnp.inf]]]])


def test_a_window_that_does_not_suit_the_axes_is_refused():
    with pytest.raises(ValueError, match=r"`window` must be 1 or 2 for each of 2 axes of space, got \(2,\)\."):
        max_pool(jnp.zeros((1, 4, 4, 1)), (2,))


def test_nan_stays_visible():
    x = jnp.array([1.0, jnp.nan, 3.0, 2.0]).reshape(1, 2, 2, 1)
    assert jnp.isnan(max_pool(x)).all()


def test_bfloat16_is_kept():
    x = distinct(1, 4, 4, 1).astype(jnp.bfloat16)
    assert max_pool(x).dtype == jnp.bfloat16
    np.testing.assert_array_equal(max_pool(x), stock(x))
