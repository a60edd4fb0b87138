import dataclasses
import functools
import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tinyunet.data.augment.compose import AugmentConfig, augment
from tinyunet.errors import ConfigError

RNG = np.random.default_rng(0)
NOTHING = AugmentConfig(
    flips=False,
    quarter_turns=False,
    warp_probability=0.0,
    gamma=0.0,
    contrast=0.0,
    brightness=0.0,
    shading=0.0,
    blur_px=0.0,
    noise=0.0,
)
EXACT = dataclasses.replace(NOTHING, flips=True, quarter_turns=True)
WARP = dataclasses.replace(EXACT, warp_probability=1.0, elastic_px=1.5, elastic_grid_px=12.0)
OPTIONS = {
    "nothing": NOTHING,
    "flips": dataclasses.replace(NOTHING, flips=True),
    "quarter turns": dataclasses.replace(NOTHING, quarter_turns=True),
    "affine": dataclasses.replace(NOTHING, warp_probability=1.0, elastic_px=0.0),
    "elastic": dataclasses.replace(NOTHING, warp_probability=1.0, rotate_deg=0.0, scale=0.0, shear=0.0),
    "gamma": dataclasses.replace(NOTHING, gamma=1.0, gamma_probability=1.0),
    "contrast": dataclasses.replace(NOTHING, contrast=1.0, contrast_probability=1.0),
    "brightness": dataclasses.replace(NOTHING, brightness=1.0, brightness_probability=1.0),
    "shading": dataclasses.replace(NOTHING, shading=1.0, shading_probability=1.0),
    "blur": dataclasses.replace(NOTHING, blur_px=1.5, blur_probability=1.0),
    "noise": dataclasses.replace(NOTHING, noise=1.0, noise_probability=1.0),
    "defaults": AugmentConfig(),
}
GREY = ("gamma", "contrast", "brightness", "shading", "blur", "noise")


def keys(count, seed=1):
    return jax.random.split(jax.random.key(seed), count)


@functools.cache
def jitted(config, shape, spacing=()):
    """`augment` of one sample under many keys, as training runs it."""
    run = functools.partial(augment, config=config, shape=shape, spacing=spacing)
    return jax.jit(jax.vmap(run, in_axes=(0, None, None)))


def a_sample(height=20, width=20, channels=1):
    """A smooth image, so that rounding of coordinates stays small in it, and labels with ignored pixels."""
    noise = RNG.normal(size=(height, width, channels))
    image = ndimage.gaussian_filter(noise, (2, 2, 0)) * 4
    return jnp.asarray(image, jnp.float32), jnp.asarray(RNG.integers(-1, 3, (height, width)), jnp.int32)


def positions(*space):
    """An image whose channels are each pixel's position along each axis, and labels that number the pixels."""
    image = jnp.asarray(np.stack(np.indices(space), axis=-1), jnp.float32)
    return image, jnp.arange(math.prod(space), dtype=jnp.int32).reshape(space)


# By hand


def test_without_options_the_centre_is_cut_out():
    image, labels = positions(5, 4)
    new_image, new_labels = augment(jax.random.key(0), image, labels, NOTHING, shape=(3, 2))
    assert new_labels.tolist() == [[5, 6], [9, 10], [13, 14]]
    np.testing.assert_array_equal(new_image, image[1:4, 1:3])


def test_without_options_the_centre_is_cut_out_of_a_volume():
    volume, labels = positions(3, 5, 4)
    new_volume, new_labels = augment(jax.random.key(0), volume, labels, NOTHING, shape=(1, 3, 2))
    np.testing.assert_array_equal(new_labels, labels[1:2, 1:4, 1:3])
    np.testing.assert_array_equal(new_volume, volume[1:2, 1:4, 1:3])


# Against other programs


def test_exact_options_give_numpys_turns_and_flips_bit_for_bit():
    window, labels = a_sample(9, 9, 2)
    cut, cut_labels = np.asarray(window[1:8, 1:8]), np.asarray(labels[1:8, 1:8])
    images, new_labels = jitted(EXACT, (7, 7))(keys(100), window, labels)
    symmetries = [functools.partial(np.rot90, k=k) for k in range(4)]
    symmetries += [lambda x, k=k: np.flipud(np.rot90(x, k)) for k in range(4)]
    found = []
    for image, label in zip(images, new_labels, strict=True):
        matches = [i for i, move in enumerate(symmetries) if np.array_equal(image, move(cut))]
        assert len(matches) == 1
        np.testing.assert_array_equal(label, symmetries[matches[0]](cut_labels))
        found += matches
    assert set(found) == set(range(8))


