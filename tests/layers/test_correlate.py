import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.compiled import quick_jit

from tinyunet.layers import correlate as forms
from tinyunet.layers.correlate import correlate, kernel_gradient, products


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
    shape=st.sampled_from([(3, 2), (2, 3)]),
    numbers=st.sampled_from([1, 100, 2**20]),
    most=st.sampled_from([1, 2, 9]),
)
def test_kernel_gradient_is_that_of_a_naive_sum_whatever_the_bands(sides, window, same, shape, numbers, most):
    before = tuple((size - 1) // 2 if same else 0 for size in window)
    out = sides if same else tuple(n - size + 1 for n, size in zip(sides, window, strict=True))
    x, cotangent = random(2, *sides, shape[0]), random(2, *out, shape[1], seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "BAND_NUMBERS", numbers)
        patch.setattr(forms, "MOST_BANDS", most)
        found = kernel_gradient(jnp.asarray(x), jnp.asarray(cotangent), window, before)
    np.testing.assert_allclose(found, naive(x, cotangent, window, before), rtol=1e-4, atol=1e-4)


def by_naive_sum(x, kernel, padding):
    """Every tap of the window in turn, in float64."""
    window = kernel.shape[:2]
    around = [((size - 1) // 2, size // 2) if padding == "same" else (0, 0) for size in window]
    wide = np.pad(x.astype(np.float64), [(0, 0), *around, (0, 0)])
    rows, columns = (n - size + 1 for n, size in zip(wide.shape[1:3], window, strict=True))
    return sum(wide[:, i : i + rows, j : j + columns] @ kernel[i, j] for i, j in np.ndindex(*window))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("window", [(3, 3), (1, 3), (3, 1), (2, 4), (1, 1)], ids=str)
@pytest.mark.parametrize(("channels", "features"), [(1, 1), (3, 4), (1, 8), (3, 8), (9, 8), (3, 16), (17, 3)])
def test_pixels_side_by_side_give_the_naive_sum(channels, features, window, padding, monkeypatch):
    monkeypatch.setattr(forms, "LARGE", 1)
    kernel = random(*window, channels, features, seed=1)
    for width in (12, 9):
        x = random(2, 5, width, channels)
        found = quick_jit(products, static_argnums=2)(x, kernel, padding)
        np.testing.assert_allclose(found, by_naive_sum(x, kernel, padding), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("window", [(3, 3), (1, 1), (2, 3)], ids=str)
@pytest.mark.parametrize(("channels", "more", "features"), [(5, 0, 2), (3, 2, 2), (3, 3, 7), (6, 0, 33), (3, 0, 3)])
def test_large_maps_have_the_gradients_of_small_ones(channels, more, features, padding, window, monkeypatch):
    x, other = jnp.asarray(random(2, 13, 9, channels)), jnp.asarray(random(2, 13, 9, more, seed=2)) if more else None
    kernel = jnp.asarray(random(*window, channels + more, features, seed=1))

    def gradients(x, other, kernel):
        def mean(x, other, kernel):
            return (correlate(x, kernel, padding, other) ** 2).mean()

        return jax.value_and_grad(mean, argnums=(0, 1, 2) if more else (0, 2))(x, other, kernel)

    stock = quick_jit(lambda *a: gradients(*a))(x, other, kernel)
    monkeypatch.setattr(forms, "LARGE", 1)
    monkeypatch.setattr(forms, "MIDDLING", 1)
    monkeypatch.setattr(forms, "BAND_NUMBERS", 500)
    found = quick_jit(lambda *a: gradients(*a))(x, other, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, stock)


def test_gradients_are_the_same_without_jit():
    x, kernel = jnp.asarray(random(1, 64, 64, 5)), jnp.asarray(random(3, 3, 5, 2, seed=1))
    gradient = jax.grad(lambda x, kernel: (correlate(x, kernel, "same") ** 2).mean(), argnums=(0, 1))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient(x, kernel),
        quick_jit(gradient)(x, kernel),
    )


def test_which_form_the_gradient_of_the_kernel_takes(monkeypatch):
    def is_cut(shape, features, window=(3, 3)):
        x, kernel = jnp.zeros(shape), jnp.zeros((*window, shape[-1], features))
        return "scan" in str(jax.make_jaxpr(jax.grad(lambda k: correlate(x, k, "same").sum()))(kernel))

    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert is_cut((1, 64, 64, 5), 2)
    assert not is_cut((1, 64, 64, 4), 2)
    assert not is_cut((1, 64, 64, 5), 1)
    assert not is_cut((1, 64, 63, 5), 2)
    assert is_cut((1, 32, 32, 64), 128)
    assert is_cut((1, 32, 32, 128), 64)
    assert not is_cut((1, 32, 32, 64), 127)
    assert not is_cut((1, 32, 31, 64), 128)
    assert is_cut((1, 64, 64, 5), 2, (1, 1))
    assert not is_cut((1, 2, 64, 64, 5), 2, (1, 1, 1))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not is_cut((1, 64, 64, 5), 2)


def test_how_many_pixels_go_side_by_side():
    def steps(shape, features, window=(3, 3)):
        x, kernel = jnp.zeros(shape), jnp.zeros((*window, shape[-1], features))
        said = str(jax.make_jaxpr(lambda x: products(x, kernel, "same"))(x))
        return int(re.search(r"window_strides=\(1, (\d)\)", said)[1])

    large = (1, 128, 128)
    assert [steps((*large, c), d) for c, d in ((16, 4), (4, 8), (16, 8), (8, 16))] == [4, 4, 2, 2]
    assert [steps((*large, c), d) for c, d in ((17, 4), (17, 8), (9, 16), (8, 17))] == [1] * 4
    assert steps((1, 128, 127, 1), 1) == steps((1, 129, 129, 1), 1) == steps((*large, 1), 1, (3, 1)) == 1
    assert steps((1, 128, 130, 1), 1) == 2


def test_lines_and_other_types_are_correlated():
    x, kernel = jnp.asarray(random(2, 9, 3)), jnp.asarray(random(3, 3, 2, seed=1))
    assert correlate(x, kernel, "valid").shape == (2, 7, 2)
    half = jnp.zeros((1, 64, 64, 5), jnp.bfloat16)
    gradient = jax.grad(lambda k: correlate(half, k, "same").sum().astype(jnp.float32))(
        jnp.zeros((3, 3, 5, 2), half.dtype)
    )
    assert gradient.dtype == jnp.bfloat16
