import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyunet.layers import bands
from tinyunet.layers.bands import correlate, kernel_gradient


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def naive(x, cotangent, window, before):
    """The sum over all pixels, in float64."""
    x, cotangent = x.astype(np.float64), cotangent.astype(np.float64)
    total = np.zeros((*window, x.shape[-1], cotangent.shape[-1]))
    for i, j in np.ndindex(*window):
        for y, z in np.ndindex(*cotangent.shape[1:3]):
            row, column = y + i - before[0], z + j - before[1]
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                total[i, j] += x[:, row, column].T @ cotangent[:, y, z]
    return total


def test_kernel_gradient_by_hand():
    x, cotangent = jnp.arange(4.0).reshape(1, 2, 2, 1), jnp.zeros((1, 2, 2, 1)).at[0, 0, 0, 0].set(1.0)
    expected = [[0, 0, 0], [0, 0, 1], [0, 2, 3]]
    np.testing.assert_array_equal(kernel_gradient(x, cotangent, (3, 3), (1, 1))[:, :, 0, 0], expected)


@settings(max_examples=12, deadline=None)
@given(
    sides=st.tuples(st.integers(3, 9), st.integers(3, 7)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    same=st.booleans(),
    pixels=st.sampled_from([1, 8, 20, 4096]),
)
def test_kernel_gradient_is_that_of_a_naive_sum_whatever_the_bands(sides, window, same, pixels):
    before = tuple((size - 1) // 2 if same else 0 for size in window)
    out = sides if same else tuple(n - size + 1 for n, size in zip(sides, window, strict=True))
    x, cotangent = random(2, *sides, 3), random(2, *out, 2, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND_PIXELS", pixels)
        found = kernel_gradient(jnp.asarray(x), jnp.asarray(cotangent), window, before)
    np.testing.assert_allclose(found, naive(x, cotangent, window, before), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("window", [(3, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_large_maps_have_the_gradients_of_small_ones(padding, window, jit, monkeypatch):
    x, kernel = jnp.asarray(random(2, 13, 9, 3)), jnp.asarray(random(*window, 3, 2, seed=1))

    def gradients(x, kernel):
        return jax.value_and_grad(lambda *a: (correlate(*a, padding) ** 2).mean(), argnums=(0, 1))(x, kernel)

    stock = gradients(x, kernel)
    monkeypatch.setattr(bands, "LEAST_PIXELS", 1)
    monkeypatch.setattr(bands, "BAND_PIXELS", 30)
    found = (jax.jit(lambda *a: gradients(*a)) if jit else gradients)(x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, stock)


def test_only_large_maps_with_enough_channels_are_cut_into_bands(monkeypatch):
    def is_cut(shape, features, window=(3, 3)):
        x, kernel = jnp.zeros(shape), jnp.zeros((*window, shape[-1], features))
        return "scan" in str(jax.make_jaxpr(jax.grad(lambda k: correlate(x, k, "same").sum()))(kernel))

    assert is_cut((1, 128, 128, 2), 2)
    assert not is_cut((1, 128, 127, 2), 2)
    assert not is_cut((1, 128, 128, 2), 3)
    assert is_cut((1, 128, 128, 2), 3, (1, 1))
    assert not is_cut((1, 2, 128, 128, 2), 3, (1, 1, 1))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_cut((1, 128, 128, 2), 2)


def test_lines_and_other_types_are_correlated():
    x, kernel = jnp.asarray(random(2, 9, 3)), jnp.asarray(random(3, 3, 2, seed=1))
    assert correlate(x, kernel, "valid").shape == (2, 7, 2)
    half = jnp.zeros((1, 128, 128, 2), jnp.bfloat16)
    gradient = jax.grad(lambda k: correlate(half, k, "same").sum().astype(jnp.float32))(
        jnp.zeros((3, 3, 2, 2), half.dtype)
    )
    assert gradient.dtype == jnp.bfloat16
