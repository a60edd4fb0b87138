import gzip
import io
import pickle
import re
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinyunet.data import header
from tinyunet.data.header import Header
from tinyunet.data.readers import NIFTI_SUFFIXES, SUFFIXES, read_header, read_image, read_stored, shown, stem, suffix
from tinyunet.errors import DataError

FILES = [suffix for suffix in SUFFIXES if suffix != ".zarr"]  # which is a folder
DTYPES = ["bool", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def encoded(suffix: str, *, shape: tuple[int, ...] = (12, 9)) -> bytes:
    """A whole file of pixels that do not compress; of NIfTI, one slice of them."""
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    content = io.BytesIO()
    if suffix in NIFTI_SUFFIXES:
        slices = np.atleast_3d(array).transpose(1, 0, 2)[:, :, None]
        volume = nibabel.Nifti1Image(slices if slices.shape[-1] > 1 else slices[..., 0], np.eye(4)).to_bytes()
        return gzip.compress(volume, mtime=0) if suffix == ".nii.gz" else volume
    if suffix == ".npy":
        np.save(content, array)
    elif suffix in (".tif", ".tiff"):
        tifffile.imwrite(content, array, compression="zlib")
    else:
        Image.fromarray(array).save(content, {".jpg": "JPEG", ".jpeg": "JPEG"}.get(suffix, suffix[1:].upper()))
    return content.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def problem(path: Path) -> str:
    """The one line that both readers say about a file."""
    lines = []
    for read in (read_header, read_image):
        with pytest.raises(DataError) as caught:
            read(path)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert "\n" not in lines[0]
    return lines[0]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".npy", ".PNG", ".Tif"])
def test_six_values_of_every_format_without_loss(tmp_path, suffix):
    array = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    np.testing.assert_array_equal(read_image(path), array[..., None])
    assert read_header(path) == Header((2, 3), 1, "uint8")


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3), (1, 1)])
def test_header_says_what_the_image_is(tmp_path, suffix, shape):
    path = write(tmp_path / f"a{suffix}", encoded(suffix, shape=shape))
    image = read_image(path)
    header = read_header(path)
    assert header == Header(image.shape[:-1], image.shape[-1], image.dtype.name, header.geometry)
    assert (header.geometry is not None) == (suffix in NIFTI_SUFFIXES)
    assert image.shape == (1,) * (suffix in NIFTI_SUFFIXES) + np.atleast_3d(np.zeros(shape)).shape


def test_palette_becomes_rgb_but_stays_indices_where_stored(tmp_path):
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    image.putpalette(bytes([0, 0, 0, 255, 0, 0, 0, 128, 0]))
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[0, 0, 0], [0, 128, 0], [255, 0, 0]]]
    assert read_stored(tmp_path / "a.png").pixels[..., 0].tolist() == [[0, 2, 1]]
    assert read_header(tmp_path / "a.png") == Header((1, 3), 3, "uint8")


def test_index_beyond_the_palette_is_black(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette(bytes([9, 9, 9, 7, 7, 7]))
    content = io.BytesIO()
    image.save(content, "PNG", bits=8)
    # the palette's chunk with its second colour cut off: 3 bytes, and the checksum that goes with them
    start = content.getvalue().index(b"PLTE")
    colour = b"PLTE" + bytes([9, 9, 9])
    shorter = bytes([0, 0, 0, 3]) + colour + zlib.crc32(colour).to_bytes(4, "big")
    path = write(tmp_path / "a.png", content.getvalue()[: start - 4] + shorter + content.getvalue()[start + 14 :])
    assert read_image(path).tolist() == [[[9, 9, 9], [0, 0, 0]]]


def test_format_is_told_by_the_first_bytes_not_by_the_suffix(tmp_path):
    path = write(tmp_path / "a.png", encoded(".tif"))
    assert read_image(path).shape == (12, 9, 1)


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(
            np.dtype(dtype).newbyteorder(">"),
            arrays.array_shapes(min_dims=2, max_dims=3, max_side=5),
            elements=None
            if np.dtype(dtype).kind != "f"
            else {"allow_nan": False, "allow_infinity": False}
            | ({"max_value": 1e30, "min_value": -1e30} if dtype == "float64" else {}),
        )
    ),
    fortran=st.booleans(),
)
def test_numpy_file_of_any_real_dtype_and_order(tmp_path_factory, array, fortran):
    path = tmp_path_factory.mktemp("numpy") / "a.npy"
    np.save(path, np.asfortranarray(array) if fortran else array)
    image = read_image(path)
    wanted = array.astype(np.uint8) * 255 if array.dtype == bool else array
    np.testing.assert_array_equal(image, wanted if array.ndim == 3 else wanted[..., None])
    assert image.dtype.isnative
    assert read_header(path) == Header(image.shape[:-1], image.shape[-1], image.dtype.name)


