import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optax.contrib import MuonDimensionNumbers
from optax.contrib import scale_by_muon as optax_muon

from tinyunet.training.muon import orthogonal, scale_by_muon


def published(matrix, steps=5):
    """The Newton-Schulz iteration of Jordan et al. (2024) as they print it, on the wide side."""
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (np.linalg.norm(x) + 1e-8)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (2, 2, 2, 3, 5), (1, 1, 3, 8), (7, 4)])
def test_muon_agrees_with_the_published_iteration_in_float64(shape):
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.zeros(shape)}
    transformation = scale_by_muon(rms=0.5)
    state, mean = transformation.init(params), np.zeros(shape)
    for step in range(1, 5):
        gradient = rng.normal(size=shape)
        direction, state = transformation.update({"kernel": jnp.asarray(gradient, jnp.float32)}, state, params)
        mean = 0.95 * mean + 0.05 * gradient
        # Nesterov's look ahead, both parts freed of their bias towards zero, as optax has it.
        ahead = 0.95 * mean / (1 - 0.95 ** (step + 1)) + 0.05 * gradient / (1 - 0.95**step)
        matrix = ahead.reshape(-1, shape[-1])
        expected = 0.5 * np.sqrt(max(matrix.shape)) * published(matrix)
        np.testing.assert_allclose(direction["kernel"], expected.reshape(shape), atol=2e-4)


def test_muon_learns_all_directions_of_a_kernel_at_about_one_speed():
    gradient = np.zeros((3, 3, 4, 8), np.float32)
    gradient.reshape(36, 8)[:8] = np.diag([1000.0, 300, 100, 30, 10, 5, 3, 1])
    params = {"kernel": jnp.zeros(gradient.shape)}
    transformation = scale_by_muon(rms=0.4)
    direction, _ = transformation.update({"kernel": jnp.asarray(gradient)}, transformation.init(params), params)
    strengths = np.linalg.svd(np.asarray(direction["kernel"]).reshape(36, 8))[1]
    assert strengths.max() / strengths[5] < 2  # the gradient's own ratio is 200
    rms = float(jnp.sqrt(jnp.mean(direction["kernel"] ** 2)))
    assert rms == pytest.approx(0.4, rel=0.35)


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_matrices_that_go_together_come_out_as_each_alone(seed, shapes):
    rng = np.random.default_rng(seed)
    matrices = [rng.normal(size=shape) for shape in shapes]
    found = orthogonal([jnp.asarray(m, jnp.float32) for m in matrices])
    for one, m in zip(found, matrices, strict=True):
        np.testing.assert_allclose(one, published(m), atol=3e-4)


def test_a_kernel_without_a_gradient_stays_where_it_is():
    (found,) = orthogonal([jnp.zeros((6, 3))])
    assert (found == 0).all()


def test_a_flat_and_a_tall_matrix_are_treated_alike():
    m = jnp.asarray(np.random.default_rng(0).normal(size=(5, 12)), jnp.float32)
    flat, tall = orthogonal([m, m.T])
    np.testing.assert_allclose(flat, tall.T, atol=1e-6)


def test_it_is_optax_s_muon_to_rounding():
    rng = np.random.default_rng(0)
    params = {"a": jnp.zeros((3, 3, 8, 16)), "b": jnp.zeros((2, 2, 32, 16)), "c": jnp.zeros((3, 3, 16, 16))}
    numbers = jax.tree.map(lambda k: MuonDimensionNumbers(tuple(range(k.ndim - 1)), k.ndim - 1), params)
    oracle, ours = optax_muon(weight_dimension_numbers=numbers), scale_by_muon(rms=1.0)
    states = oracle.init(params), ours.init(params)
    for _ in range(3):
        gradient = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), params)
        expected, oracle_state = oracle.update(gradient, states[0], params)
        found, our_state = jax.jit(ours.update)(gradient, states[1], params)
        states = oracle_state, our_state
        for name, value in expected.items():
            factor = max(value.size // value.shape[-1], value.shape[-1]) ** 0.5
            np.testing.assert_allclose(found[name], factor * value, atol=5e-4)
    assert optax.tree.norm(found) > 0
