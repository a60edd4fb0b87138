import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given
from hypothesis import strategies as st
from reference import layers as reference
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.layers.conv import convolve
from tinyunet.layers.upsample import (
    BilinearUpsample,
    ConvTranspose,
    PixelShuffle,
    _conv_transpose_by_xla,
    bilinear,
    conv_transpose,
    depth_to_space,
)

RNG = np.random.default_rng(0)
SPACES = st.sampled_from([(5,), (1, 3), (3, 4), (2, 1, 3)])
BLOCKS = {1: [(2,), (1,)], 2: [(2, 2), (1, 2), (2, 1)], 3: [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1)]}
SEEDS = st.integers(0, 2**32 - 1)
EVERY_LAYER = pytest.mark.parametrize("layer", [ConvTranspose, BilinearUpsample, PixelShuffle])


@st.composite
def spaces_and_blocks(draw):
    space = draw(SPACES)
    return space, draw(st.sampled_from(BLOCKS[len(space)]))


def enlarged(space, block):
    return [size * step for size, step in zip(space, block, strict=True)]


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# By hand


def test_a_transposed_convolution_of_two_pixels():
    x = jnp.array([1.0, 10.0]).reshape(1, 2, 1)
    kernel = jnp.array([2.0, 3.0]).reshape(2, 1, 1)  # stored turned over: the first pixel of a block gets 3
    np.testing.assert_array_equal(conv_transpose(x, kernel, jnp.array([0.5]))[0, :, 0], [3.5, 2.5, 30.5, 20.5])


def test_bilinear_interpolation_of_three_pixels():
    x = jnp.array([0.0, 4.0, 12.0]).reshape(1, 3, 1)
    np.testing.assert_array_equal(bilinear(x)[0, :, 0], [0, 1, 3, 6, 10, 12])


def test_channels_become_pixels():
    x = jnp.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]).reshape(1, 2, 4)
    np.testing.assert_array_equal(depth_to_space(x)[0], [[1, 2], [3, 4], [5, 6], [7, 8]])


def test_along_one_of_two_axes():
    x = jnp.array([0.0, 4.0, 12.0]).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(bilinear(x, factors=(2, 1))[0, :, :, 0].ravel(), [0, 1, 3, 6, 10, 12])
    np.testing.assert_array_equal(bilinear(x, factors=(1, 2))[0, :, :, 0], [[0, 0], [4, 4], [12, 12]])
    kernel = jnp.array([2.0, 3.0]).reshape(1, 2, 1, 1)
    np.testing.assert_array_equal(conv_transpose(x, kernel, jnp.zeros(1))[0, :, :, 0], [[0, 0], [12, 8], [36, 24]])
    packed = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4)
    np.testing.assert_array_equal(depth_to_space(packed, (2, 1))[0], [[[1, 2]], [[3, 4]]])


# Against loops and stock operations


@given(spaces_and_blocks(), SEEDS)
def test_all_three_agree_with_loops(case, seed):
    (space, block), rng = case, np.random.default_rng(seed)
    shapes = [(2, *space, 2), (*block, 2, 3), (3,)]
    x, kernel, bias = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    expected = reference.conv_transpose(x, kernel, bias)
    for function in (conv_transpose, _conv_transpose_by_xla):
        np.testing.assert_allclose(quick_jit(function)(x, kernel, bias), expected, atol=1e-5)
    found = quick_jit(bilinear, static_argnames="factors")(x, factors=block)
    np.testing.assert_allclose(found, reference.bilinear(x, block), atol=1e-5)
    packed = rng.normal(size=(1, *space, np.prod(block) * 3))
    found = quick_jit(depth_to_space, static_argnums=1)(packed, block)
    np.testing.assert_allclose(found, reference.depth_to_space(packed, block), rtol=1e-6)


@functools.partial(quick_jit, static_argnums=(0, 1))
def value_and_gradients(layer, block, towards, *inputs):
    y, pull = jax.vjp(functools.partial(layer, block), *inputs)
    return y, pull(towards)


def stock_transpose(block, x, params):
    return nn.ConvTranspose(3, block, strides=block, padding="VALID").apply({"params": params}, x)


def our_transpose(block, x, params):
    return conv_transpose(x, params["kernel"], params["bias"])


def stock_bilinear(block, x):
    return jax.image.resize(x, (len(x), *enlarged(x.shape[1:-1], block), x.shape[-1]), "bilinear")


def our_bilinear(block, x):
    return bilinear(x, factors=block)


@given(spaces_and_blocks(), SEEDS)
def test_values_and_gradients_are_those_of_the_stock_operations(case, seed):
    (space, block), rng = case, np.random.default_rng(seed)
    fine = enlarged(space, block)
    shapes = [(2, *space, 2), (*block, 2, 3), (3,), (2, *fine, 3), (2, *fine, 2)]
    x, kernel, bias, towards, back = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    params = {"kernel": kernel, "bias": bias}
    for ours, stock, inputs in [
        (our_transpose, stock_transpose, (towards, x, params)),
        (our_bilinear, stock_bilinear, (back, x)),
    ]:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, atol=2e-5),
            value_and_gradients(ours, block, *inputs),
            value_and_gradients(stock, block, *inputs),
        )


@pytest.mark.parametrize("block", [None, (1, 2)])
def test_the_parameters_of_the_transposed_convolution_are_those_of_flax(block):
    x, key, window = normal(1, 2, 2, 3), jax.random.PRNGKey(5), block or (2, 2)
    ours = ConvTranspose(2, block=block).init(key, x)
    flax = nn.ConvTranspose(2, window, strides=window, padding="VALID").init(key, x)
    assert jax.tree.structure(ours) == jax.tree.structure(flax)
    jax.tree.map(np.testing.assert_array_equal, ours, flax)