@given(suffix=st.sampled_from([".png", ".jpg", ".bmp", ".tif", ".npy", *NIFTI_SUFFIXES]), data=st.data())
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, suffix, data):
    content = bytearray(encoded(suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = write(tmp_path_factory.mktemp("damaged") / f"a{suffix}", bytes(content))
    message = None
    try:
        image = read_image(path)
    except DataError as error:
        message = str(error)
    if message is None:
        assert image.ndim in (3, 4)
    else:
        assert re.fullmatch(rf"{re.escape(str(path))} [^\n]*\.", message)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".npy", *NIFTI_SUFFIXES])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_file_cut_off_is_refused(tmp_path, suffix, kept):
    content = encoded(suffix, shape=(60, 50))
    path = write(tmp_path / f"a{suffix}", content[: int(kept * len(content))])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path} ")
    assert str(caught.value).endswith("copy or export it again.")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    assert problem(tmp_path / "a.png") == f"{tmp_path}/a.png does not exist."


def test_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert problem(tmp_path / "a.png") == f"{tmp_path}/a.png is not a file."


@pytest.mark.parametrize("suffix", FILES)
def test_empty_file(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", b"")
    assert problem(path) == f"{path} is empty (0 bytes): copy or export it again."


def test_text_named_as_an_image(tmp_path):
    path = write(tmp_path / "a.png", b"hello, world")
    assert problem(path) == (
        f"{path} is not an image: it begins with b'hello, w', as no PNG, JPEG, BMP, TIFF, NIfTI or NumPy file does."
    )


def test_suffix_that_is_not_known(tmp_path):
    path = write(tmp_path / "a.gif", b"GIF89a")
    assert problem(path) == (
        f"{path} has a suffix that is not known. Known: .png, .jpg, .jpeg, .bmp, .tif, .tiff, .npy, "
        ".nii, .nii.gz, .zarr."
    )


def test_file_that_may_not_be_opened(tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", encoded(".png"))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert problem(path) == f"{path} cannot be opened: Permission denied."


def test_several_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(3):
            file.write(np.zeros((4, 5), np.uint8), metadata=None)
    assert problem(tmp_path / "a.tif") == (
        f"{tmp_path}/a.tif holds 3 pages (axes IYX), which can mean one stack of slices or a series of images. "
        'For a stack set axes = "zyx" in dataset.toml; of a series save one image per file.'
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, dtype, value):
    array = np.zeros((3, 4, 2), dtype)
    array[1, 2] = array[2, 0, 1] = value
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / "a.npy")
    assert str(caught.value) == (
        f"{tmp_path}/a.npy holds 2 pixels that are NaN, infinite or beyond float32, the first at row 1, column 2; "
        "give them a finite value."
    )


def test_value_beyond_float32(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 1e39]]))
    with pytest.raises(DataError, match="holds 1 pixels that are NaN, infinite or beyond float32, the first at row 0"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", FILES)
def test_more_pixels_than_the_bound_are_refused_before_they_are_decoded(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"a{suffix}", encoded(suffix))
    monkeypatch.setattr(header, "MAX_PIXELS", 12 * 9 - 1)
    size = "1 x 12 x 9" if suffix in NIFTI_SUFFIXES else "12 x 9"
    assert problem(path) == (
        f"{path} claims {size} pixels, more than the 107 that are read; cut it into smaller images."
    )
    monkeypatch.setattr(header, "MAX_PIXELS", 12 * 9)
    assert read_image(path).shape[-3:] == (12, 9, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_pillows_own_bound_takes_no_part(tmp_path, monkeypatch, suffix):
    path = write(tmp_path / f"a{suffix}", encoded(suffix))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert read_image(path).shape == (12, 9, 1)


def test_bomb_of_a_few_bytes_is_refused_in_one_line(tmp_path):
    content = encoded(".bmp")
    path = write(tmp_path / "a.bmp", content[:18] + (2**17).to_bytes(4, "little") * 2 + content[26:])
    assert problem(path) == (
        f"{path} claims 131072 x 131072 pixels, more than the 2147483648 that are read; cut it into smaller images."
    )


def test_image_too_large_for_the_memory(tmp_path, monkeypatch):
    path = write(tmp_path / "a.npy", encoded(".npy"))

    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    assert problem(path) == f"{path} needs more memory than there is; cut it into smaller images."


class Hostile:
    """Would make a file where a pickle of it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_numpy_file_of_python_objects_is_refused_unloaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Hostile(tmp_path / "touched")]]), allow_pickle=True)
    assert problem(tmp_path / "a.npy").startswith(f"{tmp_path}/a.npy cannot be decoded: ")
    assert not (tmp_path / "touched").exists()


def test_pickle_named_as_a_numpy_file_is_refused_unloaded(tmp_path):
    path = write(tmp_path / "a.npy", pickle.dumps(Hostile(tmp_path / "touched")))
    assert problem(path).startswith(f"{path} is not an image: it begins with ")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "S3", [("a", "u1")]])
def test_values_that_are_no_real_numbers(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), dtype))
    assert problem(tmp_path / "a.npy") == (
        f"{tmp_path}/a.npy holds values of type {np.dtype(dtype).name}; save real numbers or integers."
    )


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5)])
def test_numpy_file_of_another_shape(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert problem(tmp_path / "a.npy") == (
        f"{tmp_path}/a.npy has the shape {shape}; save (height, width) or (height, width, channels), or set axes in "
        'dataset.toml, such as axes = "zyx" for volumes or axes = "yxc" for images with channels.'
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 2, 0)])
def test_numpy_file_without_pixels(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert problem(tmp_path / "a.npy").startswith(f"{tmp_path}/a.npy ")


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("cell.07.PNG", "cell.07", ".png"),
        ("brain.nii.gz", "brain", ".nii.gz"),
        ("brain.v2.NII.GZ", "brain.v2", ".nii.gz"),
        ("brain.gz", "brain", ".gz"),
        ("a.ome.zarr", "a", ".zarr"),
        ("a.b.OME.Zarr", "a.b", ".zarr"),
        ("a.zarr", "a", ".zarr"),
        ("a.ome.tif", "a.ome", ".tif"),
        ("ome.zarr", "ome", ".zarr"),
        ("brain", "brain", ""),
    ],
)
def test_stem_leaves_out_the_last_suffix_only(name, first, last):
    assert (stem(Path("images", name)), suffix(Path("images", name))) == (first, last)


@pytest.mark.parametrize("name", ["a\n.png", "\x1b[31m.png", "\udcff.png"])
def test_name_that_a_terminal_would_act_upon_is_shown_with_escapes(name):
    assert shown(Path(name)).isascii()
    assert shown(Path(name)).isprintable()


def test_umlauts_are_shown_as_they_are():
    assert shown(Path("Zelle ä.png")) == "Zelle ä.png"
