import errno
import os
import stat
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from reference import zarrs

from tinyunet.data.labelling import IGNORE, ClassInfo, Labelling
from tinyunet.data.masks import read_mask
from tinyunet.data.readers import read_header, read_image
from tinyunet.data.writers import (
    replace_file,
    replace_folder,
    write_array,
    write_bytes,
    write_labels,
    write_png,
    write_text,
    write_zarr,
)
from tinyunet.data.zarrarray import files_inside
from tinyunet.data.zarrfile import Axis, zarr_axes
from tinyunet.errors import DataError

BINARY = Labelling("semantic", (ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")))
LABELS = np.array([[0, 1, 1], [1, 0, 0]], np.int32)

WRITERS = {
    "write_bytes": lambda path: write_bytes(path, b"whole"),
    "write_text": lambda path: write_text(path, "whole"),
    "write_array": lambda path: write_array(path, np.zeros((2, 2))),
    "write_png": lambda path: write_png(path, np.zeros((2, 2), np.uint8)),
    "write_labels.png": lambda path: write_labels(path, LABELS, BINARY),
    "write_labels.tif": lambda path: write_labels(path.with_suffix(".tif"), LABELS, BINARY),
    "write_labels.npy": lambda path: write_labels(path.with_suffix(".npy"), LABELS, BINARY),
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".npy", ".PNG"])
def test_six_labels_are_written_with_the_masks_own_values(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_labels(path, LABELS, BINARY)
    image = read_image(path)
    assert image[..., 0].tolist() == [[0, 255, 255], [255, 0, 0]]
    assert image.dtype == np.uint8


def test_palette_mask_stays_a_palette_png(tmp_path):
    classes = ClassInfo("sky", 3, "#0000ff"), ClassInfo("earth", 7, "#804000")
    labelling = Labelling("semantic", classes, ignore=255, kind="palette")
    write_labels(tmp_path / "a.png", np.array([[0, 1, IGNORE]], np.int32), labelling)
    mask = read_mask(tmp_path / "a.png")
    assert (mask.kind, mask.values.tolist()) == ("palette", [[3, 7, 255]])
    assert (mask.palette[3], mask.palette[7], mask.palette[0]) == ("#0000ff", "#804000", "#000000")


def test_labels_of_16_bits_and_of_colours_are_what_other_programs_read(tmp_path):
    wide = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 40000, "#ffffff")))
    write_labels(tmp_path / "wide.png", LABELS, wide)
    assert np.asarray(Image.open(tmp_path / "wide.png")).tolist() == [[0, 40000, 40000], [40000, 0, 0]]
    colours = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 0x102030, "#102030")), kind="rgb")
    write_labels(tmp_path / "rgb.tif", LABELS, colours)
    with tifffile.TiffFile(tmp_path / "rgb.tif") as file:
        assert file.pages[0].photometric.name == "RGB"
        assert file.asarray()[0, 1].tolist() == [0x10, 0x20, 0x30]


@st.composite
def labelled(draw):
    """A suffix, labels and a labelling that go together."""
    suffix = draw(st.sampled_from([".png", ".tif", ".npy"]))
    kind = draw(st.sampled_from(["ids", "rgb", "palette"]))
    high = {"ids": 2**16 - 1 if suffix == ".png" else 2**31, "rgb": 0xFFFFFF, "palette": 255}[kind]
    values = draw(st.lists(st.integers(0, high), min_size=1, max_size=6, unique=True))
    ignore = values.pop() if len(values) > 1 and draw(st.booleans()) else None
    classes = tuple(ClassInfo(f"class {value}", value, "#123456") for value in values)
    labelling = Labelling("semantic", classes, ignore, kind)
    lowest = 0 if ignore is None else IGNORE
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=7))
    return suffix, draw(arrays.arrays(np.int32, shape, elements=st.integers(lowest, len(values) - 1))), labelling


@given(labelled())
def test_labels_that_are_written_are_read(tmp_path_factory, case):
    suffix, labels, labelling = case
    path = tmp_path_factory.mktemp("labels") / f"a{suffix}"
    before = labels.copy()
    write_labels(path, labels, labelling)
    np.testing.assert_array_equal(labelling.encode(read_mask(path), where="a"), labels)
    np.testing.assert_array_equal(labels, before)


@given(channels=st.sampled_from([(), (1,), (3,), (4,)]), data=st.data())
def test_png_that_is_written_is_read(tmp_path_factory, channels, data):
    path = tmp_path_factory.mktemp("png") / "a.png"
    image = data.draw(arrays.arrays(np.uint8, (3, 5, *channels)))
    write_png(path, image)
    np.testing.assert_array_equal(read_image(path), np.atleast_3d(image))


