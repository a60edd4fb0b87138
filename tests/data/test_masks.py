import numpy as np
import pytest
import tifffile
from PIL import Image

from tinyunet.data.masks import read_mask
from tinyunet.errors import DataError


@pytest.fixture
def saved(tmp_path):
    """Saves an array as a file that is read as a mask."""

    def save(array, name="a.png"):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, array)
        elif name.endswith(".tif"):
            tifffile.imwrite(path, array)
        else:
            Image.fromarray(array).save(path)
        return path

    return save


def test_grey_mask_of_six_pixels(saved):
    mask = read_mask(saved(np.array([[0, 1, 2], [3, 4, 255]], np.uint8)))
    assert mask.values.tolist() == [[0, 1, 2], [3, 4, 255]]
    assert (mask.kind, mask.palette, mask.values.dtype) == ("ids", None, np.int64)


def test_one_bit_mask_is_0_and_255(saved):
    assert read_mask(saved(np.array([[True, False]]))).values.tolist() == [[255, 0]]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "float32", "float64"])
def test_wide_masks_keep_their_values(saved, dtype):
    assert read_mask(saved(np.array([[0, 40000]], dtype), "a.tif")).values.tolist() == [[0, 40000]]


@pytest.mark.parametrize("alpha", [None, 255, 0, 7])
def test_grey_saved_as_rgb_is_numbers_and_alpha_that_says_nothing_is_dropped(saved, alpha):
    array = np.repeat(np.array([[[3], [7]]], np.uint8), 3, axis=-1)
    if alpha is not None:
        array = np.dstack([array, np.full((1, 2), alpha, np.uint8)])
    mask = read_mask(saved(array))
    assert (mask.kind, mask.values.tolist()) == ("ids", [[3, 7]])


def test_grey_with_alpha(saved):
    assert read_mask(saved(np.array([[[3, 255], [7, 255]]], np.uint8))).values.tolist() == [[3, 7]]


def test_colours_are_0xrrggbb(saved):
    mask = read_mask(saved(np.array([[[0, 0, 0], [0x12, 0x34, 0x56]]], np.uint8)))
    assert (mask.kind, mask.values.tolist()) == ("rgb", [[0, 0x123456]])


def test_palette_keeps_indices_and_names_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    image.putpalette(bytes([0, 0, 0, 255, 0, 0, 0, 128, 0]))
    image.save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert (mask.kind, mask.values.tolist()) == ("palette", [[0, 2, 1]])
    assert mask.palette[:3] == ("#000000", "#ff0000", "#008000")


REFUSED = {
    "transparent in places, which has no meaning in a mask: save it without alpha.": np.array(
        [[[3, 3, 3, 255], [3, 3, 3, 0]]], np.uint8
    ),
    "holds fractions, such as 0.5 at row 1, column 0: a mask holds whole numbers; "
    "if these are probabilities, save the class numbers instead.": np.array([[0.0], [0.5]]),
    'has 5 channels: a mask has 1, or 3 for colours. If these are slices, set axes = "zyx" in dataset.toml.': np.zeros(
        (2, 2, 5), np.uint8
    ),
    "holds colours of more than 8 bits: save it as 8-bit RGB, or as class numbers.": np.array(
        [[[1, 2, 300]]], np.uint16
    ),
    "holds values as large as 18446744073709551615, above 2**53: use smaller numbers.": np.array([[2**64 - 1]], "u8"),
    "holds values as large as 9223372036854775808, above 2**53: use smaller numbers.": np.array([[-(2**63)]], "i8"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_masks_without_a_meaning_are_refused(saved, text):
    path = saved(REFUSED[text], "a.npy")
    with pytest.raises(DataError) as caught:
        read_mask(path)
    assert str(caught.value) in (f"{path} {text}", f"{path} is {text}")


def test_fractions_in_a_volume_are_named_by_slice_row_and_column(saved):
    array = np.zeros((4, 5, 6))
    path = saved(array, "a.npy")
    assert read_mask(path, axes="zyx").values.shape == (4, 5, 6)  # floats that are whole are fine
    array[2, 3, 1] = 0.25
    with pytest.raises(DataError) as caught:
        read_mask(saved(array, "a.npy"), axes="zyx")
    assert str(caught.value) == (
        f"{path} holds fractions, such as 0.25 at slice 2, row 3, column 1: a mask holds whole numbers; "
        "if these are probabilities, save the class numbers instead."
    )
