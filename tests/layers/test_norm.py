import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.layers.norm import EPSILON, LOCAL_NORMS, normalise, normalise_relu

RNG = np.random.default_rng(0)
NORMS = ["batch", "group", "instance", "none"]
EVERY_OPTION = pytest.mark.parametrize("train", [True, False])
EVERY_NORM = pytest.mark.parametrize("norm", NORMS)


class Normalised(nn.Module):
    """A module for the normalisation to live in."""

    norm: str
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, train=True):
        return normalise(self, x, norm=self.norm, train=train, momentum=self.momentum)


def normal(*shape):
    return jnp.asarray(RNG.normal(2, 3, shape), jnp.float32)


def apply(norm, variables, x, *, train=True):
    return Normalised(norm).apply(variables, x, train, mutable=["batch_stats"])


def statistics_axes(norm, groups, x):
    """x as (b, space, groups, channels of a group), and the axes that share a mean."""
    grouped = np.asarray(x, float).reshape(len(x), -1, groups, x.shape[-1] // groups)
    return grouped, {"batch": (0, 1), "group": (1, 3), "instance": (1,)}[norm]


def test_three_pixels():
    x = jnp.array([1.0, 3.0, 8.0]).reshape(1, 3, 1)  # mean 4, variance (9 + 1 + 16) / 3
    for norm in ("batch", "group", "instance"):
        y, _ = apply(norm, Normalised(norm).init(jax.random.PRNGKey(0), x), x)
        np.testing.assert_allclose(y[0, :, 0], np.array([-3, -1, 4]) / np.sqrt(26 / 3 + 1e-5), rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "channels", "groups"),
    [("batch", 6, 6), ("instance", 6, 6), ("group", 3, 1), ("group", 8, 1), ("group", 16, 2), ("group", 20, 2)],
)
def test_values_agree_with_the_formula(norm, channels, groups):
    x = normal(2, 3, 4, channels)
    variables = random_variables(Normalised(norm), x)
    y, _ = apply(norm, variables, x)
    grouped, axes = statistics_axes(norm, groups, x)
    mean, var = (f(grouped, axis=axes, keepdims=True) for f in (np.mean, np.var))
    expected = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    (weights,) = variables["params"].values()
    np.testing.assert_allclose(y, weights["scale"] * expected + weights["bias"], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 7, 12, 24, 40])
def test_groups_hold_about_eight_channels(channels):
    x = normal(1, 5, channels)
    groups = {1: 1, 7: 1, 12: 1, 24: 3, 40: 5}[channels]
    y, _ = apply("group", Normalised("group").init(jax.random.PRNGKey(0), x), x)
    sums = np.asarray(y).reshape(5, groups, -1).sum(axis=(0, 2))
    np.testing.assert_allclose(sums, np.zeros(groups), atol=1e-3)


def test_batch_normalisation_is_that_of_flax():
    x = normal(2, 4, 4, 3)
    variables = random_variables(Normalised("batch"), x)
    inner = {kind: tree["BatchNorm_0"] for kind, tree in variables.items()}
    for train in (True, False):
        stock = nn.BatchNorm(use_running_average=not train, momentum=0.9)
        expected, stats = stock.apply(inner, x, mutable=["batch_stats"])
        y, ours = apply("batch", variables, x, train=train)
        np.testing.assert_array_equal(y, expected)
        jax.tree.map(np.testing.assert_array_equal, ours["batch_stats"]["BatchNorm_0"], stats["batch_stats"])


def test_running_averages_keep_the_share_called_momentum():
    x = normal(2, 4, 1)
    fresh = Normalised("batch").init(jax.random.PRNGKey(0), x)
    _, changed = apply("batch", fresh, x)
    stats = changed["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.9 * 0 + 0.1 * np.mean(x), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 * 1 + 0.1 * np.var(x), rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "name"), [("batch", "BatchNorm_0"), ("group", "GroupNorm_0"), ("instance", "InstanceNorm_0")]
)
def test_the_submodule_has_linens_name(norm, name):
    variables = random_variables(Normalised(norm), normal(1, 4, 3))
    assert jax.tree.map(jnp.shape, variables["params"]) == {name: {"scale": (3,), "bias": (3,)}}


def test_none_changes_nothing_and_has_no_parameters():
    x = normal(1, 4, 3)
    assert not Normalised("none").init(jax.random.PRNGKey(0), x)
    np.testing.assert_array_equal(apply("none", {}, x)[0], x)