@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 3, 4, 5)])
def test_array_that_is_written_is_read(tmp_path, shape):
    array = np.random.default_rng(0).random(shape, np.float32)
    write_array(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_text_is_utf_8_with_its_line_ends(tmp_path):
    write_text(tmp_path / "a.txt", "ä\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "ä\r\nb\n".encode()


def test_equal_labels_give_equal_bytes(tmp_path, write):
    write(tmp_path / "a.png")
    (first,) = [(path, path.read_bytes()) for path in tmp_path.iterdir()]
    write(tmp_path / "a.png")
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [first]


def test_temporary_file_is_hidden_and_beside_the_file(tmp_path):
    with replace_file(tmp_path / ("long" * 60 + ".png")) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"whole")
        assert not (tmp_path / ("long" * 60 + ".png")).exists()
    assert [len(path.name) for path in tmp_path.iterdir()] == [244]


def test_rights_are_those_of_any_new_file(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    write_bytes(tmp_path / "a", b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    (tmp_path / "a").write_bytes(b"old")

    def fail_halfway():
        with replace_file(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


FAILURES = {
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)): (
        "No space left on device. Free some space, or choose another folder."
    ),
    OSError("3 requested and 0 written"): "3 requested and 0 written. Free some space, or choose another folder.",
    OSError(errno.EROFS, os.strerror(errno.EROFS)): ("Read-only file system. Choose a folder that you may write to."),
    OSError(errno.EACCES, os.strerror(errno.EACCES)): "Permission denied. Choose a folder that you may write to.",
}


@pytest.mark.parametrize("error", FAILURES, ids=str)
def test_file_that_cannot_be_moved_into_place(tmp_path, monkeypatch, write, error):
    def fail(self, target):
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.png")
    assert str(caught.value).split(" cannot be written: ") == [
        str(next(tmp_path / f"a{s}" for s in (".png", ".tif", ".npy") if f"a{s} " in str(caught.value))),
        FAILURES[error],
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a file on which there is never space")
def test_no_space_left_while_writing(tmp_path, monkeypatch, write):
    real = open

    def full(file, mode="r", *args, **kwargs):
        return real("/dev/full" if str(file).endswith(".tmp") else file, mode, *args, **kwargs)

    monkeypatch.setattr("builtins.open", full)
    monkeypatch.setattr("io.open", full)
    with pytest.raises(DataError, match=r"^\S+ cannot be written: [^\n]*Free some space, or choose another folder\.$"):
        write(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_folder_that_does_not_exist(tmp_path, write):
    with pytest.raises(
        DataError, match=r"^\S+/none/a\.\w+ cannot be written: No such file or directory\. Make the folder first\.$"
    ):
        write(tmp_path / "none" / "a.png")


def test_folder_in_place_of_the_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match=r"^\S+/a cannot be written: Is a directory\."):
        write_bytes(tmp_path / "a", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ""])
def test_formats_that_would_change_labels(tmp_path, suffix):
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / f"a{suffix}", LABELS, BINARY)
    assert str(caught.value) == (
        f"{tmp_path}/a{suffix} cannot hold labels without loss. Known: .png, .tif, .tiff, .npy, .nii, .nii.gz, .zarr."
    )


@pytest.mark.parametrize(("value", "dtype"), [(2**16, "uint32"), (-1, "int16")])
def test_values_that_no_png_holds(tmp_path, value, dtype):
    labelling = Labelling("semantic", (ClassInfo("a", 255, "#000000"), ClassInfo("b", value, "#ffffff")))
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "a.png", LABELS, labelling)
    assert str(caught.value) == f"{tmp_path}/a.png cannot hold values of type {dtype}: write .tif or .npy instead."
    write_labels(tmp_path / "a.tif", LABELS, labelling)
    assert set(np.unique(read_mask(tmp_path / "a.tif").values)) == {255, value}


