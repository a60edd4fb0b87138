import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinyunet.data.labelling import IGNORE, ClassInfo, Labelling
from tinyunet.data.masks import read_mask
from tinyunet.data.readers import read_image
from tinyunet.data.writers import replace_file, write_array, write_bytes, write_labels, write_png, write_text
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
        f"{tmp_path}/a{suffix} cannot hold labels without loss. Known: .png, .tif, .tiff, .npy, .nii, .nii.gz."
    )


@pytest.mark.parametrize(("value", "dtype"), [(2**16, "uint32"), (-1, "int16")])
def test_values_that_no_png_holds(tmp_path, value, dtype):
    labelling = Labelling("semantic", (ClassInfo("a", 255, "#000000"), ClassInfo("b", value, "#ffffff")))
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "a.png", LABELS, labelling)
    assert str(caught.value) == f"{tmp_path}/a.png cannot hold values of type {dtype}: write .tif or .npy instead."
    write_labels(tmp_path / "a.tif", LABELS, labelling)
    assert set(np.unique(read_mask(tmp_path / "a.tif").values)) == {255, value}
