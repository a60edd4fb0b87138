import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from skimage import exposure

from tinyunet.data.augment import intensity

RNG = np.random.default_rng(0)
KEY = jax.random.key(5)


def blur(image, sigma_px):
    return intensity.gaussian_blur(image, sigma_px, radius=4, sides=(1.0, 1.0))


def shading(image, strength):
    return intensity.add_shading(image, strength * jnp.array([1.0, -0.5]), strength * jnp.array([0.3, 0.2, -0.7]))


def noise(image, sigma):
    return intensity.add_noise(KEY, image, sigma)


# name: (function of an image and one parameter, the parameter that changes nothing, one that changes something)
CHANGES = {
    "gamma": (intensity.adjust_gamma, 1.0, 0.6),
    "contrast": (intensity.adjust_contrast, 1.0, 1.4),
    "brightness": (intensity.adjust_brightness, 0.0, -0.7),
    "shading": (shading, 0.0, 0.8),
    "blur": (blur, 0.0, 1.3),
    "noise": (noise, 0.0, 0.5),
}


def an_image(shape=(7, 6, 2), dtype=np.float32):
    return jnp.asarray(RNG.normal(size=shape), dtype)


# By hand


def test_gamma_of_three_pixels():
    image = jnp.array([[[-1.0], [0.0], [3.0]]])
    np.testing.assert_allclose(intensity.adjust_gamma(image, jnp.array(2.0)).ravel(), [-1, -0.75, 3], atol=1e-6)


def test_contrast_of_three_pixels():
    image = jnp.array([[[0.0], [3.0], [6.0]]])
    assert intensity.adjust_contrast(image, jnp.array(1.5)).ravel().tolist() == [-1.5, 3.0, 7.5]


def test_brightness_of_three_pixels():
    image = jnp.array([[[0.0], [3.0], [6.0]]])
    assert intensity.adjust_brightness(image, jnp.array(-0.5)).ravel().tolist() == [-0.5, 2.5, 5.5]


def test_shading_is_the_polynomial_at_every_pixel():
    slope, curvature = (1.0, 2.0), (0.5, -1.0, 3.0)
    image = intensity.add_shading(jnp.ones((3, 5, 2)), jnp.array(slope), jnp.array(curvature))
    for i, u in enumerate((-1, 0, 1)):
        for j, v in enumerate((-1, -0.5, 0, 0.5, 1)):
            light = slope[0] * u + slope[1] * v + curvature[0] * u * u + curvature[1] * v * v + curvature[2] * u * v
            np.testing.assert_allclose(image[i, j], 1 + light, atol=1e-6)


def test_shading_of_a_volume_is_the_polynomial_at_every_voxel():
    slope, (zz, yy, xx, zy, zx, yx) = (1.0, 2.0, -0.5), (0.5, -1.0, 3.0, 0.2, -0.7, 0.9)
    image = intensity.add_shading(jnp.ones((2, 3, 5, 1)), jnp.array(slope), jnp.array([zz, yy, xx, zy, zx, yx]))
    for (i, j, k), value in np.ndenumerate(np.asarray(image[..., 0])):
        z, y, x = 2 * i - 1, j - 1, k / 2 - 1
        light = slope[0] * z + slope[1] * y + slope[2] * x + zz * z * z + yy * y * y + xx * x * x
        np.testing.assert_allclose(value, 1 + light + zy * z * y + zx * z * x + yx * y * x, atol=1e-6)


def test_shading_of_a_single_pixel_is_none():
    shaded = intensity.add_shading(jnp.ones((1, 1, 1)), jnp.ones(2), jnp.ones(3))
    assert shaded.ravel().tolist() == [1.0]


def test_blur_of_one_bright_pixel():
    sigma = float(np.sqrt(0.5 / np.log(2)))  # the neighbour weighs half as much as the centre
    image = jnp.zeros((3, 3, 1)).at[1, 1].set(16.0)
    blurred = intensity.gaussian_blur(image, jnp.array(sigma), radius=1, sides=(1.0, 1.0))[..., 0]
    # Mirrored about the outermost pixels, a corner sees the bright pixel from both sides.
    np.testing.assert_allclose(blurred, [[4, 4, 4], [4, 4, 4], [4, 4, 4]], atol=1e-5)