VOLUME = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(np.int32)
COLOURS = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 0x102030, "#102030")), kind="rgb")


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".ome.zarr", ".npy"])
@pytest.mark.parametrize("labelling", [BINARY, COLOURS], ids=["ids", "rgb"])
def test_labels_of_a_volume_come_back(tmp_path, suffix, labelling):
    path = tmp_path / f"a{suffix}"
    write_labels(path, VOLUME, labelling)
    mask = read_mask(path, axes="zyx" if suffix == ".npy" else "")
    assert mask.kind == labelling.kind
    np.testing.assert_array_equal(labelling.encode(mask, where="a"), VOLUME)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_labels_of_nifti_lie_where_their_image_does(tmp_path, suffix):
    affine = np.array([[0, 0, -2.0, 5], [-1.0, 0, 0, 6], [0, 3.0, 0, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 3, 5), np.float32), affine), tmp_path / "image.nii.gz")
    path = tmp_path / f"a{suffix}"
    for _ in range(2):
        write_labels(path, VOLUME, BINARY, like=tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(BINARY.encode(read_mask(path), where="a"), VOLUME)
    assert read_header(path).geometry == read_header(tmp_path / "image.nii.gz").geometry
    np.testing.assert_array_equal(nibabel.load(path).affine, affine)
    assert {file.name for file in tmp_path.iterdir()} == {"image.nii.gz", path.name}


def test_nifti_wants_numbers_and_a_place(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 3), np.float32), np.eye(4)), tmp_path / "image.nii")
    write_zarr(tmp_path / "image.zarr", VOLUME)
    image = tmp_path / "image.nii"
    for labels, labelling, like in (
        (VOLUME, BINARY, None),
        (VOLUME, BINARY, tmp_path / "image.zarr"),
        (VOLUME, COLOURS, image),
        (VOLUME[1:], BINARY, image),
        (LABELS, COLOURS, image),
    ):
        with pytest.raises(DataError) as caught:
            write_labels(tmp_path / "a.nii", labels, labelling, like=like)
        assert str(caught.value) == (
            f"{tmp_path}/a.nii wants one number for each voxel, and a NIfTI file whose place they take."
        )


def test_no_png_holds_a_volume(tmp_path):
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "a.png", VOLUME, BINARY)
    assert str(caught.value) == f"{tmp_path}/a.png cannot hold a volume: write .tif, .zarr or .npy instead."


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_zarr_have_the_axes_of_their_image(tmp_path, version):
    image = zarrs.write_image(
        tmp_path / "image.zarr", np.zeros((1, 2, 3, 4, 5), np.uint16), "tczyx", [9, 1, 2, 0.5, 0.25], version=version
    )
    write_labels(tmp_path / "a.zarr", VOLUME, BINARY, like=image)
    assert read_header(tmp_path / "a.zarr").geometry == read_header(image).geometry
    assert zarr_axes(tmp_path / "a.zarr") == tuple(
        Axis(letter, "micrometer", scale) for letter, scale in zip("zyx", (2.0, 0.5, 0.25), strict=True)
    )


def test_labels_of_zarr_take_the_spacing_of_other_formats(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 3), np.uint8), np.diag([1.0, 2, 3, 1])), tmp_path / "image.nii")
    write_labels(tmp_path / "a.zarr", VOLUME, BINARY, like=tmp_path / "image.nii")
    assert zarr_axes(tmp_path / "a.zarr") == tuple(
        Axis(x, "millimeter", k) for x, k in zip("zyx", (3.0, 2.0, 1.0), strict=True)
    )
    np.save(tmp_path / "image.npy", np.zeros((4, 5)))
    write_labels(tmp_path / "b.zarr", LABELS, BINARY, like=tmp_path / "image.npy")
    assert zarr_axes(tmp_path / "b.zarr") == (Axis("y"), Axis("x"))
    assert read_header(tmp_path / "b.zarr").geometry is None


def test_equal_labels_give_equal_folders_and_replace_the_old_one(tmp_path):
    path = tmp_path / "a.zarr"
    found = []
    for _ in range(2):
        write_labels(path, VOLUME, BINARY)
        found.append({name: file.read_bytes() for name, file in files_inside(path).items()})
        (path / "old").write_bytes(b"old")
    assert found[0] == found[1]
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_failure_leaves_the_old_folder_and_no_other(tmp_path, error):
    write_zarr(tmp_path / "a.zarr", VOLUME)

    def fail_halfway():
        with replace_folder(tmp_path / "a.zarr") as temporary:
            (temporary / "half").write_bytes(b"half")
            raise error

    with pytest.raises(DataError if error is OSError else error):
        fail_halfway()
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr")[..., 0], VOLUME)


def test_a_folder_that_cannot_be_moved_into_place_leaves_the_old_one(tmp_path, monkeypatch):
    write_zarr(tmp_path / "a.zarr", VOLUME)
    real = Path.replace
    moved = []

    def fail_once(self, target):
        moved.append(self)
        if len(moved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(DataError, match=r"a\.zarr cannot be written: No space left on device\. Free some space"):
        write_zarr(tmp_path / "a.zarr", VOLUME + 1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.zarr")[..., 0], VOLUME)


def test_a_link_is_replaced_not_what_it_points_to(tmp_path):
    write_zarr(tmp_path / "other.zarr", VOLUME)
    (tmp_path / "a.zarr").symlink_to(tmp_path / "other.zarr")
    with pytest.raises(DataError, match=r"a\.zarr cannot be written: "):
        write_zarr(tmp_path / "a.zarr", VOLUME + 1)
    np.testing.assert_array_equal(read_image(tmp_path / "other.zarr")[..., 0], VOLUME)


def test_a_folder_in_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"^\S+/none/a\.zarr cannot be written: No such file or directory\. Make the"):
        write_zarr(tmp_path / "none" / "a.zarr", VOLUME)