# Properties


@given(
    st.sampled_from([(1, 1), (2, 3), (3, 1)]),
    st.sampled_from(BLOCKS[2]),
    st.integers(0, 3),
    st.integers(0, 3),
    SEEDS,
)
def test_inside_a_larger_canvas_bilinear_gives_what_the_image_alone_gives(size, factors, top, left, seed):
    image = np.random.default_rng(seed).normal(size=(1, *size, 2)).astype(np.float32)
    inside = (slice(None), slice(top, top + size[0]), slice(left, left + size[1]))
    canvas = np.full((1, 6, 6, 2), 1e6, np.float32)  # what lies outside must not be seen
    valid = np.zeros((1, 6, 6, 1), bool)
    canvas[inside], valid[inside] = image, True
    enlarge = quick_jit(bilinear, static_argnames="factors")
    wide = enlarge(canvas, valid, factors=factors)
    fine = (slice(f * part.start, f * part.stop) for f, part in zip(factors, inside[1:], strict=True))
    np.testing.assert_allclose(wide[(slice(None), *fine)], enlarge(image, factors=factors), atol=1e-6)


def test_interpolation_keeps_constants_and_the_range():
    np.testing.assert_array_equal(bilinear(jnp.full((1, 3, 2, 1), 7.0)), np.full((1, 6, 4, 1), 7.0))
    x = normal(1, 5, 5, 3)
    y = bilinear(x)
    assert x.min() <= y.min() <= y.max() <= x.max()


def test_the_1x1_convolution_may_come_before_the_interpolation():
    x = normal(2, 3, 4, 3)
    variables = random_variables(BilinearUpsample(2), x)
    kernel, bias = variables["params"]["Conv_0"]["kernel"], variables["params"]["Conv_0"]["bias"]
    after = convolve(bilinear(x), kernel, bias)
    np.testing.assert_allclose(BilinearUpsample(2).apply(variables, x), after, atol=1e-5)


def test_pixel_shuffle_is_a_3x3_convolution_whose_channels_become_pixels():
    x = normal(2, 3, 4, 2)
    variables = random_variables(PixelShuffle(3), x)
    kernel, bias = variables["params"]["Conv_0"]["kernel"], variables["params"]["Conv_0"]["bias"]
    assert kernel.shape == (3, 3, 2, 4 * 3)
    expected = reference.convolve(*(np.asarray(a) for a in (x, kernel, bias)), "same")
    expected = reference.depth_to_space(expected, (2, 2))
    np.testing.assert_allclose(PixelShuffle(3).apply(variables, x), expected, atol=1e-5)


def test_pixel_shuffle_does_not_look_along_an_axis_that_is_left_as_it_is():
    x, layer = normal(2, 3, 4, 2), PixelShuffle(3, block=(1, 2))
    variables = random_variables(layer, x)
    assert variables["params"]["Conv_0"]["kernel"].shape == (1, 3, 2, 2 * 3)
    rows = [layer.apply(variables, x[:, i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(layer.apply(variables, x), jnp.concatenate(rows, 1), atol=1e-6)


# Every option


@EVERY_LAYER
@pytest.mark.parametrize(("space", "block"), [((3, 4), None), ((2, 1, 3), None), ((2, 1, 3), (1, 2, 2))])
def test_jit_and_vmap_change_nothing_and_gradients_are_finite(layer, space, block):
    x, model = normal(2, *space, 3), layer(2, block=block)
    variables = random_variables(model, x)
    eager = model.apply(variables, x)
    assert eager.shape == (2, *enlarged(space, block or (2,) * len(space)), 2)
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), eager, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda one: model.apply(variables, one[None])[0])(x), eager, atol=1e-6)
    gradients = quick_jit(jax.grad(lambda v: (model.apply(v, x) ** 2).sum()))(variables)
    assert all(jnp.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradients))


@EVERY_LAYER
def test_bfloat16_keeps_float32_parameters(layer):
    x = normal(1, 3, 3, 2)
    model = layer(2, dtype=jnp.bfloat16)
    variables = random_variables(model, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    y = model.apply(variables, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, layer(2).apply(variables, x), atol=0.1)


@EVERY_LAYER
def test_a_single_pixel_is_enlarged(layer):
    x = normal(1, 1, 1, 2)
    assert layer(3).apply(random_variables(layer(3), x), x).shape == (1, 2, 2, 3)


# Errors


def test_channels_that_do_not_fill_blocks_are_refused():
    message = "`x` must have a multiple of 4 channels to fill blocks of 2^2 pixels, got 6."
    with pytest.raises(ValueError, match=re.escape(message)):
        depth_to_space(jnp.zeros((1, 2, 2, 6)))
    with pytest.raises(ValueError, match=re.escape("a multiple of 2 channels to fill blocks of 2^1 pixels, got 3.")):
        depth_to_space(jnp.zeros((1, 2, 2, 3)), (1, 2))


@EVERY_LAYER
def test_blocks_of_other_sizes_are_refused(layer):
    with pytest.raises(ValueError, match=r"must be 1 or 2 for each of 2 axes of space, got \(1, 3\)\."):
        layer(2, block=(1, 3)).init(jax.random.PRNGKey(0), jnp.zeros((1, 2, 2, 3)))