def test_noise_is_the_generators_normal_draw():
    image = jnp.ones((2, 3, 1))
    expected = 1 + 0.5 * jax.random.normal(KEY, (6,)).reshape(2, 3, 1)
    np.testing.assert_array_equal(intensity.add_noise(KEY, image, jnp.array(0.5)), expected)


# Against other programs


@pytest.mark.parametrize("exponent", [0.3, 0.9, 2.5])
def test_gamma_agrees_with_scikit_image(exponent):
    image = RNG.uniform(size=(8, 9)).astype(np.float32)
    image.flat[:2] = 0, 1
    changed = intensity.adjust_gamma(jnp.asarray(image)[..., None], jnp.array(exponent))[..., 0]
    np.testing.assert_allclose(changed, exposure.adjust_gamma(image, exponent), atol=1e-6)


@pytest.mark.parametrize("radius", [0, 1, 3, 9])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_blur_agrees_with_scipy(sigma, radius):
    image = RNG.normal(size=(11, 10)).astype(np.float32)
    blurred = intensity.gaussian_blur(jnp.asarray(image)[..., None], jnp.array(sigma), radius=radius, sides=(1.0, 1.0))[
        ..., 0
    ]
    np.testing.assert_allclose(blurred, ndimage.gaussian_filter(image, sigma, radius=radius, mode="mirror"), atol=1e-6)


def test_blur_of_a_volume_is_as_wide_along_every_axis():
    sides = (2.0, 1.0, 1.25)
    image = RNG.normal(size=(9, 11, 10)).astype(np.float32)
    blurred = intensity.gaussian_blur(jnp.asarray(image)[..., None], jnp.array(1.5), radius=5, sides=sides)[..., 0]
    sigmas = [1.5 / side for side in sides]
    np.testing.assert_allclose(
        blurred, ndimage.gaussian_filter(image, sigmas, radius=(3, 5, 4), mode="mirror"), atol=1e-6
    )


def test_noise_is_normal_with_the_stated_deviation():
    added = np.asarray(intensity.add_noise(KEY, jnp.zeros((100, 100, 1)), jnp.array(0.3))).ravel()
    assert stats.kstest(added, "norm", args=(0, 0.3)).pvalue > 0.01


# Properties


@pytest.mark.parametrize("name", CHANGES)
def test_the_neutral_value_changes_no_bit(name):
    change, neutral, _ = CHANGES[name]
    image = an_image((9, 8, 3))
    np.testing.assert_array_equal(change(image, jnp.array(neutral)), image)
    np.testing.assert_array_equal(jax.jit(change)(image, jnp.array(neutral)), image)


@pytest.mark.parametrize("name", CHANGES)
def test_any_other_value_changes_something(name):
    change, _, parameter = CHANGES[name]
    image = an_image()
    assert float(jnp.abs(change(image, jnp.array(parameter)) - image).max()) > 0.1


@pytest.mark.parametrize("name", ["gamma", "contrast", "brightness", "noise"])
def test_a_volume_changes_like_the_image_of_its_slices_side_by_side(name):
    change, neutral, parameter = CHANGES[name]
    volume = an_image((3, 4, 5, 2))
    for value in (neutral, parameter):
        flat = change(volume.reshape(12, 5, 2), jnp.array(value))
        np.testing.assert_allclose(change(volume, jnp.array(value)).reshape(flat.shape), flat, atol=1e-6)


def test_the_neutral_values_change_no_bit_of_a_volume():
    volume = an_image((3, 4, 5, 2))
    nothing = jnp.array(0.0)
    for sides in ((1.0, 1.0, 1.0), (2.5, 1.0, 1.0)):
        np.testing.assert_array_equal(intensity.gaussian_blur(volume, nothing, radius=3, sides=sides), volume)
    np.testing.assert_array_equal(intensity.add_shading(volume, jnp.zeros(3), jnp.zeros(6)), volume)


def test_blur_leaves_thick_slices_apart():
    volume = jnp.zeros((3, 5, 5, 1)).at[1, 2, 2].set(1.0)
    blurred = intensity.gaussian_blur(volume, jnp.array(1.0), radius=3, sides=(6.0, 1.0, 1.0))[..., 0]
    np.testing.assert_array_equal(blurred[jnp.array([0, 2])], 0)
    assert float(blurred[1, 2, 2]) < 0.2


