"""Objects found in rows that come one after the other are those of the whole image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tinyunet.objects.decode import decode_core, decode_objects, inside_objects
from tinyunet.objects.rows import OUTSIDE, RowObjects, TooTall
from tinyunet.objects.target import CORE, ObjectConfig

SMALL = ObjectConfig(smallest_seed_px=2, smallest_px=4)


def blobs(seed, shape, *, spread=1.5):
    """Probabilities of background, rim and core whose objects touch, branch, hold holes and cross every border."""
    rng = np.random.default_rng(seed)
    logits = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), spread) for _ in range(3)], axis=-1)
    logits *= 4 / logits.std()
    scores = np.exp(logits)
    return (scores / scores.sum(-1, keepdims=True)).astype(np.float32)


def in_rows(core, heights, config=SMALL, *, most_rows=10**9, found=lambda found: None):
    """The ids of objects in rows that come in portions of these heights, again and again."""
    objects, rows, start, turn = RowObjects(config, most_rows=most_rows, found=found), [], 0, 0
    while start < len(core):
        height = heights[turn % len(heights)]
        rows += objects.add(core[start : start + height])
        start, turn = start + height, turn + 1
    rows += objects.end()
    return objects.numbers()[np.concatenate(rows)]


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.one_of(st.tuples(*(st.integers(1, 40),) * 2), st.tuples(*(st.integers(1, 10),) * 3)),
    heights=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    spread=st.floats(0.7, 3),
)
def test_objects_in_rows_are_those_of_the_whole(seed, shape, heights, spread):
    probabilities = blobs(seed, shape, spread=spread)
    whole = decode_objects(probabilities, SMALL)
    core = np.where(inside_objects(probabilities, SMALL), probabilities[..., CORE], np.float32(OUTSIDE))
    np.testing.assert_array_equal(in_rows(core, heights), whole)


def test_rows_leave_as_soon_as_nothing_in_them_waits():
    core = np.full((6, 3), OUTSIDE, np.float32)
    core[0:2, 0] = core[1:4, 2] = 0.9
    objects = RowObjects(ObjectConfig(smallest_seed_px=1, smallest_px=1), most_rows=6)
    left = [sum(map(len, objects.add(core[i : i + 1]))) for i in range(6)]
    assert left == [0, 0, 1, 0, 4, 1]  # row 1 waits for the object at the right, which ends in row 3
    assert sum(map(len, objects.end())) == 0
    assert objects.count == 2


def test_what_is_found_is_told_with_its_place():
    core = np.full((4, 3), OUTSIDE, np.float32)
    core[0, 0] = core[2:4, 2] = 0.9
    told = []
    in_rows(core, [1], ObjectConfig(smallest_seed_px=1, smallest_px=1), found=told.append)
    assert [(found.start, found.before, found.instances.tolist()) for found in told] == [
        (0, 0, [[1, 0, 0], [0, 0, 0]]),
        (2, 1, [[0, 0, 1], [0, 0, 1]]),
    ]


def test_objects_that_never_end():
    core = np.full((9, 3), 0.9, np.float32)
    with pytest.raises(TooTall) as caught:
        in_rows(core, [2], most_rows=5)
    assert caught.value.args == (6,)


def test_an_image_without_objects():
    core = np.full((5, 4), OUTSIDE, np.float32)
    assert not in_rows(core, [2]).any()
    assert not decode_core(core, core > 0, SMALL).any()
