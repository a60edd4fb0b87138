import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data import moments
from tinyunet.data.moments import Moments, moments_of, pieces


def test_six_pixels_by_hand():
    found = moments_of([np.array([[[1], [2], [3]]], np.uint8), np.array([[[5], [6], [7]]], np.uint8)])
    assert found.mean == (4.0,)
    assert found.std == (np.sqrt((9 + 4 + 1 + 1 + 4 + 9) / 6),)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(37, 300, 3), (37, 1, 1), (5, 7, 300, 2)])
def test_portions_do_not_matter_to_the_last_bit(dtype, shape):
    image = (np.random.default_rng(0).normal(1000, 200, shape)).astype(dtype)
    whole = moments_of([image])
    for size in (1, 4, 36):
        parts = moments_of(image[start : start + size] for start in range(0, len(image), size))
        assert (parts.mean, parts.std) == (whole.mean, whole.std)
    space = tuple(range(image.ndim - 1))
    np.testing.assert_allclose(whole.mean, image.mean(space, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(whole.std, image.std(space, dtype=np.float64), rtol=1e-11)


def test_the_layout_in_memory_does_not_matter():
    image = np.random.default_rng(0).normal(size=(20, 33, 3)).astype(np.float32)
    other = np.asfortranarray(image)
    assert moments_of([image]).std == moments_of([other]).std


def test_an_outlier_first_and_a_large_offset():
    image = np.full((2, 1000, 1), 1e9)
    image[0, ::2] += 1
    image[1, ::2] -= 1
    image[0, 0] = 0
    found = moments_of(image[i : i + 1] for i in range(2))
    np.testing.assert_allclose(found.std, image.std(), rtol=1e-12)


@given(st.integers(1, 50), st.lists(st.integers(1, 2000), min_size=1, max_size=2))
def test_pieces_are_all_rows_once(height, others):
    shape = (height, *others)
    found = [row for part in pieces(shape) for row in range(height)[part]]
    assert found == list(range(height))
    rows = [part.stop - part.start for part in pieces(shape)]
    assert all(count == 1 or count * np.prod(others) <= moments.PIECE for count in rows)


def test_channels_are_apart():
    moments = Moments()
    moments.add(np.array([[[1, 5], [3, 5]]], np.uint8))
    assert moments.mean == (2.0, 5.0)
    assert moments.std == (1.0, 0.0)
