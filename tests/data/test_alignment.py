import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.alignment import Alignment, align, moved, strangers


def blobs(seed, size=(96, 80)):
    """A mask of a few boxes, and a noisy image in which they are bright."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, bool)
    for _ in range(6):
        y, x = rng.integers(12, size[0] - 24), rng.integers(12, size[1] - 24)
        mask[y : y + rng.integers(6, 14), x : x + rng.integers(6, 14)] = True
    return rng.normal(50, 20, (*size, 1)) + 80 * mask[..., None], mask


@given(st.integers(0, 50), st.integers(-9, 9), st.integers(-9, 9), st.booleans())
def test_a_shift_is_found_whether_bright_or_dark_is_marked(seed, down, right, dark):
    image, mask = blobs(seed)
    found = align(-image if dark else image, np.roll(mask, (down, right), (0, 1)))
    assert found.shift == (down, right)
    assert (found.best < 0) == dark


def test_a_mask_that_fits_is_not_shifted_and_one_that_does_not_is():
    image, mask = blobs(0)
    assert not align(image, mask).shifted
    assert align(image, np.roll(mask, 9, 0)).shifted


def test_a_large_image_is_compared_in_cells():
    image, mask = (np.kron(x, np.ones((4, 4))) for x in (blobs(0)[0][..., 0], blobs(0)[1]))
    found = align(image[..., None], np.roll(mask.astype(bool), (12, -9), (0, 1)))
    assert found.shift == (12, -9)  # in steps of the cells of three pixels


def test_a_volume_is_compared_as_it_is_seen_from_above():
    image, mask = blobs(1)
    volume = np.stack([image, image + 9, -image / 4])
    marked = np.stack([mask, mask, np.zeros_like(mask)])
    assert align(volume, np.roll(marked, (5, -3), (1, 2))).shift == (5, -3)
    found = align(volume, marked)
    above = np.corrcoef(volume.mean(axis=(0, -1)).ravel(), marked.mean(axis=0).ravel())[0, 1]
    assert found.here == pytest.approx(above)
    assert not found.shifted


def test_correlation_is_that_of_numpy():
    image, mask = blobs(3)
    assert align(image, mask).here == pytest.approx(np.corrcoef(image.ravel(), mask.ravel())[0, 1])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (1, 1, 1), (4, 2, 3)])
def test_small_and_constant_images_are_no_matter(size):
    found = align(np.zeros((*size, 2), np.uint8), np.ones(size, bool))
    assert (found.here, found.best, found.shifted) == (0, 0, False)


def test_masks_moved_are_those_shifted_where_brightness_tells_where_masks_lie():
    still, away = Alignment(0.8, 0.8, (0, 0)), Alignment(0.1, 0.7, (9, 0))
    assert moved([still, away, still]) == [1]
    assert moved([away] * 3) == [0, 1, 2]  # all of them, as by a slip of the axes
    weak = Alignment(-0.05, 0.15, (2, 0))
    assert moved([weak, Alignment(0.1, 0.35, (6, 4)), weak]) == []  # by chance, as small structures are
    assert moved([still, Alignment(0.1, 0.35, (6, 4)), still]) == []  # not half as strong as the others
    assert moved([]) == []


def test_strangers_are_those_far_below_the_usual():
    assert strangers([0.8, -0.7, 0.05, 0.9]) == [2]
    assert strangers([0.2, 0.3, 0.0]) == []  # where brightness says little, nothing is said
    assert strangers([]) == []


def test_volumes_are_compared_by_the_means_of_their_slices():
    image, mask = blobs(3)
    flat = align(image, mask)
    volume = align(np.stack([image - 5, image + 5]), np.stack([mask] * 2))
    assert (volume.shift, volume.best) == (flat.shift, pytest.approx(flat.best))
