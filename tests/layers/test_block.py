import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.layers.block import ConvBlock, crop_to

RNG = np.random.default_rng(0)
# Each option alone, then all at once.
OPTIONS = [
    {},
    {"convs": 2},
    {"norm": "group"},
    {"norm": "instance"},
    {"norm": "none"},
    {"padding": "valid"},
    {"residual": True},
    {"dropout": 0.5},
    {"dtype": jnp.bfloat16},
    {"window": (1, 3)},
    {
        "convs": 2,
        "norm": "group",
        "padding": "valid",
        "residual": True,
        "dropout": 0.5,
        "dtype": jnp.bfloat16,
        "window": (1, 3),
    },
]
EVERY_OPTION = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options)) or "default")


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def made(x, **options):
    block = ConvBlock(3, **options)
    return block, random_variables(block, x, train=False)


def apply(block, variables, x, *, train, valid=None):
    rngs = {"dropout": jax.random.PRNGKey(1)}
    return block.apply(variables, x, train=train, valid=valid, rngs=rngs, mutable=["batch_stats"])


def test_three_pixels_convolved_and_cut_off_below_zero():
    block = ConvBlock(1, norm="none")
    params = {"Conv_0": {"kernel": jnp.array([1.0, 0.0, -1.0]).reshape(3, 1, 1), "bias": jnp.array([0.5])}}
    y = block.apply({"params": params}, jnp.array([1.0, 4.0, 2.0]).reshape(1, 3, 1), train=False)
    np.testing.assert_array_equal(y[0, :, 0], [0, 0, 4.5])  # before the ReLU: 0 - 4 + 1/2, 1 - 2 + 1/2, 4 - 0 + 1/2


def test_the_residual_is_added_before_the_last_relu():
    block = ConvBlock(1, norm="none", residual=True)
    params = {"Conv_0": {"kernel": jnp.array([0.0, -2.0, 0.0]).reshape(3, 1, 1), "bias": jnp.zeros(1)}}
    y = block.apply({"params": params}, jnp.array([1.0, -4.0, 2.0]).reshape(1, 3, 1), train=False)
    np.testing.assert_array_equal(y[0, :, 0], [0, 4, 0])  # x - 2 x


def test_a_block_is_convolution_batch_norm_relu_as_flax_has_them():
    x = normal(2, 4, 4, 2)
    block, variables = made(x)
    y, _ = apply(block, variables, x, train=True)
    convolved = nn.Conv(3, (3, 3)).apply({"params": variables["params"]["Conv_0"]}, x)
    inner = {kind: tree["BatchNorm_0"] for kind, tree in variables.items()}
    normed, _ = nn.BatchNorm(use_running_average=False).apply(inner, convolved, mutable=["batch_stats"])
    np.testing.assert_allclose(y, nn.relu(normed), atol=1e-5)


def test_names_of_parameters():
    _, variables = made(normal(1, 4, 4, 2), convs=2, residual=True)
    assert set(variables["params"]) == {"Conv_0", "BatchNorm_0", "Conv_1", "BatchNorm_1", "shortcut"}
    _, variables = made(normal(1, 4, 4, 3), residual=True)
    assert "shortcut" not in variables["params"]  # the channels are equal


def test_dropout_zeroes_whole_channels_while_training_only():
    x = normal(8, 4, 4, 2)
    block, variables = made(x, dropout=0.5, norm="none")
    kept, _ = apply(block, variables, x, train=False)
    dropped, _ = apply(block, variables, x, train=True)
    ratio = np.asarray(dropped / jnp.where(kept > 0, kept, jnp.nan))
    per_channel = ratio.reshape(8, 16, 3).swapaxes(1, 2).reshape(24, 16)
    values = [set(np.round(channel[np.isfinite(channel)], 4)) for channel in per_channel]
    assert all(len(channel) <= 1 for channel in values)
    assert set().union(*values) == {0, 2}  # the rest is scaled up, so that the mean stays


@pytest.mark.parametrize("options", [{}, {"convs": 2, "residual": True}], ids=["default", "residual"])
def test_inside_a_larger_canvas_it_gives_what_the_image_alone_gives(options):
    image = normal(1, 4, 3, 2)
    block, variables = made(image, **options)
    alone, _ = apply(block, variables, image, train=False)
    canvas, valid = np.zeros((1, 7, 8, 2), np.float32), np.zeros((1, 7, 8, 1), bool)
    canvas[:, 1:5, 4:7], valid[:, 1:5, 4:7] = image, True
    wide, _ = apply(block, variables, jnp.asarray(canvas), train=False, valid=jnp.asarray(valid))
    np.testing.assert_allclose(wide[:, 1:5, 4:7], alone, atol=1e-6)
    assert not np.asarray(wide)[~np.broadcast_to(valid, wide.shape)].any()


@EVERY_OPTION
def test_jit_and_vmap_change_nothing_and_gradients_are_finite(options):
    x = normal(2, 6, 6, 2)
    block, variables = made(x, **options)
    tolerance = 0.1 if "dtype" in options else 1e-5
    run = functools.partial(apply, block, variables, train=False)
    eager, _ = run(x)
    np.testing.assert_allclose(quick_jit(run)(x)[0], eager, atol=tolerance)
    mapped = quick_jit(jax.vmap(lambda one: run(one[None])[0][0]))(x)
    np.testing.assert_allclose(mapped, eager, atol=tolerance)

    def loss(params):
        y, _ = apply(block, {**variables, "params": params}, x, train=True)
        return (y.astype(jnp.float32) ** 2).sum()

    gradients = quick_jit(jax.grad(loss))(variables["params"])
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_valid_padding_loses_two_pixels_per_convolution():
    x = normal(1, 9, 6, 2)
    block, variables = made(x, padding="valid", convs=2, residual=True)
    assert apply(block, variables, x, train=False)[0].shape == (1, 5, 2, 3)


def test_along_an_axis_with_a_window_of_one_nothing_is_lost_and_nothing_is_seen():
    x = normal(1, 4, 6, 2)
    block, variables = made(x, padding="valid", convs=2, residual=True, window=(1, 3))
    assert variables["params"]["Conv_1"]["kernel"].shape == (1, 3, 3, 3)
    assert variables["params"]["shortcut"]["kernel"].shape == (1, 1, 2, 3)
    y, _ = apply(block, variables, x, train=False)
    assert y.shape == (1, 4, 2, 3)
    changed, _ = apply(block, variables, x.at[:, 1].add(1.0), train=False)
    assert {int(row) for row in np.nonzero(np.asarray(changed != y))[1]} == {1}


def test_one_pixel():
    x = normal(1, 1, 1, 2)
    block, variables = made(x)
    assert jnp.isfinite(apply(block, variables, x, train=True)[0]).all()


def test_bfloat16_has_float32_parameters_and_statistics():
    x = normal(1, 4, 4, 2)
    block, variables = made(x, dtype=jnp.bfloat16)
    y, changed = apply(block, variables, x, train=True)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, changed))} == {np.dtype("float32")}


def test_cropping_cuts_out_the_centre():
    x = jnp.arange(24.0).reshape(1, 4, 6, 1)
    np.testing.assert_array_equal(crop_to(x, (1, 2, 4, 9))[0, :, :, 0], [[7, 8, 9, 10], [13, 14, 15, 16]])
    np.testing.assert_array_equal(crop_to(x, x.shape), x)