@given(exponent=st.floats(0.25, 4.0, width=32), seed=st.integers(0, 1000))
def test_gamma_keeps_the_extremes_and_the_order_of_each_channel(exponent, seed):
    image = jnp.asarray(np.random.default_rng(seed).normal(size=(4, 5, 2)), jnp.float32)
    changed = intensity.adjust_gamma(image, jnp.array(exponent))
    np.testing.assert_allclose(changed.min((0, 1)), image.min((0, 1)), atol=1e-6)
    np.testing.assert_allclose(changed.max((0, 1)), image.max((0, 1)), atol=2e-6)
    order = jnp.argsort(image.reshape(-1, 2), axis=0)
    assert bool((jnp.diff(jnp.take_along_axis(changed.reshape(-1, 2), order, axis=0), axis=0) >= -1e-6).all())


@given(factor=st.floats(0.25, 4.0, width=32))
def test_contrast_keeps_the_mean_and_scales_the_deviation(factor):
    image = an_image((6, 6, 2))
    changed = intensity.adjust_contrast(image, jnp.array(factor))
    np.testing.assert_allclose(changed.mean((0, 1)), image.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(changed.std((0, 1)), factor * image.std((0, 1)), rtol=1e-5)


def test_blur_commutes_with_flips_and_turns():
    image = an_image((8, 8, 1))
    for move in (jnp.flipud, jnp.fliplr, jnp.rot90):
        moved = blur(move(image), jnp.array(1.3))
        np.testing.assert_allclose(moved, move(blur(image, jnp.array(1.3))), atol=1e-6)


def test_blur_keeps_a_constant_and_lowers_the_deviation():
    np.testing.assert_allclose(blur(jnp.full((5, 4, 1), 3.0), jnp.array(2.0)), 3.0, atol=1e-6)
    image = an_image((16, 16, 1))
    deviations = [float(blur(image, jnp.array(sigma)).std()) for sigma in (0.0, 0.5, 1.0, 2.0)]
    assert deviations == sorted(deviations, reverse=True)


def test_noise_differs_between_pixels_channels_and_keys():
    added = np.asarray(intensity.add_noise(KEY, jnp.zeros((4, 4, 3)), jnp.array(1.0)))
    assert len(np.unique(added)) == added.size
    other = intensity.add_noise(jax.random.key(6), jnp.zeros((4, 4, 3)), jnp.array(1.0))
    assert not np.isin(np.asarray(other), added).any()


# jit = eager = vmap, and gradients


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_the_same_jitted_eager_and_vmapped(name):
    change, neutral, parameter = CHANGES[name]
    images, parameters = an_image((3, 5, 6, 2)), jnp.array([neutral, parameter, (neutral + parameter) / 2])
    eager = np.stack([change(image, value) for image, value in zip(images, parameters, strict=True)])
    jitted = [jax.jit(change)(image, value) for image, value in zip(images, parameters, strict=True)]
    np.testing.assert_allclose(jitted, eager, atol=2e-6)
    np.testing.assert_allclose(jax.vmap(change)(images, parameters), eager, atol=2e-6)


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_are_finite(name):
    change, neutral, parameter = CHANGES[name]
    for value in (neutral, parameter):
        gradients = jax.grad(lambda image, p: (change(image, p) ** 2).sum(), argnums=(0, 1))(
            an_image(), jnp.array(value)
        )
        assert all(bool(jnp.isfinite(gradient).all()) for gradient in gradients)


# Edges


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 1), (6, 1, 2)])
@pytest.mark.parametrize("name", CHANGES)
def test_thin_and_constant_images_stay_finite(name, shape):
    change, _, parameter = CHANGES[name]
    for image in (an_image(shape), jnp.zeros(shape)):
        changed = change(image, jnp.array(parameter))
        assert changed.shape == shape
        assert bool(jnp.isfinite(changed).all())


def test_a_constant_image_has_no_contrast_to_change():
    image = jnp.full((3, 4, 1), 2.5)
    for name in ("gamma", "contrast", "blur"):
        change, _, parameter = CHANGES[name]
        np.testing.assert_allclose(change(image, jnp.array(parameter)), image, atol=1e-6)


@pytest.mark.parametrize("name", CHANGES)
def test_the_dtype_stays(name):
    change, _, parameter = CHANGES[name]
    changed = change(an_image(dtype=jnp.bfloat16), jnp.array(parameter, jnp.bfloat16))
    assert changed.dtype == jnp.bfloat16
    assert bool(jnp.isfinite(changed).all())
