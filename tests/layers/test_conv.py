import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import layers as reference
from reference.compiled import quick_jit

from tinyunet.layers.conv import Conv, convolve, convolve_by_xla

RNG = np.random.default_rng(0)
VOLUMES = [(1, 1, 1), (3, 3, 3), (1, 3, 3), (3, 1, 1), (3, 3, 1), (2, 1, 3)]
WINDOWS = [(3,), (1, 1), (3, 3), (1, 3), *VOLUMES]
FEW = [(1, 1), (3, 3), (3, 3, 3), (1, 3, 3), (3, 1, 1)]
EVERY_OPTION = pytest.mark.parametrize("padding", ["same", "valid"])


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def arguments(window, *, channels=2, features=3, size=4):
    """Fewer channels than features by default, the other way round where `channels` is larger."""
    return normal(2, *(size,) * len(window), channels), normal(*window, channels, features), normal(features)


def xla(x, kernel, bias, *, padding="same"):
    """`convolve` where no kernels are installed."""
    return convolve_by_xla(x, None, kernel, bias, padding=padding)


def test_three_pixels_under_a_window_of_three():
    x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    same = convolve(x, kernel, jnp.array([0.5]))
    np.testing.assert_array_equal(same[0, :, 0], [210.5, 321.5, 32.5])
    valid = convolve(x, kernel, jnp.array([0.5]), padding="valid")
    np.testing.assert_array_equal(valid[0, :, 0], [321.5])


@pytest.mark.parametrize("function", [convolve, xla], ids=["chosen", "xla"])
@pytest.mark.parametrize(("channels", "features"), [(1, 2), (2, 1)])
def test_three_slices_under_a_window_of_three(channels, features, function):
    """Both ways: slices that become channels, and shares that are added up."""
    x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1, 1) * jnp.ones(channels) / channels
    kernel = jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1, 1, 1) * jnp.ones((channels, features))
    same = function(x, kernel, jnp.zeros(features))
    np.testing.assert_array_equal(same[0, :, 0, 0, 0], [210, 321, 32])
    valid = function(x, kernel, jnp.zeros(features), padding="valid")
    np.testing.assert_array_equal(valid[0, :, 0, 0, -1], [321])


@settings(max_examples=12)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(3, 5)), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["same", "valid"]),
)
def test_convolution_agrees_with_loops(axes, channels, features, padding):
    window, space = zip(*axes, strict=True)
    inputs = normal(2, *space, channels), normal(*window, channels, features), normal(features)
    expected = reference.convolve(*(np.asarray(a) for a in inputs), padding)
    for function in (convolve, xla):
        y = quick_jit(function, static_argnames="padding")(*inputs, padding=padding)
        np.testing.assert_allclose(y, expected, atol=1e-5)


@EVERY_OPTION
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("window", WINDOWS)
def test_values_and_gradients_are_those_of_flax(window, channels, padding):
    x, kernel, bias = arguments(window, channels=channels)
    stock = nn.Conv(3, window, padding=padding.upper())

    def ours(x, params):
        return convolve(x, params["kernel"], params["bias"], padding=padding)

    def by_xla(x, params):
        return xla(x, params["kernel"], params["bias"], padding=padding)

    def flax(x, params):
        return stock.apply({"params": params}, x)

    def value_and_gradients(layer):
        y, pull = jax.vjp(layer, x, {"kernel": kernel, "bias": bias})
        return y, pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    *found, expected = quick_jit(lambda: [value_and_gradients(layer) for layer in (ours, by_xla, flax)])()
    for each in found:
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=2e-5), each, expected)


@pytest.mark.parametrize("window", [(1, 1), (3, 3)])
def test_parameters_are_those_of_flax(window):
    x, key = normal(1, 4, 4, 2), jax.random.PRNGKey(3)
    ours, flax = Conv(3, window).init(key, x), nn.Conv(3, window).init(key, x)
    assert jax.tree.structure(ours) == jax.tree.structure(flax)
    jax.tree.map(np.testing.assert_array_equal, ours, flax)


@EVERY_OPTION
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("window", FEW)
def test_jit_and_vmap_change_nothing(window, channels, padding):
    x, kernel, bias = arguments(window, channels=channels)
    eager = convolve(x, kernel, bias, padding=padding)
    jitted = jax.jit(lambda x: convolve(x, kernel, bias, padding=padding))(x)
    mapped = jax.vmap(lambda one: convolve(one[None], kernel, bias, padding=padding)[0])(x)
    np.testing.assert_allclose(jitted, eager, atol=2e-6)
    np.testing.assert_allclose(mapped, eager, atol=2e-6)


@settings(max_examples=8)
@given(st.integers(0, 3), st.integers(0, 3))
def test_the_result_moves_with_the_image(down, right):
    """Away from the border, where zeros come in."""
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 1:5, 1:5] = np.arange(16).reshape(4, 4, 1)
    kernel, bias = jnp.arange(18.0).reshape(3, 3, 1, 2), jnp.array([1.0, -1.0])
    moved = convolve(jnp.asarray(np.roll(image, (down, right), (1, 2))), kernel, bias)
    still = convolve(jnp.asarray(image), kernel, bias)
    np.testing.assert_allclose(moved, np.roll(still, (down, right), (1, 2)), rtol=1e-6)


def test_a_single_pixel_sees_the_centre_of_the_window():
    kernel = normal(3, 3, 1, 1)
    y = convolve(jnp.full((1, 1, 1, 1), 2.0), kernel, jnp.zeros(1))
    np.testing.assert_allclose(y[0, 0, 0, 0], 2 * kernel[1, 1, 0, 0])


def test_a_window_of_one_slice_treats_every_slice_as_an_image():
    x, kernel, bias = arguments((1, 3, 3))
    y = convolve(x, kernel, bias)
    np.testing.assert_allclose(y[:, 2], convolve(x[:, 2], kernel[0], bias), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_single_slice_sees_the_centre_of_the_window(channels):
    x, kernel, bias = arguments((3, 3, 3), channels=channels)
    y = convolve(x[:, :1], kernel, bias)
    np.testing.assert_allclose(y[:, 0], convolve(x[:, 0], kernel[1], bias), atol=1e-5)
    assert convolve(x[:, :2], kernel, bias, padding="valid").shape == (2, 0, 2, 2, 3)


@EVERY_OPTION
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("window", FEW)
def test_bfloat16_keeps_float32_parameters(window, channels, padding):
    layer, x = Conv(2, window, padding, jnp.bfloat16), normal(1, *(4,) * len(window), channels)
    variables = layer.init(jax.random.PRNGKey(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    y = layer.apply(variables, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, Conv(2, window, padding).apply(variables, x), atol=0.1)
    gradients = jax.grad(lambda v: layer.apply(v, x).astype(jnp.float32).sum())(variables)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