def test_only_half_turns_fit_a_shape_that_is_not_square():
    window, labels = a_sample(8, 6)
    only_turns = dataclasses.replace(EXACT, flips=False)
    images, _ = jitted(only_turns, (6, 4))(keys(40), window, labels)
    cut = np.asarray(window[1:7, 1:5])
    upright = [np.array_equal(image, cut) for image in images]
    turned = [np.array_equal(image, np.rot90(cut, 2)) for image in images]
    assert all(a != b for a, b in zip(upright, turned, strict=True))
    assert any(upright)
    assert any(turned)


@pytest.mark.parametrize(
    ("shape", "spacing", "turns"),
    [((3, 5, 5), (), 4), ((5, 5, 5), (2.0, 1.0, 1.0), 4), ((3, 5, 4), (), 2), ((3, 5, 5), (1.0, 1.0, 1.5), 2)],
)
def test_a_volume_is_flipped_and_turned_as_numpy_does(shape, spacing, turns):
    volume, labels = positions(*(size + 2 for size in shape))
    cut = np.asarray(labels[1:-1, 1:-1, 1:-1])
    volumes, new_labels = jitted(EXACT, shape, spacing)(keys(200), volume, labels)
    moved = [np.rot90(cut, k, axes=(1, 2)) for k in range(0, 4, 4 // turns)]
    symmetries = {m[::z, ::y].tobytes() for m in moved for z in (1, -1) for y in (1, -1)}
    assert {np.asarray(label).tobytes() for label in new_labels} == symmetries
    np.testing.assert_array_equal(volumes, volume.reshape(-1, 3)[new_labels])


def test_a_warped_image_agrees_with_scipy_at_the_coordinates_that_a_warped_grid_shows():
    # Rows and columns are linear, so interpolating them gives the (mirrored) coordinates themselves.
    grid, labels = positions(30, 30)
    texture = RNG.normal(size=(30, 30)).astype(np.float32)
    window = jnp.concatenate([grid, jnp.asarray(texture)[..., None]], axis=-1)
    images, new_labels = map(np.asarray, jitted(WARP, (24, 24))(keys(6), window, labels))
    for image, label in zip(images, new_labels, strict=True):
        rows, columns = image[..., 0], image[..., 1]
        expected = ndimage.map_coordinates(texture, [rows, columns], order=1, mode="mirror")
        np.testing.assert_allclose(image[..., 2], expected, atol=1e-4)
        nearest = np.floor(rows + 0.5) * 30 + np.floor(columns + 0.5)
        near_a_half = (np.abs(rows % 1 - 0.5) < 1e-3) | (np.abs(columns % 1 - 0.5) < 1e-3)
        np.testing.assert_array_equal(label[~near_a_half], nearest[~near_a_half])


def test_a_warped_volume_agrees_with_scipy_at_the_coordinates_that_a_warped_grid_shows():
    grid, labels = positions(12, 16, 14)
    texture = RNG.normal(size=labels.shape).astype(np.float32)
    window = jnp.concatenate([grid, jnp.asarray(texture)[..., None]], axis=-1)
    volumes, new_labels = map(np.asarray, jitted(WARP, (9, 12, 12), (2.0, 1.0, 1.0))(keys(3), window, labels))
    for volume, label in zip(volumes, new_labels, strict=True):
        coordinates = np.moveaxis(volume[..., :3], -1, 0)
        expected = ndimage.map_coordinates(texture, coordinates, order=1, mode="mirror")
        np.testing.assert_allclose(volume[..., 3], expected, atol=1e-4)
        nearest = np.ravel_multi_index(np.floor(coordinates + 0.5).astype(int), labels.shape)
        near_a_half = (np.abs(coordinates % 1 - 0.5) < 1e-3).any(axis=0)
        np.testing.assert_array_equal(label[~near_a_half], nearest[~near_a_half])


# Properties


def test_a_volume_with_thicker_slices_is_warped_like_every_second_slice_of_the_finer_one():
    # Positions are linear, so both volumes are exact between their voxels; the window is wide enough not to mirror.
    fine, labels = positions(41, 40, 40)
    config = dataclasses.replace(WARP, rotate_deg=15.0)
    whole, _ = jitted(config, (9, 12, 12), (0.5, 0.5, 0.5))(keys(4), fine, labels)
    thick, _ = jitted(config, (5, 12, 12), (1.0, 0.5, 0.5))(keys(4), fine[::2], labels[::2])
    np.testing.assert_allclose(thick, whole[:, ::2], atol=1e-4)
    assert np.abs(np.asarray(thick) - np.round(thick)).max() > 0.1  # it was warped


def test_only_ratios_of_spacings_matter():
    volume, labels = positions(6, 8, 8)
    micrometres = jitted(WARP, (4, 6, 6), (1.0, 0.25, 0.25))(keys(2), volume, labels)
    nanometres = jitted(WARP, (4, 6, 6), (1000.0, 250.0, 250.0))(keys(2), volume, labels)
    np.testing.assert_array_equal(micrometres[0], nanometres[0])
    np.testing.assert_array_equal(micrometres[1], nanometres[1])


def test_a_volume_that_is_not_warped_is_exact_beside_ones_that_are():
    config = dataclasses.replace(WARP, warp_probability=0.5)
    volume, labels = positions(8, 10, 10)
    volumes, new_labels = jitted(config, (4, 6, 6), (3.0, 1.0, 1.0))(keys(40), volume, labels)
    whole = (np.asarray(volumes) == np.round(volumes)).all(axis=(1, 2, 3, 4))
    assert 8 < whole.sum() < 32
    for kept in np.asarray(new_labels)[whole]:
        np.testing.assert_array_equal(np.sort(kept, axis=None), np.asarray(labels[2:6, 2:8, 2:8]).ravel())


def test_image_and_labels_move_together():
    blocks = np.kron(RNG.integers(0, 2, (8, 8)), np.ones((6, 6)))
    image, labels = jnp.asarray(blocks, jnp.float32)[..., None], jnp.asarray(blocks, jnp.int32)
    images, new_labels = map(np.asarray, jitted(WARP, (32, 32))(keys(8), image, labels))
    # Where interpolation mixed nothing, the image is still its own label; the labels' edges lie where the image's are.
    pure = np.isin(images[..., 0], (0, 1))
    assert 0.5 < pure.mean() < 1
    np.testing.assert_array_equal(images[..., 0][pure], new_labels[pure])
    assert (np.abs(images[..., 0] - new_labels)).max() < 0.76  # at a corner, a pixel may hold 1/4 of its own label


def test_a_sample_that_is_not_warped_is_exact_beside_ones_that_are():
    config = dataclasses.replace(WARP, warp_probability=0.5)
    image, labels = positions(24, 24)
    images, _ = jitted(config, (16, 16))(keys(60), image, labels)
    whole = (np.asarray(images) == np.round(images)).all(axis=(1, 2, 3))
    assert 15 < whole.sum() < 45
    for kept in np.asarray(images)[whole]:
        assert sorted(map(tuple, kept.reshape(-1, 2))) == [(y, x) for y in range(4, 20) for x in range(4, 20)]


def test_a_warp_differs_between_samples_and_stays_near_the_centre():
    image, labels = positions(64, 64)
    images, _ = jitted(dataclasses.replace(AugmentConfig(warp_probability=1.0), **grey_off()), (32, 32))(
        keys(20), image, labels
    )
    images = np.asarray(images)
    assert len(np.unique(images[:, 5, 5, 0])) == 20
    assert np.abs(images.mean(axis=(1, 2)) - 31.5).max() < 8  # on average, where the centre cut is
    reach = np.abs(images - 31.5).max()
    assert 15.5 < reach < 15.5 + 32 / 2


def grey_off():
    return {"gamma": 0.0, "contrast": 0.0, "brightness": 0.0, "shading": 0.0, "blur_px": 0.0, "noise": 0.0}


@pytest.mark.parametrize("name", ["affine", "elastic", "defaults"])
def test_geometry_stays_within_the_values_of_the_window(name):
    image, labels = a_sample()
    config = dataclasses.replace(OPTIONS[name], **grey_off())
    images, new_labels = jitted(config, (16, 16))(keys(8), image, labels)
    assert float(images.min()) >= float(image.min()) - 1e-5
    assert float(images.max()) <= float(image.max()) + 1e-5
    assert set(np.unique(new_labels)) <= {-1, 0, 1, 2}
    assert -1 in np.asarray(new_labels)


@pytest.mark.parametrize("name", GREY)
def test_grey_options_change_only_the_image_and_leave_the_geometry_as_drawn(name):
    image, labels = a_sample()
    strengths = {
        field: value for field, value in dataclasses.asdict(OPTIONS[name]).items() if field.startswith(name[:4])
    }
    images, new_labels = jitted(dataclasses.replace(WARP, **strengths), (16, 16))(keys(4), image, labels)
    plain_images, plain_labels = jitted(WARP, (16, 16))(keys(4), image, labels)
    np.testing.assert_array_equal(new_labels, plain_labels)
    assert (np.abs(np.asarray(images - plain_images)).max(axis=(1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("name", GREY)
def test_a_probability_is_how_often_a_grey_option_applies(name):
    image, labels = a_sample(6, 6)
    field = f"{name}_probability"
    cut = np.asarray(image[1:5, 1:5])
    # Blur so weak that it rounds to none is drawn now and then.
    for probability, least, most in [(0.25, 30, 70), (1.0, 180 if name == "blur" else 200, 200)]:
        config = dataclasses.replace(OPTIONS[name], **{field: probability})
        images, _ = jitted(config, (4, 4))(keys(200), image, labels)
        assert least <= (np.asarray(images) != cut).any(axis=(1, 2, 3)).sum() <= most
    never = dataclasses.replace(OPTIONS[name], **{field: 0.0})
    np.testing.assert_array_equal(jitted(never, (4, 4))(keys(1), image, labels)[0][0], cut)


def test_brightness_and_contrast_reach_their_limits_and_no_further():
    image, labels = a_sample(6, 6)
    cut = np.asarray(image[1:5, 1:5])
    images, _ = jitted(OPTIONS["brightness"], (4, 4))(keys(300), image, labels)
    shifts = np.asarray(images - cut).mean(axis=(1, 2, 3))
    assert -1.00001 < shifts.min() < -0.98
    assert 0.98 < shifts.max() < 1.00001
    images, _ = jitted(OPTIONS["contrast"], (4, 4))(keys(300), image, labels)
    factors = np.asarray(images).std(axis=(1, 2, 3)) / cut.std()
    assert 0.4999 < factors.min() < 0.51
    assert 1.96 < factors.max() < 2.0001


def test_equal_keys_give_equal_bits_and_other_keys_others():
    image, labels = a_sample()
    run = jitted(AugmentConfig(), (16, 16))
    first, again, other = run(keys(4), image, labels), run(keys(4), image, labels), run(keys(4, seed=2), image, labels)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_a_sample_does_not_depend_on_the_rest_of_its_batch():
    image, labels = a_sample()
    run = jitted(AugmentConfig(), (16, 16))
    batch, alone = run(keys(4), image, labels), run(keys(4)[2:3], image, labels)
    np.testing.assert_allclose(batch[0][2], alone[0][0], atol=1e-4)
    assert (np.asarray(batch[1][2]) != np.asarray(alone[1][0])).mean() < 0.01


def test_raw_and_typed_keys_are_the_same_key():
    image, labels = a_sample(8, 8)
    typed = augment(jax.random.key(3), image, labels, EXACT, shape=(6, 6))
    raw = augment(jax.random.PRNGKey(3), image, labels, EXACT, shape=(6, 6))
    np.testing.assert_array_equal(typed[0], raw[0])


# jit = eager = vmap


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_the_same_eager_and_jitted_over_a_batch(name):
    samples = [a_sample(14, 12) for _ in range(3)]
    images, labels = (jnp.stack(part) for part in zip(*samples, strict=True))
    run = functools.partial(augment, config=OPTIONS[name], shape=(10, 10))
    eager = [run(*sample) for sample in zip(keys(3), images, labels, strict=True)]
    batch = zip(*jax.jit(jax.vmap(run))(keys(3), images, labels), strict=True)
    for (image, label), (expected_image, expected_label) in zip(batch, eager, strict=True):
        np.testing.assert_allclose(image, expected_image, atol=1e-4)
        # A coordinate on a half may round to either side.
        assert (np.asarray(label) != np.asarray(expected_label)).mean() <= 0.01
        assert bool(jnp.isfinite(image).all())


def test_everything_drawn_for_a_volume_is_the_same_eager_and_jitted_over_a_batch():
    always = AugmentConfig(**dict.fromkeys([f"{name}_probability" for name in ("warp", *GREY)], 1.0))
    volumes = jnp.asarray(ndimage.gaussian_filter(RNG.normal(size=(2, 6, 9, 9, 1)), (0, 2, 2, 2, 0)), jnp.float32)
    labels = jnp.asarray(RNG.integers(-1, 3, (2, 6, 9, 9)), jnp.int32)
    run = functools.partial(augment, config=always, shape=(4, 7, 7), spacing=(1.5, 1.0, 1.0))
    new_volumes, new_labels = jax.jit(jax.vmap(run))(keys(2), volumes, labels)
    for i, key in enumerate(keys(2)):
        volume, label = run(key, volumes[i], labels[i])
        np.testing.assert_allclose(new_volumes[i], volume, atol=1e-4)
        assert (np.asarray(new_labels[i]) != np.asarray(label)).mean() <= 0.01
    halves, _ = run(keys(1)[0], volumes[0].astype(jnp.bfloat16), labels[0])
    assert halves.dtype == jnp.bfloat16
    np.testing.assert_allclose(halves.astype(jnp.float32), new_volumes[0], atol=0.05)


def test_the_gradient_is_finite_with_everything_drawn():
    image, labels = a_sample(12, 12)
    always = dict.fromkeys([f"{name}_probability" for name in ("warp", *GREY)], 1.0)
    run = functools.partial(augment, config=AugmentConfig(**always), shape=(10, 10))
    gradient = jax.jit(jax.grad(lambda image: (run(jax.random.key(0), image, labels)[0] ** 2).sum()))(image)
    assert bool(jnp.isfinite(gradient).all())


# Edges


@pytest.mark.parametrize("window", [(1, 1), (1, 9), (5, 3)])
def test_any_window_fills_any_shape(window):
    image, labels = a_sample(*window)
    images, new_labels = jitted(AugmentConfig(), (7, 4))(keys(3), image, labels)
    assert images.shape == (3, 7, 4, 1)
    assert bool(jnp.isfinite(images).all())
    assert set(np.unique(new_labels)) <= set(np.unique(labels))


@pytest.mark.parametrize("window", [(1, 1, 1), (2, 9, 3)])
def test_any_window_fills_any_block(window):
    volume, labels = positions(*window)
    volumes, new_labels = jitted(AugmentConfig(), (3, 5, 4), (4.0, 1.0, 1.0))(keys(2), volume, labels)
    assert volumes.shape == (2, 3, 5, 4, 3)
    assert bool(jnp.isfinite(volumes).all())
    assert set(np.unique(new_labels)) <= set(np.unique(labels))


def test_one_pixel_out():
    image, labels = a_sample(5, 5)
    new_image, new_labels = augment(jax.random.key(0), image, labels, EXACT, shape=(1, 1))
    assert new_image.item() == image[2, 2].item()
    assert new_labels.item() == labels[2, 2].item()


def test_ignored_pixels_stay_ignored_and_a_constant_image_stays_finite():
    images, labels = jitted(AugmentConfig(), (8, 8))(keys(8), jnp.zeros((12, 12, 1)), jnp.full((12, 12), -1, jnp.int32))
    np.testing.assert_array_equal(labels, -1)
    assert bool(jnp.isfinite(images).all())


def test_the_dtypes_stay_and_half_precision_moves_no_pixel():
    image, labels = positions(300, 300)
    halves = jnp.asarray(image / 300, jnp.bfloat16)
    new_image, new_labels = augment(jax.random.key(4), halves, labels, EXACT, shape=(290, 290))
    assert new_image.dtype == jnp.bfloat16
    assert new_labels.dtype == jnp.int32
    np.testing.assert_array_equal(new_image, halves.reshape(-1, 2)[new_labels])


# Configuration and errors


@pytest.mark.parametrize("field", [f for f in dataclasses.fields(AugmentConfig) if "range" in f.metadata])
def test_a_value_outside_its_range_is_refused(field):
    low, high = field.metadata["range"]
    for value in (low - 0.5, high + 0.5 if high < math.inf else math.nan, math.nan):
        rule = f"in [{low:g}, {high:g}]" if high < math.inf else f"at least {low:g}"
        with pytest.raises(ConfigError, match=re.escape(f"`{field.name}` must be {rule}, got {value}.")):
            AugmentConfig(**{field.name: float(value)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"warp_probability": 1.5}, "`warp_probability` must be in [0, 1], got 1.5."),
        ({"rotate_deg": -1.0}, "`rotate_deg` must be in [0, 180], got -1.0."),
        ({"elastic_px": -2.0}, "`elastic_px` must be at least 0, got -2.0."),
        (
            {"elastic_px": 9.0},
            "`elastic_px` must be at most a sixth of `elastic_grid_px`, got 9.0 with 48.0: the image would fold over "
            "itself. Lower the one or raise the other.",
        ),
    ],
)
def test_the_words_of_a_refusal(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        AugmentConfig(**values)


def test_the_ends_of_every_range_are_allowed():
    for field in dataclasses.fields(AugmentConfig):
        low, high = field.metadata.get("range", (0, math.inf))
        if field.name not in ("elastic_px", "elastic_grid_px") and high < math.inf:
            AugmentConfig(**{field.name: float(low)})
            AugmentConfig(**{field.name: float(high)})
    AugmentConfig(elastic_px=8.0)
    AugmentConfig(elastic_px=0.0, elastic_grid_px=2.0)


def test_configs_are_hashable_and_equal_by_value():
    assert hash(AugmentConfig(noise=0.1)) == hash(AugmentConfig(noise=0.1))
    assert AugmentConfig(noise=0.1) != AugmentConfig(noise=0.2)


def test_an_image_and_labels_of_different_sizes_are_refused():
    unchecked = inspect.unwrap(augment)  # without the shape checks that only the tests install
    message = re.escape("`image` and `labels` must have equal sizes, got (5, 4) and (4, 5).")
    with pytest.raises(ValueError, match=message):
        unchecked(jax.random.key(0), jnp.zeros((5, 4, 1)), jnp.zeros((4, 5), jnp.int32), NOTHING, shape=(2, 2))


def test_an_empty_shape_is_refused():
    message = re.escape("`shape` must be at least 1 along every axis, got (0, 3).")
    with pytest.raises(ValueError, match=message):
        augment(jax.random.key(0), jnp.zeros((4, 4, 1)), jnp.zeros((4, 4), jnp.int32), NOTHING, shape=(0, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (2, 2)}, "`shape` must have one entry for each of 3 axes, got (2, 2)."),
        (
            {"shape": (2, 2, 2), "spacing": (1.0, 1.0)},
            "`spacing` must be empty or have one entry for each of 3 axes, got (1.0, 1.0).",
        ),
        (
            {"shape": (2, 2, 2), "spacing": (1.0, 0.0, 1.0)},
            "`spacing` must be positive and finite along every axis, got (1.0, 0.0, 1.0).",
        ),
        (
            {"shape": (2, 2, 2), "spacing": (1.0, math.nan, 1.0)},
            "`spacing` must be positive and finite along every axis, got (1.0, nan, 1.0).",
        ),
    ],
)
def test_sizes_that_do_not_fit_the_axes_are_refused(options, message):
    volume, labels = positions(3, 3, 3)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        augment(jax.random.key(0), volume, labels, NOTHING, **options)


def test_a_line_is_neither_an_image_nor_a_volume():
    with pytest.raises(ValueError, match=re.escape("`labels` must have two or three axes, got 1.")):
        augment(jax.random.key(0), jnp.zeros((4, 1)), jnp.zeros(4, jnp.int32), NOTHING, shape=(2,))


def test_a_shear_that_could_collapse_a_volume_is_refused():
    volume, labels = positions(3, 3, 3)
    config = dataclasses.replace(WARP, shear=0.5)
    with pytest.raises(ConfigError, match=re.escape("`shear` must be in [0, 0.45] for volumes, got 0.5.")):
        augment(jax.random.key(0), volume, labels, config, shape=(2, 2, 2))
    augment(jax.random.key(0), volume, labels, dataclasses.replace(config, warp_probability=0.0), shape=(2, 2, 2))
