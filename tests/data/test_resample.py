import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.resample import resample_image, resample_labels, resampled_shape


def test_twice_as_many_pixels_by_hand():
    image = np.array([[0.0], [4.0], [8.0]])
    # Centres at -1/4, 1/4, 3/4, 5/4, 7/4, 9/4 of the old pixels; beyond the ends the border pixel.
    assert resample_image(image, (6,))[:, 0].tolist() == [0, 1, 3, 5, 7, 8]
    assert resample_labels(np.array([5, 6, 7]), (6,)).tolist() == [5, 5, 6, 6, 7, 7]


def test_spacing_becomes_a_shape():
    assert resampled_shape((10, 64, 48), (5.0, 1.0, 1.0), (1.0, 1.0, 2.0)) == (50, 64, 24)
    assert resampled_shape((10, 100), (1.004, 1.0), (1.0, 1.0)) == (10, 100)
    assert resampled_shape((1, 3), (0.1, 0.1), (10.0, 10.0)) == (1, 1)


@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    wanted=st.tuples(*[st.integers(1, 12)] * 3),
    slope=st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_a_linear_image_stays_linear_inside(shape, wanted, slope):
    places = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"), axis=-1)
    result = resample_image((places @ np.array(slope))[..., None], wanted)[..., 0]
    new = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in wanted], indexing="ij"), axis=-1)
    # Only between the outermost old centres, and where no smoothing takes part.
    inside = np.ones(wanted, bool)
    for axis, (n, w) in enumerate(zip(shape, wanted, strict=True)):
        if w < n:
            return
        inside &= (new[..., axis] >= 0.5 / n) & (new[..., axis] <= 1 - 0.5 / n)
    np.testing.assert_allclose(result[inside], (new @ np.array(slope))[inside], atol=1e-5)


@given(shape=st.tuples(*[st.integers(1, 6)] * 3), wanted=st.tuples(*[st.integers(1, 9)] * 3), seed=st.integers(0, 99))
def test_probabilities_stay_probabilities_and_labels_labels(shape, wanted, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet((1.0, 1.0, 1.0), shape)
    result = resample_image(probabilities, wanted)
    assert result.shape == (*wanted, 3)
    np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-5)
    assert result.min() >= 0
    labels = rng.integers(-1, 4, shape)
    assert set(np.unique(resample_labels(labels, wanted))) <= set(np.unique(labels))


def test_nothing_changes_where_nothing_is_to_change():
    image = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    assert np.array_equal(resample_image(image, (3, 4)), image)


def test_fewer_pixels_are_smoothed_first():
    stripes = np.tile([0.0, 1.0], 32)[:, None]
    assert np.ptp(resample_image(stripes, (16,))[2:-2]) < 0.2


@pytest.mark.parametrize("factor", [2, 3])
def test_there_and_back_is_close(factor):
    z, y, x = np.meshgrid(*[np.linspace(0, 3, 12)] * 3, indexing="ij")
    image = np.sin(z + y + x)[..., None]
    back = resample_image(resample_image(image, (12 * factor,) * 3), (12,) * 3)
    np.testing.assert_allclose(back[2:-2, 2:-2, 2:-2], image[2:-2, 2:-2, 2:-2], atol=0.05)
