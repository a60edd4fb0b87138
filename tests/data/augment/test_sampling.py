import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tinyunet.data.augment import sampling

RNG = np.random.default_rng(0)


def warped_coordinates(window, shape):
    """Coordinates that leave the window on every side, on no half: there, scipy rounds before it mirrors."""
    inside = [RNG.integers(-40 * n, 48 * n, shape) / 16 + 1 / 32 for n in window]
    return tuple(jnp.asarray(q, jnp.float32) for q in inside)


# By hand


def test_linear_between_four_pixels():
    image = jnp.array([[0.0, 4.0], [8.0, 16.0]])[..., None]
    value = sampling.sample_linear(image, (jnp.array([[0.25]]), jnp.array([[0.5]])))
    assert value.item() == 0.75 * 2 + 0.25 * 12


def test_linear_between_eight_voxels():
    volume = jnp.array([[[0.0, 4.0], [8.0, 16.0]], [[1.0, 5.0], [9.0, 17.0]]])[..., None]
    value = sampling.sample_linear(volume, tuple(jnp.array([[[q]]]) for q in (0.5, 0.25, 0.5)))
    assert value.item() == 0.75 * 2.5 + 0.25 * 12.5


def test_both_samplers_mirror_about_the_outermost_pixels():
    columns = jnp.arange(-4.0, 7.0)[None]
    rows = jnp.zeros_like(columns)
    mirrored = [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    image = jnp.arange(3.0).reshape(1, 3, 1)
    assert sampling.sample_linear(image, (rows, columns)).ravel().tolist() == mirrored
    assert sampling.sample_nearest(jnp.arange(3)[None], (rows, columns)).ravel().tolist() == mirrored


# Against other programs


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("window", [(9, 7), (5, 12), (1, 6), (6, 1), (1, 1), (4, 7, 5), (1, 3, 6)])
def test_sample_linear_agrees_with_scipy_and_jax(window, channels):
    image = RNG.normal(size=(*window, channels)).astype(np.float32)
    coordinates = warped_coordinates(window, (8, 11, 3)[: len(window)])
    sampled = sampling.sample_linear(jnp.asarray(image), coordinates)
    for channel in range(channels):
        # scipy divides by the period, which is zero on an axis of one pixel; every pixel there is the same one.
        safe = [np.zeros_like(q) if n == 1 else np.asarray(q) for q, n in zip(coordinates, window, strict=True)]
        scipys = ndimage.map_coordinates(image[..., channel], safe, order=1, mode="mirror")
        jaxs = jax.scipy.ndimage.map_coordinates(jnp.asarray(image[..., channel]), safe, order=1, mode="mirror")
        np.testing.assert_allclose(sampled[..., channel], scipys, atol=2e-6)
        np.testing.assert_allclose(sampled[..., channel], jaxs, atol=2e-6)


@pytest.mark.parametrize("window", [(9, 7), (5, 12), (4, 7, 5)])
def test_sample_nearest_agrees_with_scipy(window):
    labels = RNG.integers(-1, 5, window).astype(np.int32)
    coordinates = warped_coordinates(window, (8, 11, 3)[: len(window)])
    expected = ndimage.map_coordinates(labels, [np.asarray(q) for q in coordinates], order=0, mode="mirror")
    np.testing.assert_array_equal(sampling.sample_nearest(jnp.asarray(labels), coordinates), expected)


# Properties


SAMPLERS = {shape: (jax.jit(sampling.sample_linear), jax.jit(sampling.sample_nearest)) for shape in [(1, 4), (5, 2)]}


@given(shape=st.sampled_from(sorted(SAMPLERS)), offset=st.floats(-1e4, 1e4, width=32))
def test_sampling_never_leaves_the_image(shape, offset):
    linear, nearest = SAMPLERS[shape]
    image = np.arange(1.0, math.prod(shape) + 1, dtype=np.float32).reshape(*shape, 1)
    coordinates = (jnp.full((1, 2), offset), jnp.array([[offset, -offset]]))
    values = linear(jnp.asarray(image), coordinates)
    assert bool(((values >= 1 - 1e-5) & (values <= image.max() + 1e-5)).all())
    assert np.isin(nearest(jnp.asarray(image[..., 0], jnp.int32), coordinates), image).all()


def test_the_gradient_of_sampling_spreads_each_output_over_its_pixels():
    coordinates = (jnp.array([[0.0]]), jnp.array([[0.25]]))
    gradient = jax.grad(lambda image: sampling.sample_linear(image, coordinates).sum())(jnp.ones((1, 3, 1)))
    assert gradient.ravel().tolist() == [0.75, 0.25, 0.0]
