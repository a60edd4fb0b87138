import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.layers.conv import convolve
from tinyunet.models.segmenter import Segmenter, mirror
from tinyunet.models.unet import UNet

RNG = np.random.default_rng(0)
KEY = jax.random.PRNGKey(0)
PADDINGS = ["same", "valid"]


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def made(x, *, classes=3, **options):
    model = Segmenter(classes=classes, unet=UNet(features=2, **options))
    return model, random_variables(model, x)


def bare(model, variables, x):
    """The body and the head by hand, on an image whose size the body takes."""
    body = {kind: tree["unet"] for kind, tree in variables.items()}
    features = quick_jit(model.unet.apply)(body, x)
    head = variables["params"]["head"]
    return features @ head["kernel"].reshape(-1, model.classes) + head["bias"]


# By hand


def test_three_pixels_mirrored():
    x = jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    np.testing.assert_array_equal(mirror(x, [(2, 5)])[0, :, 0], [3, 2, 1, 2, 3, 2, 1, 2, 3, 2])


def test_the_head_is_a_matrix_applied_to_every_pixel():
    x = normal(1, 2, 2, 1)
    model, variables = made(x, depth=0)
    assert variables["params"]["head"]["kernel"].shape[-2:] == (2, 3)
    features = model.unet.apply({kind: tree["unet"] for kind, tree in variables.items()}, x)
    head = variables["params"]["head"]
    expected = convolve(features, head["kernel"].reshape(1, 1, 2, 3), head["bias"])
    np.testing.assert_allclose(model.apply(variables, x), expected, atol=1e-6)


# Against NumPy and the bare network


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=2))
@settings(max_examples=10)
def test_mirroring_is_that_of_numpy(axes):
    x = np.random.default_rng(0).normal(size=(2, *(size for size, _, _ in axes), 1)).astype(np.float32)
    widths = [(before, after) for _, before, after in axes]
    found = mirror(jnp.asarray(x), widths)
    np.testing.assert_array_equal(found, np.pad(x, ((0, 0), *widths, (0, 0)), mode="reflect"))


@pytest.mark.parametrize("train", [False, True])
def test_sizes_that_divide_give_exactly_the_bare_network(train):
    x = normal(2, 8, 4, 1)
    model, variables = made(x, depth=2)
    y, _ = model.apply(variables, x, train=train, mutable=["batch_stats"])
    body = {kind: tree["unet"] for kind, tree in variables.items()}
    features, _ = model.unet.apply(body, x, train=train, mutable=["batch_stats"])
    head = variables["params"]["head"]
    np.testing.assert_array_equal(y, convolve(features, head["kernel"].reshape(1, 1, 2, 3), head["bias"]))


def test_other_sizes_are_extended_by_their_edge_pixels_below_and_on_the_right():
    x = normal(1, 5, 6, 2)
    model, variables = made(x, depth=2)
    wide = jnp.asarray(np.pad(x, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="edge"))
    expected = bare(model, variables, wide)[:, :5, :6]
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), expected, atol=1e-5)


@pytest.mark.parametrize("options", [{"depth": 1}, {"depth": 2}, {"depth": 1, "convs_per_block": 2}], ids=str)
def test_without_padding_the_image_is_mirrored_about_its_centre(options):
    """The overlap-tile strategy of the paper: what the mirrored image gives, of which the image is the centre."""
    x = normal(1, 13, 10, 1)
    model, variables = made(x, padding="valid", **options)
    topology, _ = model.unet.topologies(2)
    extra = [topology.smallest_size(size) - size for size in (13, 10)]
    wide = np.pad(x, ((0, 0), *((e // 2, e - e // 2) for e in extra), (0, 0)), mode="reflect")
    logits = bare(model, variables, jnp.asarray(wide))
    lost = [(have - got) // 2 for have, got in zip(wide.shape[1:3], logits.shape[1:3], strict=True)]
    top, left = (e // 2 - n for e, n in zip(extra, lost, strict=True))
    expected = logits[:, top : top + 13, left : left + 10]
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), expected, atol=1e-5)


def test_inside_the_mirrored_image_gives_what_the_image_itself_gives():
    x = normal(1, 16, 18, 1)
    model, variables = made(x, padding="valid", depth=1)
    direct = bare(model, variables, x)  # 4 pixels smaller on every side
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x)[:, 4:-4, 4:-4], direct, atol=1e-5)


def test_each_axis_of_a_volume_is_extended_as_far_as_its_own_poolings_ask():
    x = normal(1, 3, 5, 8, 1)
    model, variables = made(x, depth=2, hold=(1, 0, 2))
    wide = jnp.asarray(np.pad(x, ((0, 0), (0, 1), (0, 3), (0, 0), (0, 0)), mode="edge"))
    expected = bare(model, variables, wide)[:, :3, :5, :8]
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), expected, atol=1e-5)


