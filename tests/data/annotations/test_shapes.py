import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.annotations.shapes import IGNORED, Runs, Shape, decode_runs, draw_classes, draw_objects, fill


def box(left, top, right, bottom, label="cell", **options):
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return Shape(label, rings=(ring,), **options)


@given(st.tuples(*[st.integers(0, 9)] * 4), st.sampled_from([(9, 9), (5, 12)]))
def test_a_box_along_pixel_borders_is_its_pixels(corners, size):
    left, right = sorted(corners[:2])
    top, bottom = sorted(corners[2:])
    expected = np.zeros(size, bool)
    expected[top:bottom, left:right] = True
    if left < right and top < bottom:
        np.testing.assert_array_equal(fill(box(left, top, right, bottom), size), expected)


def test_a_disc_has_the_area_of_a_disc():
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = 50 + 30 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    assert fill(Shape("cell", (ring,)), (100, 100)).sum() == pytest.approx(np.pi * 30**2, rel=0.01)


def test_pieces_are_one_shape_and_what_lies_outside_is_cut_off():
    two = Shape("cell", rings=(*box(0, 0, 1, 1).rings, *box(2, 0, 99, 1).rings))
    assert fill(two, (1, 4)).astype(int).tolist() == [[1, 0, 1, 1]]
    assert not fill(box(50, 50, 60, 60), (4, 4)).any()


def test_later_shapes_cover_earlier_ones():
    shapes = [box(0, 0, 3, 1, "a"), box(1, 0, 4, 1, "b"), box(3, 0, 5, 1, "a", crowd=True)]
    assert draw_objects(shapes, (1, 6)).tolist() == [[1, 2, 2, IGNORED, IGNORED, 0]]
    assert draw_classes(shapes, (1, 6), labels=("b", "a")).tolist() == [[2, 1, 1, 2, 2, 0]]


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_runs_are_the_columns_of_a_mask(seed, size):
    mask = np.random.default_rng(seed).integers(0, 2, size).astype(bool)
    column = mask.T.ravel()
    changes = [0, *(np.flatnonzero(column[1:] != column[:-1]) + 1), column.size]
    lengths = [0] * bool(column[0]) + [int(n) for n in np.diff(changes)]
    np.testing.assert_array_equal(decode_runs(Runs(tuple(lengths), size)), mask)


@pytest.mark.parametrize("lengths", [(1, 2), (7,), (-1, 7), ()])
def test_runs_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match=r"^its runs must add up to 2 x 3 pixels$"):
        Runs(lengths, (2, 3))


def test_a_mask_that_claims_to_be_huge_is_refused():
    with pytest.raises(ValueError, match=re.escape("its runs must add up to 1000000 x 1000000 pixels")):
        Runs((10**12,), (10**6, 10**6))
