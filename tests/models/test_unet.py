import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.compiled import quick_jit
from reference.plain_unet import PlainUNet
from reference.variables import positive_variables, random_variables

from tinyunet.models.unet import UNet

KEY = jax.random.PRNGKey(0)
RNG = np.random.default_rng(0)
OPTIONS = {
    "norm": ["batch", "group", "instance", "none"],
    "upsample": ["transpose", "bilinear", "pixel_shuffle"],
    "skip": ["concat", "add", "none"],
    "padding": ["same", "valid"],
    "residual": [False, True],
    "dropout": [0.0, 0.5],
    "dtype": [jnp.float32, jnp.bfloat16],
    "convs_per_block": [1, 2],
}


def pairs(row):
    return set(itertools.combinations(row, 2))


def pairwise(options):
    """Few configurations, among which every two values of two options meet: each next one adds the most pairs."""
    rows = [tuple(enumerate(row)) for row in itertools.product(*options.values())]
    missing = set().union(*map(pairs, rows))
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        missing -= pairs(best)
        yield dict(zip(options, (value for _, value in best), strict=True))


CONFIGURATIONS = list(pairwise(OPTIONS))


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def apply(model, variables, x, *, train):
    return model.apply(variables, x, train=train, rngs={"dropout": KEY}, mutable=["batch_stats"])


def observed(model, x):
    """Every value on the way by its name; of those that share one, all."""
    values = {}
    model.apply(random_variables(model, x), x, observe=lambda name, value, _: values.setdefault(name, []).append(value))
    return values


# By hand


def test_four_pixels_down_and_up_again():
    """Windows that keep their centre only, so that the roads through the network can be told apart."""
    model = UNet(features=1, depth=1, norm="none")
    centre = jnp.zeros((3, 1, 1)).at[1].set(1)
    params = {
        "ConvBlock_0": {"Conv_0": {"kernel": centre, "bias": jnp.zeros(1)}},
        "ConvBlock_1": {"Conv_0": {"kernel": jnp.concatenate([centre, 0 * centre], -1), "bias": jnp.zeros(2)}},
        "ConvTranspose_0": {"kernel": jnp.ones((2, 2, 1)), "bias": jnp.zeros(1)},
        # The upsampled map comes first, the skip second.
        "ConvBlock_2": {"Conv_0": {"kernel": jnp.concatenate([centre, 10 * centre], 1), "bias": jnp.zeros(1)}},
    }
    y = model.apply({"params": params}, jnp.array([1.0, 2.0, 4.0, 3.0]).reshape(1, 4, 1))
    np.testing.assert_array_equal(y[0, :, 0], [2 + 10, 2 + 20, 4 + 40, 4 + 30])


@pytest.mark.parametrize(("skip", "expected"), [("add", [3, 4, 8, 7]), ("none", [2, 2, 4, 4])])
def test_four_pixels_with_other_skips(skip, expected):
    model = UNet(features=1, depth=1, norm="none", skip=skip, max_features=1)
    centre = {"Conv_0": {"kernel": jnp.zeros((3, 1, 1)).at[1].set(1), "bias": jnp.zeros(1)}}
    params = {f"ConvBlock_{i}": centre for i in range(3)}
    params["ConvTranspose_0"] = {"kernel": jnp.ones((2, 1, 1)), "bias": jnp.zeros(1)}
    y = model.apply({"params": params}, jnp.array([1.0, 2.0, 4.0, 3.0]).reshape(1, 4, 1))
    np.testing.assert_array_equal(y[0, :, 0], expected)


# Against plain Flax


def test_gradients_are_those_of_plain_flax():
    """Sums of many products: relative to the largest, since a rounding may tip a ReLU or a maximum."""
    x, ours, plain = normal(2, 16, 16, 2), UNet(features=3, depth=2), PlainUNet(3)
    variables = random_variables(ours, x)
    towards = normal(2, 16, 16, 3)

    def gradients(model, **options):
        def loss(params, x):
            y, _ = model.apply({**variables, "params": params}, x, mutable=["batch_stats"], **options)
            return (y * towards).sum()

        return jax.grad(loss, argnums=(0, 1))(variables["params"], x)

    found, expected = quick_jit(lambda: (gradients(ours, train=True), gradients(plain)))()
    largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-3 * largest), found, expected)


