import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinyunet.data.labelfile import write_labels, write_zarr
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.readers import read_image
from tinyunet.data.writers import (
    replace_file,
    replace_folder,
    write_array,
    write_bytes,
    write_png,
    write_text,
)
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


VOLUME = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(np.int32)


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


def test_equal_labels_give_equal_bytes(tmp_path, write):
    write(tmp_path / "a.png")
    (first,) = [(path, path.read_bytes()) for path in tmp_path.iterdir()]
    write(tmp_path / "a.png")
    assert [(path, path.read_bytes()) for path in tmp_path.iterdir()] == [first]
