"""Volumes made from a seed, and the file that a scanner might have written."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, label

from tinyunet.data.phantom import phantom, scan_file
from tinyunet.data.readers import read_header, read_image


def test_dtypes_and_shapes():
    image, labels = phantom(0)
    assert (image.dtype, image.shape) == (np.uint16, (32, 40, 40, 1))
    assert (labels.dtype, labels.shape) == (np.int32, (32, 40, 40))


@pytest.mark.parametrize("shape", [(32, 40, 40), (8, 40, 40)])
@pytest.mark.parametrize("seed", range(4))
def test_head_and_tail_are_one_piece_each_and_touch(seed, shape):
    _, labels = phantom(seed, shape=shape)
    for part in (1, 2):
        assert label(labels == part)[1] == 1
        assert 0.01 < np.mean(labels == part) < 0.1
    assert (binary_dilation(labels == 1) & (labels == 2)).any()


def test_brightness_tells_the_parts_from_the_tissue_but_not_from_each_other():
    for seed in range(3):
        image, labels = phantom(seed)
        tissue, head, tail = (np.median(image[labels == part]) for part in range(3))
        assert min(head, tail) > 1.2 * tissue
        assert abs(head - tail) < 0.2 * head


@given(seed=st.integers(0, 2**63), shape=st.tuples(*[st.integers(1, 12)] * 3))
@settings(max_examples=20, deadline=None)
def test_any_shape_and_seed(seed, shape):
    image, labels = phantom(seed, shape=shape)
    again, same = phantom(seed, shape=shape)
    assert image.shape == (*shape, 1)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels, same)


def test_another_seed_is_another_volume():
    assert (phantom(0, shape=(8, 8, 8))[0] != phantom(1, shape=(8, 8, 8))[0]).any()


def test_a_scan_is_stored_the_other_way_round_and_read_as_it_was(tmp_path):
    values = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(scan_file(values, spacing=(4.0, 0.5, 0.5)))
    stored = nibabel.load(path)
    assert nibabel.aff2axcodes(stored.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(np.asarray(stored.dataobj)[0, 0], [11, 23])
    np.testing.assert_array_equal(read_image(path)[..., 0], values)
    assert read_header(path).geometry.spacing == (4.0, 0.5, 0.5)
    middle = stored.affine @ [1.5, 1.0, 0.5, 1.0]
    np.testing.assert_allclose(middle, [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("seed", "shape", "text"),
    [
        (-1, (8, 8, 8), "`seed` must be 0 or more, got -1."),
        (0, (8, 0, 8), r"`shape` must be three sizes of at least 1 voxel, got \(8, 0, 8\)."),
    ],
)
def test_values_outside_their_range(seed, shape, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        phantom(seed, shape=shape)
