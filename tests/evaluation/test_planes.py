import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.evaluation.planes import LONGEST_SIDE, READABLE_WIDTH, centre_of, planes, side_by_side

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))


def best_plane(marked, axis):
    """Trying every plane along an axis, from the middle outwards."""
    n = marked.shape[axis]
    order = sorted(range(n), key=lambda i: (abs(i - (n - 1) / 2), i))
    return max(order, key=lambda i: np.count_nonzero(marked.take(i, axis)))  # the first of equal ones


def test_the_centre_goes_through_most_of_what_is_marked():
    labels = np.zeros((5, 5, 5), int)
    labels[3, 1:4, 2] = 1
    labels[1:4, 0, 0] = 2
    labels[0] = -1
    assert centre_of(labels) == (3, 0, 2)  # columns 0 and 2 hold three each: 2 is the middle
    assert centre_of(np.where(labels == 0, 1, 0), background=1) == centre_of((labels != 0).astype(int))


@given(sizes, st.integers(0, 2), st.integers(0, 99))
def test_the_centre_is_that_of_trying_every_plane(size, background, seed):
    labels = np.random.default_rng(seed).integers(-1, 3, size)
    marked = (labels != background) & (labels != -1)
    assert centre_of(labels, background=background) == tuple(best_plane(marked, axis) for axis in range(3))


@pytest.mark.parametrize("size", [(7, 4, 1), (6, 6), (1,)])
def test_the_centre_of_nothing_is_the_middle(size):
    assert centre_of(np.zeros(size, int)) == tuple((n - 1) // 2 for n in size)
    assert centre_of(np.full(size, -1)) == centre_of(np.zeros(size, int))


def test_slices_are_magnified_by_a_whole_factor():
    volume = np.arange(36 * 50 * 35).reshape(36, 50, 35)
    found = planes(volume, (10, 20, 30))
    factor = -(-READABLE_WIDTH // (35 + 35 + 50))
    for plane, slice_ in zip(found, (volume[10], volume[:, 20], volume[:, :, 30]), strict=True):
        assert np.array_equal(plane, np.kron(slice_, np.ones((factor, factor), int)))
    assert sum(plane.shape[1] for plane in found) >= READABLE_WIDTH


def test_upward_rows_are_turned_upside_down():
    volume = np.random.default_rng(0).normal(size=(9, 8, 7, 3))
    for plane, turned in zip(planes(volume, (1, 2, 3)), planes(volume, (1, 2, 3), upward=True), strict=True):
        assert np.array_equal(turned, plane[::-1])


@pytest.mark.parametrize("spacing", [(3, 1, 1), (0.5, 0.2, 0.1), (2.5, 0.7, 0.7), (1, 2, 3)])
def test_a_pixel_is_of_the_same_length_everywhere(spacing):
    size = (40, 50, 60)
    (height, width), (depth, _), _ = (plane.shape for plane in planes(np.zeros(size), (0, 0, 0), spacing=spacing))
    lengths = np.array([n * step / drawn for n, step, drawn in zip(size, spacing, (depth, height, width), strict=True)])
    np.testing.assert_allclose(lengths, lengths[0], rtol=0.02)


@given(sizes, st.tuples(*[st.floats(0.01, 100)] * 3), st.integers(0, 99))
def test_every_pixel_is_that_of_the_voxel_it_lies_in(size, spacing, seed):
    volume = np.arange(np.prod(size)).reshape(size)
    centre = tuple(seed % n for n in size)
    for plane, kept in zip(planes(volume, centre, spacing=spacing), ((1, 2), (0, 2), (0, 1)), strict=True):
        assert max(plane.shape) <= LONGEST_SIDE
        place = list(centre)
        for row in range(0, plane.shape[0], 7):
            for column in range(0, plane.shape[1], 7):
                place[kept[0]] = int((row + 0.5) / plane.shape[0] * size[kept[0]])
                place[kept[1]] = int((column + 0.5) / plane.shape[1] * size[kept[1]])
                assert plane[row, column] == volume[tuple(place)]


def test_large_volumes_keep_all_their_voxels_and_long_ones_stay_small():
    shown = planes(np.zeros((2, 700, 3), bool), (0, 0, 0))
    assert [plane.shape for plane in shown] == [(700, 3), (2, 3), (2, 700)]
    shown = planes(np.zeros((100, 20, 30), bool), (0, 0, 0), spacing=(1000, 1, 1))
    assert [plane.shape for plane in shown] == [(1, 1), (LONGEST_SIDE, 1), (LONGEST_SIDE, 1)]


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_an_image_is_its_own_only_slice(shape):
    image = np.random.default_rng(0).normal(size=shape)
    (plane,) = planes(image, (0, 0), spacing=(1, 5))
    assert np.array_equal(plane, image)
    assert np.array_equal(planes(image, (0, 0), upward=True)[0], image[::-1])


def test_pictures_side_by_side_are_filled_up_around_their_middle():
    one, two = np.full((4, 1, 3), 7, np.uint8), np.full((1, 2, 3), 9, np.uint8)
    row = side_by_side([one, two], fill=255, gap=1)
    assert row[..., 0].tolist() == [[7, 255, 255, 255], [7, 255, 9, 9], [7, 255, 255, 255], [7, 255, 255, 255]]
    assert row.dtype == np.uint8
    assert np.array_equal(side_by_side([one]), one)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -2), (1, float("nan"), 1), (float("inf"), 1, 1)])
def test_spacing_is_three_lengths(spacing):
    with pytest.raises(ValueError, match=r"^`spacing` must be 3 finite numbers above 0, got \(.+\)\.$"):
        planes(np.zeros((2, 2, 2)), (0, 0, 0), spacing=spacing)


def test_a_space_of_other_dimensions_has_no_slices():
    with pytest.raises(ValueError, match=r"^`centre` must have two or three positions, .+, got 1\.$"):
        inspect.unwrap(planes)(np.zeros(2), (0,))