def test_volumes_that_divide_give_exactly_the_bare_network():
    x = normal(1, 3, 4, 8, 1)
    model, variables = made(x, depth=2, hold=(2, 0, 0))
    y = model.apply(variables, x)
    features = model.unet.apply({kind: tree["unet"] for kind, tree in variables.items()}, x)
    head = variables["params"]["head"]
    np.testing.assert_array_equal(y, convolve(features, head["kernel"].reshape(1, 1, 1, 2, 3), head["bias"]))


def test_without_padding_a_volume_is_mirrored_as_far_as_each_axis_loses():
    x = normal(1, 3, 6, 5, 1)
    model, variables = made(x, padding="valid", depth=1, hold=(1, 0, 0))
    extra = [axis.smallest_size(size) - size for axis, size in zip(model.unet.topologies(3), (3, 6, 5), strict=True)]
    assert extra == [2, 8, 9]  # slices: the bottom's window alone; the other axes: 14 -> 6
    wide = np.pad(x, ((0, 0), *((e // 2, e - e // 2) for e in extra), (0, 0)), mode="reflect")
    expected = bare(model, variables, jnp.asarray(wide))[:, :, :6, :5]
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), expected, atol=1e-5)


# Any size


@settings(max_examples=25)
@given(
    st.sampled_from(PADDINGS),
    st.integers(0, 3),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(2, 4),
    st.data(),
)
def test_any_size_is_taken_and_kept(padding, depth, space, classes, data):
    hold = data.draw(st.one_of(st.just(()), st.tuples(*[st.integers(0, depth)] * len(space))))
    model = Segmenter(classes=classes, unet=UNet(features=1, depth=depth, padding=padding, hold=hold))
    x = jax.ShapeDtypeStruct((2, *space, 1), jnp.float32)
    assert jax.eval_shape(model.init_with_output, KEY, x)[0].shape == (2, *space, classes)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("space", "hold"), [((1, 1), ()), ((1, 1, 1), ()), ((1, 1, 1), (1, 0, 0))])
def test_one_pixel_is_segmented_with_finite_gradients(space, hold, padding):
    x = normal(1, *space, 1)
    model, variables = made(x, depth=1, padding=padding, hold=hold)

    def loss(params):
        return (model.apply({**variables, "params": params}, x) ** 2).sum()

    value, gradients = quick_jit(jax.value_and_grad(loss))(variables["params"])
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


# Every option


@pytest.mark.parametrize("padding", PADDINGS)
def test_jit_and_vmap_change_nothing(padding):
    x = normal(2, 7, 5, 1)
    model, variables = made(x, depth=1, padding=padding)
    eager = model.apply(variables, x)
    np.testing.assert_allclose(quick_jit(model.apply)(variables, x), eager, atol=1e-5)
    mapped = quick_jit(jax.vmap(lambda one: model.apply(variables, one[None])[0]))(x)
    np.testing.assert_allclose(mapped, eager, atol=1e-5)


@pytest.mark.parametrize("padding", PADDINGS)
def test_logits_are_float32_also_where_the_convolutions_are_not(padding):
    x = normal(1, 6, 6, 1)
    model, variables = made(x, depth=1, padding=padding, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    assert quick_jit(model.apply)(variables, x).dtype == jnp.float32


def test_a_tile_with_a_valid_map_gives_what_the_image_gives():
    image = normal(1, 4, 8, 1)
    model, variables = made(image, depth=2)
    tile = jnp.full((1, 12, 12, 1), 1e3).at[:, 4:8, 4:].set(image)
    valid = jnp.zeros((1, 12, 12, 1), bool).at[:, 4:8, 4:].set(True)
    placed = quick_jit(model.apply, static_argnames="method")(variables, tile, valid=valid, method="tile")
    np.testing.assert_allclose(placed[:, 4:8, 4:], quick_jit(model.apply)(variables, image), atol=1e-5)


def test_a_tile_of_a_volume_with_held_axes_gives_what_the_volume_gives():
    volume = normal(1, 3, 4, 8, 1)
    model, variables = made(volume, depth=2, hold=(2, 0, 1))
    tile = jnp.full((1, 5, 8, 10, 1), 1e3).at[:, 1:4, 4:, 2:].set(volume)
    valid = jnp.zeros((1, 5, 8, 10, 1), bool).at[:, 1:4, 4:, 2:].set(True)
    placed = quick_jit(model.apply, static_argnames="method")(variables, tile, valid=valid, method="tile")
    np.testing.assert_allclose(placed[:, 1:4, 4:, 2:], quick_jit(model.apply)(variables, volume), atol=1e-5)


# Errors


def test_a_tile_of_a_size_that_does_not_divide_is_refused():
    model = Segmenter(classes=2, unet=UNet(features=1, depth=2))
    with pytest.raises(
        ValueError, match=r"divisible by 4 \(depth 2\), got \(6, 8\); crop to \(4, 8\) or pad to \(8, 8\)"
    ):
        model.init(KEY, jnp.zeros((1, 6, 8, 1)), method="tile")
