import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data import likeness
from tinyunet.data.likeness import ALIKE, SIDE, area_means, brightness_of, lookalikes, projection, sketch


def noise(seed, size=(90, 70), channels=1):
    return np.random.default_rng(seed).uniform(0, 200, (*size, channels))


def test_a_sketch_is_the_brightness_in_cells():
    cells = np.random.default_rng(0).normal(size=(SIDE, SIDE))
    image = np.repeat(np.repeat(cells, 3, axis=0), 2, axis=1)[..., None]
    expected = cells.ravel() - cells.mean()
    np.testing.assert_allclose(sketch(image), expected / np.linalg.norm(expected), atol=1e-6)


@given(st.tuples(st.integers(1, 60), st.integers(1, 60)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_cells_are_means_of_the_pixels_in_them(size, shape):
    values = np.random.default_rng(0).normal(size=size)
    found = area_means(values, shape)
    rows, columns = [np.arange(n) * s // n for n, s in zip(shape, size, strict=True)]
    for y in range(shape[0]):
        for x in range(shape[1]):
            bottom = max(rows[y] + 1, rows[y + 1] if y + 1 < shape[0] else size[0])
            right = max(columns[x] + 1, columns[x + 1] if x + 1 < shape[1] else size[1])
            assert found[y, x] == pytest.approx(values[rows[y] : bottom, columns[x] : right].mean())


def test_gain_offset_noise_and_type_hardly_move_it():
    image = np.kron(noise(0, (30, 30))[..., 0], np.ones((4, 4)))[..., None]
    changed = (0.5 * image + 20 + noise(1, (120, 120)) / 20).astype(np.uint8)
    assert sketch(image) @ sketch(changed) > ALIKE
    assert abs(sketch(image) @ sketch(noise(2))) < 0.5


def test_a_volume_is_sketched_as_it_is_seen_from_above():
    volume = noise(3, (5, 40, 30), channels=2)
    np.testing.assert_allclose(sketch(volume), sketch(volume.mean(axis=0)), atol=1e-6)
    np.testing.assert_array_equal(brightness_of(volume[0]), volume[0].mean(axis=-1))
    np.testing.assert_array_equal(projection(volume[..., 0] > 100), (volume[..., 0] > 100).mean(axis=0))
    assert sketch(np.full((3, 40, 40, 1), 7, np.uint8)) is None


def test_an_image_that_is_the_same_everywhere_has_none():
    assert sketch(np.full((40, 40, 3), 7, np.uint8)) is None
    assert sketch(np.full((1, 1, 1), 0.1)) is None


@given(st.lists(st.sampled_from([0, 1, 2, None]), max_size=12))
def test_pairs_are_all_positions_that_show_the_same(kinds):
    known = [sketch(noise(seed)) for seed in range(3)]
    found = lookalikes([None if kind is None else known[kind] for kind in kinds])
    expected = [(i, j) for i in range(len(kinds)) for j in range(i + 1, len(kinds)) if kinds[i] == kinds[j] is not None]
    assert sorted(found) == expected


def test_pairs_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("tinyunet.data.likeness._BLOCK", 2)
    one, other = sketch(noise(0)), sketch(noise(1))
    assert lookalikes([one, other, None, other, one]) == [(0, 4), (1, 3)]


def test_the_search_ends_with_enough_pairs(monkeypatch):
    monkeypatch.setattr(likeness, "MOST", 7)
    monkeypatch.setattr(likeness, "_BLOCK", 2)
    same = [np.float32([1, 0])] * 9
    found = lookalikes(same)
    assert found == [(0, k) for k in range(1, 8)]