def test_running_averages_are_those_of_plain_flax():
    x, ours, plain = normal(2, 8, 8, 1), UNet(features=2, depth=2), PlainUNet(2)
    variables = random_variables(ours, x)
    found, expected = quick_jit(
        lambda: (
            ours.apply(variables, x, train=True, mutable=["batch_stats"])[1],
            plain.apply(variables, x, mutable=["batch_stats"])[1],
        )
    )()
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), found, expected)


# The shape of the thing


@settings(max_examples=10)
@given(st.integers(0, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(1, 2))
def test_encoder_and_decoder_match_at_every_legal_size(depth, times, features):
    space = tuple(2**depth * t for t in times)
    x = jax.ShapeDtypeStruct((2, *space, 2), jnp.float32)
    seen = []

    def trace(x):
        model = UNet(features=features, depth=depth)
        variables = model.init(KEY, x)
        return model.apply(variables, x, observe=lambda name, value, _: seen.append((name, value.shape)))

    y = jax.eval_shape(trace, x)
    assert y.shape == (2, *space, features)
    shapes = dict(reversed(seen))  # of the two values called d, the first: the concatenated one
    for stage in range(1, depth + 1):
        size = tuple(s // 2 ** (stage - 1) for s in space)
        channels = features * 2 ** (stage - 1)
        assert shapes[f"e{stage}"] == shapes[f"u{stage}"] == (2, *size, channels)
        assert shapes[f"d{stage}"] == (2, *size, 2 * channels)  # along the channels, along nothing else
        assert shapes[f"p{stage}"] == (2, *(s // 2 for s in size), channels)


def test_a_held_axis_by_hand():
    """Thick slices: windows and poolings of every stage, and the parameters' names."""
    model = UNet(features=1, depth=3, hold=(2, 0, 0))
    x, shapes = jax.ShapeDtypeStruct((1, 2, 8, 8, 1), jnp.float32), {}
    variables = jax.eval_shape(model.init, KEY, x)
    params = variables["params"]
    jax.eval_shape(
        lambda variables, x: model.apply(
            variables, x, observe=lambda name, value, _: shapes.setdefault(name, value.shape[1:4])
        ),
        variables,
        x,
    )
    windows = [params[f"ConvBlock_{i}"]["Conv_0"]["kernel"].shape[:3] for i in range(7)]
    assert windows == [(1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (1, 3, 3), (1, 3, 3)]
    blocks = [params[f"ConvTranspose_{i}"]["kernel"].shape[:3] for i in range(3)]
    assert blocks == [(2, 2, 2), (1, 2, 2), (1, 2, 2)]
    assert [shapes[f"p{s}"] for s in (1, 2, 3)] == [(2, 4, 4), (2, 2, 2), (1, 1, 1)]
    assert [shapes[f"u{s}"] for s in (1, 2, 3)] == [(2, 8, 8), (2, 4, 4), (2, 2, 2)]


def test_holding_no_axis_is_the_default():
    x = normal(1, 4, 8, 1)
    one, other = UNet(features=2, depth=2), UNet(features=2, depth=2, hold=(0, 0))
    variables = random_variables(one, x)
    np.testing.assert_array_equal(one.apply(variables, x), other.apply(variables, x))


def test_an_axis_held_through_every_stage_but_the_bottom_is_a_pile_of_images():
    """Where the bottom's window along it keeps its centre only, every slice is what a network of images gives."""
    volumes, images = UNet(features=2, depth=1, hold=(1, 0, 0)), UNet(features=2, depth=1)
    x = normal(1, 3, 4, 6, 1)
    flat = random_variables(images, x[:, 0])

    def thicken(path, leaf):
        if path[-1].key != "kernel":
            return leaf
        bottom = path[1].key == "ConvBlock_1"
        return jnp.stack([0 * leaf, leaf, 0 * leaf]) if bottom else leaf[None]

    y = volumes.apply(jax.tree_util.tree_map_with_path(thicken, flat), x)
    np.testing.assert_allclose(y[0], images.apply(flat, x[0]), atol=1e-5)


def test_concatenation_puts_the_upsampled_channels_first_and_the_skip_second():
    values = observed(UNet(features=2, depth=2), normal(1, 4, 8, 1))
    for stage in (1, 2):
        joined, _ = values[f"d{stage}"]
        width = 2**stage
        np.testing.assert_array_equal(joined[..., :width], values[f"u{stage}"][0])
        np.testing.assert_array_equal(joined[..., width:], values[f"e{stage}"][0])


def test_addition_and_no_skip():
    x = normal(1, 4, 4, 1)
    values = observed(UNet(features=2, depth=1, skip="add"), x)
    np.testing.assert_array_equal(values["d1"][0], values["u1"][0] + values["e1"][0])
    assert len(observed(UNet(features=2, depth=1, skip="none"), x)["d1"]) == 1


@pytest.mark.parametrize(("bound", "widths"), [(None, [3, 6, 12, 24]), (8, [3, 6, 8, 8]), (1, [1, 1, 1, 1])])
def test_widths_double_up_to_their_bound(bound, widths):
    model = UNet(features=3, depth=3, max_features=bound)
    assert [model.width(stage) for stage in range(1, 5)] == widths


def test_a_network_without_a_skip_does_not_see_the_fine_map():
    """The ablation: with depth 1, pixels of one pooling window are told apart only through the skip."""
    x = jnp.zeros((1, 16, 1)).at[0, 6, 0].set(1.0)
    swapped = jnp.zeros((1, 16, 1)).at[0, 7, 0].set(1.0)
    centre = {"kernel": jnp.zeros((3, 1, 1)).at[1].set(1), "bias": jnp.zeros(1)}
    params = {f"ConvBlock_{i}": {"Conv_0": centre} for i in range(3)}
    params["ConvTranspose_0"] = {"kernel": jnp.ones((2, 1, 1)), "bias": jnp.zeros(1)}
    for skip, alike in [("none", True), ("add", False)]:
        model = UNet(features=1, depth=1, norm="none", skip=skip, max_features=1)
        one, other = (model.apply({"params": params}, image) for image in (x, swapped))
        assert np.allclose(one, other) == alike


# Every option


def test_the_configurations_below_are_few_and_cover_every_pair_of_options():
    rows = [tuple(enumerate(row.values())) for row in CONFIGURATIONS]
    everything = [tuple(enumerate(row)) for row in itertools.product(*OPTIONS.values())]
    assert set().union(*map(pairs, rows)) == set().union(*map(pairs, everything))
    assert len(rows) < 20


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_option_initialises_runs_and_has_finite_gradients(options):
    model = UNet(features=2, depth=1, **options)
    x = normal(2, 20, 20, 1)  # 20 -> 16 -> 8 -> 4 -> 8 -> 4 with two convolutions and no padding

    variables = random_variables(model, x)  # traces the initialiser; compiling it takes seconds

    @quick_jit
    def run_and_step(variables, x):
        def loss(params):
            y, _ = apply(model, {**variables, "params": params}, x, train=True)
            return (y.astype(jnp.float32) ** 2).sum()

        still = functools.partial(apply, model, variables, train=False)
        mapped = jax.vmap(lambda one: still(one[None])[0][0])(x)
        return still(x)[0], mapped, jax.grad(loss)(variables["params"])

    y, mapped, gradients = run_and_step(variables, x)
    size = model.topologies(2)[0].output_size(20)
    assert y.shape == (2, size, size, 2)
    assert y.dtype == options["dtype"]
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    as_float = (np.asarray(a, np.float32) for a in (y, mapped))
    np.testing.assert_allclose(*as_float, atol=1e-5 if options["dtype"] == jnp.float32 else 0.1)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("upsample", OPTIONS["upsample"])
def test_jit_changes_nothing(upsample):
    model, x = UNet(features=2, depth=1, upsample=upsample), normal(1, 4, 6, 1)
    variables = random_variables(model, x)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), model.apply(variables, x), atol=1e-5)


@pytest.mark.parametrize("upsample", OPTIONS["upsample"])
def test_volumes_run_through_the_same_network(upsample):
    model, x = UNet(features=1, depth=2, upsample=upsample), normal(1, 8, 8, 8, 1)
    variables = random_variables(model, x)
    assert variables["params"]["ConvBlock_0"]["Conv_0"]["kernel"].shape == (3, 3, 3, 1, 1)
    gradients = quick_jit(jax.grad(lambda x: apply(model, variables, x, train=True)[0].sum()))(x)
    assert gradients.shape == x.shape
    assert jnp.isfinite(gradients).all()


HELD = {"transpose": (2, 0, 0), "bilinear": (0, 1, 2), "pixel_shuffle": (1, 0, 0)}
"""A volume whose axes are held differently, for every way of upsampling."""


@pytest.mark.parametrize("padding", OPTIONS["padding"])
@pytest.mark.parametrize("upsample", HELD)
def test_held_axes_initialise_run_and_have_finite_gradients(upsample, padding):
    model = UNet(features=1, depth=2, upsample=upsample, padding=padding, hold=HELD[upsample])
    axes = model.topologies(3)
    space = tuple(axis.smallest_size(3) for axis in axes)
    x = normal(2, *space, 1)
    variables = random_variables(model, x)

    @quick_jit
    def run(variables, x):
        def loss(params):
            return (apply(model, {**variables, "params": params}, x, train=True)[0] ** 2).sum()

        return model.apply(variables, x), jax.grad(loss)(variables["params"])

    y, gradients = run(variables, x)
    assert y.shape == (2, *(axis.output_size(size) for axis, size in zip(axes, space, strict=True)), 1)
    assert jnp.isfinite(y).all()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients))


def test_dropout_is_at_the_bottom_and_only_while_training():
    x = normal(1, 4, 4, 1)
    with_dropout, without = (UNet(features=4, depth=1, dropout=rate, norm="none") for rate in (0.9, 0.0))
    variables = random_variables(without, x)
    still, exact = (quick_jit(model.apply)(variables, x) for model in (with_dropout, without))
    np.testing.assert_array_equal(still, exact)
    bottom = {}
    with_dropout.apply(
        variables, x, train=True, rngs={"dropout": KEY}, observe=lambda name, value, _: bottom.setdefault(name, value)
    )
    same = {}
    without.apply(variables, x, observe=lambda name, value, _: same.setdefault(name, value))
    np.testing.assert_array_equal(bottom["e1"], same["e1"])
    assert not np.allclose(bottom["b"], same["b"])


# Tiles


def canvases(image, size, offsets):
    """The image on larger canvases, and where it lies; what is outside must not be seen."""
    tiles = np.full((len(offsets), *size, image.shape[-1]), 1e3, np.float32)
    valid = np.zeros((len(offsets), *size, 1), bool)
    for tile, inside, offset in zip(tiles, valid, offsets, strict=True):
        part = tuple(slice(o, o + s) for o, s in zip(offset, image.shape[1:-1], strict=True))
        tile[part], inside[part] = image[0], True
    return tiles, valid


def assert_tiles_give_the_whole(model, space, size, offsets):
    # An image of its own, whatever ran before: with few features the last ReLU may leave nothing of another one.
    image = np.random.default_rng(2).normal(size=(1, *space, 1)).astype(np.float32)
    variables = random_variables(model, image)
    tiles, valid = canvases(image, size, offsets)

    @quick_jit
    def both(image, tiles, valid):
        return model.apply(variables, image), model.apply(variables, tiles, valid=valid)

    whole, placed = both(image, tiles, valid)
    assert abs(whole).max() > 0.1
    for one, offset in zip(placed, offsets, strict=True):
        part = tuple(slice(o, o + s) for o, s in zip(offset, space, strict=True))
        np.testing.assert_allclose(one[part], whole[0], atol=1e-4)


@pytest.mark.parametrize("skip", OPTIONS["skip"])
@pytest.mark.parametrize("upsample", OPTIONS["upsample"])
def test_an_image_anywhere_in_a_tile_gives_what_it_gives_alone(upsample, skip):
    model = UNet(features=2, depth=1, upsample=upsample, skip=skip)
    assert_tiles_give_the_whole(model, (4, 6), (10, 12), [(0, 0), (6, 6), (2, 4), (6, 0), (4, 2)])


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("skip", OPTIONS["skip"])
@pytest.mark.parametrize("upsample", OPTIONS["upsample"])
def test_a_line_anywhere_in_a_tile_gives_what_it_gives_alone(upsample, skip, depth):
    model = UNet(features=2, depth=depth, upsample=upsample, skip=skip)
    step = 2**depth
    assert_tiles_give_the_whole(model, (2 * step,), (6 * step,), [(step * i,) for i in range(5)])


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_residual_blocks_of_two_convolutions_in_a_tile(norm):
    model = UNet(features=2, depth=2, norm=norm, convs_per_block=2, residual=True, upsample="pixel_shuffle")
    assert_tiles_give_the_whole(model, (8, 4), (12, 12), [(0, 0), (4, 8), (4, 4)])


@pytest.mark.parametrize("upsample", HELD)
def test_a_volume_with_held_axes_anywhere_in_a_tile_gives_what_it_gives_alone(upsample):
    model = UNet(features=2, depth=2, upsample=upsample, hold=HELD[upsample])
    steps = [axis.multiple for axis in model.topologies(3)]
    space, size = (tuple(times * step for step in steps) for times in (1, 3))
    offsets = [tuple(times * step for times, step in zip(row, steps, strict=True)) for row in [(0, 1, 2), (2, 0, 1)]]
    assert_tiles_give_the_whole(model, space, size, offsets)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("upsample", ["transpose", "pixel_shuffle"])
def test_a_volume_is_seen_along_each_axis_as_far_as_the_receptive_radius_of_that_axis(upsample, axis):
    """Impulses at every place along the axis, in a network of ones."""
    model = UNet(features=1, depth=2, upsample=upsample, hold=(1, 0, 2), max_features=1, norm="none")
    topologies = model.topologies(3)
    space = [topology.multiple for topology in topologies]
    space[axis] *= 3 * (topologies[axis].receptive_radius() // space[axis] + 2)
    impulses = np.zeros((space[axis], *space, 1), np.float32)
    for place, impulse in enumerate(np.moveaxis(impulses, axis + 1, 1)):
        impulse[place, 0, 0] = 1
    y = quick_jit(model.apply)(positive_variables(model, impulses), impulses)
    places = np.nonzero(np.asarray(y))
    assert abs(places[0] - places[axis + 1]).max() == topologies[axis].receptive_radius()


@pytest.mark.parametrize("upsample", OPTIONS["upsample"])
def test_a_tile_cut_from_an_image_agrees_beyond_the_receptive_radius(upsample):
    """A line, cut on the right and reaching beyond the image on the left: a border stays a border, a cut does not."""
    model = UNet(features=2, depth=2, upsample=upsample)
    radius = model.topologies(1)[0].receptive_radius()
    image = normal(1, 64, 1)
    variables = random_variables(model, image)
    tile = jnp.concatenate([jnp.full((1, 8, 1), 1e3), image[:, :48]], axis=1)
    valid = (jnp.arange(56) >= 8)[None, :, None]
    whole = model.apply(variables, image)
    part = model.apply(variables, tile, valid=valid)[:, 8:]
    np.testing.assert_allclose(part[:, : 48 - radius], whole[:, : 48 - radius], atol=1e-5)
    assert abs(part - whole[:, :48]).max() > 1e-3  # near the cut


# Edges and errors


def test_depth_0_is_one_block():
    model = UNet(features=2, depth=0)
    assert set(random_variables(model, normal(1, 3, 5, 1))["params"]) == {"ConvBlock_0"}


def test_the_smallest_image_runs():
    model, x = UNet(features=2, depth=2), normal(1, 4, 4, 1)
    assert jnp.isfinite(apply(model, random_variables(model, x), x, train=True)[0]).all()


def test_sizes_that_do_not_divide_are_refused_with_the_nearest_that_do():
    message = "`x` must have sizes divisible by 8 (depth 3), got (17, 8); crop to (16, 8) or pad to (24, 8)."
    with pytest.raises(ValueError, match=re.escape(message)):
        UNet(depth=3).init(KEY, jnp.zeros((1, 17, 8, 1)))


@pytest.mark.parametrize(
    ("hold", "message"),
    [
        ((1,), "`hold` must have one number for each of 2 axes of space, got (1,)."),
        ((1, 0, 0), "`hold` must have one number for each of 2 axes of space, got (1, 0, 0)."),
        ((0, 3), "`hold` must be from 0 to depth 2, got 3."),
    ],
)
def test_a_hold_that_does_not_suit_the_axes_is_refused(hold, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        UNet(depth=2, hold=hold).init(KEY, jnp.zeros((1, 8, 8, 1)))