@EVERY_NORM
def test_local_norms_and_no_others_treat_every_pixel_alike(norm):
    x = normal(1, 6, 6, 4)
    variables = random_variables(Normalised(norm), x)
    whole, _ = apply(norm, variables, x, train=False)
    part, _ = apply(norm, variables, x[:, :3], train=False)
    assert np.allclose(whole[:, :3], part, atol=1e-5) == (norm in LOCAL_NORMS)


@EVERY_NORM
@EVERY_OPTION
def test_jit_and_vmap_change_nothing(norm, train):
    x = normal(3, 4, 5, 4)
    variables = random_variables(Normalised(norm), x)
    eager, _ = apply(norm, variables, x, train=train)
    jitted, _ = jax.jit(lambda x: apply(norm, variables, x, train=train))(x)
    np.testing.assert_allclose(jitted, eager, atol=1e-5)
    if norm != "batch" or not train:  # the statistics of a batch are of the whole batch
        mapped = jax.vmap(lambda one: apply(norm, variables, one[None], train=train)[0][0])(x)
        np.testing.assert_allclose(mapped, eager, atol=1e-5)


@EVERY_NORM
@EVERY_OPTION
def test_gradients_are_finite_where_nothing_varies(norm, train):
    constant = jnp.full((2, 3, 3, 2), 5.0)
    variables = random_variables(Normalised(norm), constant)

    def loss(params, x):
        return (apply(norm, {**variables, "params": params}, x, train=train)[0] ** 2).sum()

    gradients = quick_jit(jax.grad(loss, argnums=(0, 1)))(variables.get("params", {}), constant)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@EVERY_NORM
def test_one_pixel_is_finite(norm):
    x = normal(1, 1, 1, 2)
    assert jnp.isfinite(apply(norm, random_variables(Normalised(norm), x), x)[0]).all()


@EVERY_NORM
@EVERY_OPTION
def test_bfloat16_is_normalised_in_float32(norm, train):
    """Pixels around 1000: in bfloat16, which is 4 apart there, their mean would be lost."""
    x = (normal(1, 64, 1) + 1000).astype(jnp.bfloat16)
    variables = random_variables(Normalised(norm), x)
    y, _ = apply(norm, variables, x, train=train)
    exact, _ = apply(norm, variables, x.astype(jnp.float32), train=train)
    assert y.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} <= {np.dtype("float32")}
    np.testing.assert_array_equal(y, exact)


def plain_normalise_relu(y, bias, scale, shift):
    """The formula as it stands, for the compiler to differentiate."""
    y = y + bias
    axes = tuple(range(y.ndim - 1))
    mean, var = y.mean(axes), y.var(axes)
    return jnp.maximum((y - mean) / jnp.sqrt(var + EPSILON) * scale + shift, 0), mean, var


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 3, 5), (2, 3, 4, 2, 4)], ids=str)
@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_bias_normalisation_and_relu_are_those_of_the_formula_in_float64(shape, jit):
    rng = np.random.default_rng(len(shape))
    y, weights = 0.7 * rng.standard_normal(shape) + 0.5, rng.standard_normal(shape)
    bias, scale, shift = rng.standard_normal((3, shape[-1]))

    def everything(function, *arrays):
        def objective(*arrays):
            z, mean, var = function(*arrays)
            return (z * weights.astype(z.dtype)).sum(), (z, mean, var)

        return jax.value_and_grad(objective, argnums=(0, 1, 2, 3), has_aux=True)(*arrays)

    with jax.enable_x64(True):
        (_, values), gradients = everything(plain_normalise_relu, *map(jnp.asarray, (y, bias, scale, shift)))
    ours = functools.partial(everything, normalise_relu)
    arrays = [jnp.asarray(a, jnp.float32) for a in (y, bias, scale, shift)]
    (_, found), slopes = (quick_jit(ours) if jit else ours)(*arrays)
    for mine, exact in zip((*found, *slopes), (*values, *gradients), strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-4, atol=1e-5)
    assert not slopes[1].any()  # of the bias: nothing at all, not a rest of rounding


def test_bias_normalisation_and_relu_of_bfloat16_are_computed_in_float32():
    y = jnp.asarray(np.random.default_rng(0).standard_normal((2, 4, 4, 3)), jnp.bfloat16)
    one = jnp.ones(3)
    z, mean, _ = normalise_relu(y, one.astype(jnp.bfloat16), one, 0 * one)
    assert z.dtype == mean.dtype == jnp.float32
    np.testing.assert_array_equal(z, normalise_relu(y.astype(jnp.float32), one, one, 0 * one)[0])
    gradient = jax.grad(lambda y: normalise_relu(y, one, one, one)[0].sum())(y)
    assert gradient.dtype == jnp.bfloat16
