import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.plain_unet import PlainUNet, plain_unet_forward

from tinyunet.cli.main import main
from tinyunet.models.unet import UNet
from tinyunet.seed import unet_forward, walk_through

SEEDS = st.integers(0, 2**31 - 1)
# For a (4, 4, 1) image and two features.
TABLE = [
    ("image", (1, 4, 4, 1), ""),
    ("e1", (1, 4, 4, 2), "ConvBlock(2)"),
    ("p1", (1, 2, 2, 2), "MaxPool"),
    ("e2", (1, 2, 2, 4), "ConvBlock(4)"),
    ("p2", (1, 1, 1, 4), "MaxPool"),
    ("b", (1, 1, 1, 8), "ConvBlock(8)"),
    ("u2", (1, 2, 2, 4), "ConvTranspose(4)"),
    ("d2", (1, 2, 2, 8), "concat(u2, e2)"),
    ("d2", (1, 2, 2, 4), "ConvBlock(4)"),
    ("u1", (1, 4, 4, 2), "ConvTranspose(2)"),
    ("d1", (1, 4, 4, 4), "concat(u1, e1)"),
    ("d1", (1, 4, 4, 2), "ConvBlock(2)"),
]

jitted = quick_jit(unet_forward, static_argnums=2)
plain_jitted = quick_jit(plain_unet_forward, static_argnums=2)


def image_of(shape, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture
def quick_eager():
    """Operations run one by one, each compiled without optimisation; otherwise the initialiser alone takes 20 s."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def exact_forward(base_features):
    """The plain network in float64, given float32's parameters: what both sides round."""

    @quick_jit
    def forward(params, image):
        return PlainUNet(base_features).apply({"params": params}, image[None], mutable=["batch_stats"])[0].reshape(-1)

    def run(seed, image):
        params = initialise(PlainUNet(base_features), seed, image)["params"]
        with jax.enable_x64(True):
            widened = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), params)
            return np.asarray(forward(widened, jnp.asarray(np.asarray(image), jnp.float64)))

    return run


@functools.partial(quick_jit, static_argnums=0)
def initialise(model, seed, image):
    return model.init(jax.random.PRNGKey(seed), image[None])


# The walk-through


def test_the_walk_through_is_the_pages_table():
    assert [tuple(step) for step in walk_through(UNet(features=2, depth=2), (4, 4, 1))] == TABLE


def test_summary_prints_the_table(capsys):
    assert main(["summary", "--image-shape", "4", "4", "1", "--features", "2"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", header) == ["value", "shape", "made by"]
    assert [re.split(r" {2,}", line) for line in lines] == [
        [value, str(shape), *([made_by] if made_by else [])] for value, shape, made_by in TABLE
    ]


def test_summary_refuses_sizes_in_one_line(capsys):
    assert main(["summary", "--image-shape", "6", "4", "1"]) == 2
    error = "error: `x` must have sizes divisible by 4 (depth 2), got (6, 4); crop to (4, 4) or pad to (8, 4).\n"
    assert capsys.readouterr().err == error


# Against plain Flax: the numbered lines of the founding page


@settings(max_examples=5)
@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda size: size[0] * size[1] >= 16),
    st.integers(1, 4),
    st.integers(1, 5),
    SEEDS,
)
def test_values_are_those_of_plain_flax(quarters, channels, base_features, seed):
    image = image_of((4 * quarters[0], 4 * quarters[1], channels), seed)
    y = jitted(seed, image, base_features)
    assert y.shape == (image.shape[0] * image.shape[1] * base_features,)
    np.testing.assert_allclose(y, plain_jitted(seed, image, base_features), atol=1e-4, rtol=0)


