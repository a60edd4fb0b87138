"""Paint on one image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.runs.live.canvas import BLOCK, UNCHANGED, UNPAINTED, Canvas


def counted(labels, k):
    """Pixels of a class in each block, one by one."""
    across = tuple(-(-side // BLOCK) for side in labels.shape)
    found = np.zeros(across, int)
    for y, x in np.argwhere(labels == k):
        found[y // BLOCK, x // BLOCK] += 1
    return found


def test_a_stroke_paints_erases_and_leaves_alone():
    canvas = Canvas((2, 3))
    canvas.merge((0, 0), np.array([[1, UNCHANGED, 0]], np.uint8))
    canvas.merge((0, 1), np.array([[2, UNPAINTED]], np.uint8))
    assert canvas.labels.tolist() == [[1, 2, UNPAINTED], [UNPAINTED] * 3]
    assert (canvas.revision, canvas.painted, canvas.classes) == (2, 2, (1, 2))


@given(st.data())
def test_counts_are_those_of_counting_anew(data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    canvas = Canvas(shape)
    expected = np.full(shape, UNPAINTED, np.uint8)
    for now in range(data.draw(st.integers(1, 4))):
        top, left = rng.integers(shape[0]), rng.integers(shape[1])
        size = rng.integers(1, shape[0] - top + 1), rng.integers(1, shape[1] - left + 1)
        stroke = rng.choice(np.array([0, 1, 3, UNCHANGED, UNPAINTED], np.uint8), size)
        canvas.merge((int(top), int(left)), stroke, now=now)
        part = expected[top : top + size[0], left : left + size[1]]
        part[stroke != UNCHANGED] = stroke[stroke != UNCHANGED]
    assert np.array_equal(canvas.labels, expected)
    for k, counts in enumerate(canvas.counts):
        assert np.array_equal(counts, counted(expected, k))
    assert Canvas(shape, expected).painted == canvas.painted == np.sum(expected != UNPAINTED)


def test_the_time_of_new_paint_is_kept_by_block():
    canvas = Canvas((2 * BLOCK, BLOCK))
    canvas.merge((0, 0), np.zeros((1, 1), np.uint8), now=5.0)
    assert canvas.painted_at.ravel().tolist() == [5.0, -np.inf]
    stroke = np.full((BLOCK + 1, 2), UNCHANGED, np.uint8)
    stroke[-1, 0] = 1
    canvas.merge((BLOCK - 1, 3), stroke, now=7.0)  # its box touches both, its paint the second alone
    assert canvas.painted_at.ravel().tolist() == [5.0, 7.0]


def test_rows_and_columns_are_cut_painted_or_not():
    canvas = Canvas((3, 3))
    rows, columns = np.array([0, 2]), np.array([1, 1, 0])
    assert (canvas.cut(rows, columns) == UNPAINTED).all()
    canvas.merge((2, 0), np.array([[7, 9]], np.uint8))
    assert canvas.cut(rows, columns).tolist() == [[UNPAINTED] * 3, [9, 9, 7]]


def test_a_stroke_beyond_the_image_is_an_error():
    with pytest.raises(ValueError, match="`stroke` must lie inside the image"):
        Canvas((4, 4)).merge((3, 0), np.zeros((2, 1), np.uint8))