@given(SEEDS)
def test_values_are_those_of_plain_flax_for_many_seeds(seed):
    image = image_of((16, 20, 3), seed)
    np.testing.assert_allclose(jitted(seed, image, 4), plain_jitted(seed, image, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [1e-3, 255.0])
def test_values_are_those_of_plain_flax_for_images_of_other_ranges(scale):
    image = scale * (1 + image_of((16, 20, 3), 0))
    np.testing.assert_allclose(jitted(0, image, 4), plain_jitted(0, image, 4), atol=1e-4, rtol=0)


@settings(max_examples=20)
@given(st.sampled_from([(4, 12, 2), (8, 8, 1), (4, 4, 1)]), SEEDS)
def test_a_tiny_deepest_map_amplifies_rounding_no_more_than_plain_flax_does(shape, seed):
    image = image_of(shape, seed)
    exact, plain, ours = exact_forward(2)(seed, image), plain_jitted(seed, image, 2), jitted(seed, image, 2)
    bound = 4 * abs(plain - exact).max() + 1e-5
    assert abs(ours - exact).max() <= bound
    assert abs(ours - plain).max() <= bound


@pytest.mark.usefixtures("quick_eager")
@pytest.mark.parametrize("shape", [(16, 16, 1), (20, 16, 1)])
def test_values_are_those_of_plain_flax_operation_by_operation(shape):
    for seed in range(3):
        image = image_of(shape, seed)
        np.testing.assert_allclose(unet_forward(seed, image, 2), plain_unet_forward(seed, image, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("channels", "base_features"), [(1, 2), (3, 4), (2, 1)])
def test_parameters_are_those_of_plain_flax_name_for_name_and_value_for_value(channels, base_features):
    image = jnp.zeros((4, 8, channels))
    for seed in (0, 1, 12345):
        ours, plain = (
            initialise(m, seed, image) for m in (UNet(features=base_features, depth=2), PlainUNet(base_features))
        )
        assert jax.tree.structure(ours) == jax.tree.structure(plain)
        jax.tree.map(np.testing.assert_array_equal, ours, plain)


@pytest.mark.usefixtures("quick_eager")
def test_parameters_are_those_of_plain_flax_operation_by_operation():
    key, batch = jax.random.PRNGKey(7), jnp.zeros((1, 4, 4, 1))
    ours, plain = UNet(features=2, depth=2).init(key, batch), PlainUNet(2).init(key, batch)
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    jax.tree.map(np.testing.assert_array_equal, ours, plain)


def test_the_parameter_tree_is_the_one_the_page_names():
    shapes = jax.eval_shape(UNet(features=2, depth=2).init, jax.random.PRNGKey(0), jnp.zeros((1, 4, 4, 1)))["params"]
    block = {"Conv_0": ["kernel", "bias"], "BatchNorm_0": ["scale", "bias"]}
    names = {
        name: {inner: set(leaves) for inner, leaves in tree.items()} if name.startswith("ConvBlock") else set(tree)
        for name, tree in shapes.items()
    }
    expected = {f"ConvBlock_{i}": {inner: set(leaves) for inner, leaves in block.items()} for i in range(5)}
    assert names == expected | {f"ConvTranspose_{i}": {"kernel", "bias"} for i in range(2)}


def test_the_output_is_the_feature_map_row_by_row_channels_fastest():
    image = image_of((4, 8, 1), 0)
    model = UNet(features=2, depth=2)

    @quick_jit
    def features(image):
        variables = model.init(jax.random.PRNGKey(3), image[None], train=True)
        return model.apply(variables, image[None], train=True, mutable=["batch_stats"])[0]

    y = features(image)
    assert y.shape == (1, 4, 8, 2)
    flat = jitted(3, image, 2)
    assert flat.shape == (4 * 8 * 2,)
    np.testing.assert_allclose(flat.reshape(4, 8, 2), y[0], atol=1e-5)


def test_the_output_is_normalised_by_this_batch():
    """Batch statistics, not running ones: before the last ReLU each channel has mean 0, so about half is cut off."""
    y = jitted(0, 100 * image_of((16, 20, 3), 1), 4).reshape(-1, 4)
    assert (y >= 0).all()
    np.testing.assert_allclose((y > 0).mean(axis=0), 0.5, atol=0.3)
    assert (y.max(axis=0) < 10).all()


def test_another_seed_is_another_network():
    image = image_of((16, 20, 3), 0)
    assert not np.allclose(jitted(0, image, 4), jitted(1, image, 4))
    np.testing.assert_array_equal(jitted(0, image, 4), jitted(0, image, 4))


def test_the_signature_is_the_pages():
    assert list(inspect.signature(unet_forward).parameters) == ["seed", "image", "base_features"]


# Sizes


@settings(max_examples=15)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 4), st.integers(1, 8))
def test_every_legal_size_is_kept(h, w, channels, base_features):
    image = jax.ShapeDtypeStruct((4 * h, 4 * w, channels), jnp.float32)
    y = jax.eval_shape(lambda image: unet_forward(0, image, base_features), image)
    assert y.shape == (16 * h * w * base_features,)


def test_gradients_reach_every_pixel():
    gradient = quick_jit(jax.grad(lambda image: (unet_forward(0, image, 2) ** 3).sum()))(image_of((16, 16, 1), 0))
    assert jnp.isfinite(gradient).all()
    assert (gradient != 0).mean() > 0.9


def test_one_network_serves_a_batch_of_images_each_with_its_own_statistics():
    images = jnp.stack([image_of((16, 16, 1), seed) for seed in range(2)])
    mapped = quick_jit(jax.vmap(lambda image: unet_forward(0, image, 2)))(images)
    np.testing.assert_allclose(mapped, [jitted(0, image, 2) for image in images], atol=1e-4)


@given(st.integers(1, 200), st.integers(1, 200))
def test_other_sizes_are_refused_with_the_nearest_legal_ones(h, w):
    if h % 4 == 0 and w % 4 == 0:
        return
    down, up = ((4 * (h // 4), 4 * (w // 4)), (-(-h // 4) * 4, -(-w // 4) * 4))
    crop = f"crop to {down} or " if min(down) else ""
    message = f"`x` must have sizes divisible by 4 (depth 2), got ({h}, {w}); {crop}pad to {up}."
    with pytest.raises(ValueError, match=re.escape(message)):
        unet_forward(0, jnp.zeros((h, w, 1)), 2)


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match=re.escape("`base_features` must be at least 1, got 0.")):
        unet_forward(0, jnp.zeros((4, 4, 1)), 0)


def test_the_walk_through_of_another_network():
    steps = {
        step.value: step
        for step in walk_through(UNet(features=1, depth=1, skip="add", upsample="bilinear"), (8, 6, 4, 1))
    }
    assert steps["u1"] == ("u1", (1, 8, 6, 4, 1), "BilinearUpsample(1)")
    added = walk_through(UNet(features=1, depth=1, skip="add"), (4, 4, 1))[-2]
    assert added == ("d1", (1, 4, 4, 1), "u1 + e1")


def test_the_walk_through_refuses_sizes_too():
    with pytest.raises(ValueError, match=r"got \(5, 4\); crop to \(4, 4\) or pad to \(8, 4\)"):
        walk_through(UNet(features=2, depth=2), (5, 4, 1))
