import json
import os

import numpy as np
import pytest
from reference import zarrs

from tinyunet.data.header import Unreadable
from tinyunet.data.zarrarray import (
    check_chunks,
    files_inside,
    first,
    numbers,
    read_json,
    table,
    tables,
    text,
    zarr_array,
)

ARRAY = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
LAYOUTS = {
    "2, dots": {"version": 2},
    "2, slashes": {"version": 2, "dimension_separator": "/"},
    "3": {"version": 3},
    "3, dots": {"version": 3, "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
    "3, like 2": {"version": 3, "chunk_key_encoding": {"name": "v2"}},
    "3, like 2, slashes": {"version": 3, "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}},
    "3, shards": {"version": 3, "chunk": 1, "shard": 3},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_of_the_chunks_are_those_that_are_written(tmp_path, layout):
    folder = zarrs.write_array(tmp_path / "a", ARRAY, **LAYOUTS[layout])
    array = zarr_array(tmp_path, "a")
    assert (array.shape, array.dtype) == ((3, 4, 5), np.uint16)
    assert {*array.chunk_keys()} == {*files_inside(folder)} - {"zarr.json", ".zarray"}
    check_chunks(array, tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_chunk_that_is_missing_is_named(tmp_path, layout):
    zarrs.write_array(tmp_path / "a", ARRAY, **LAYOUTS[layout])
    array = zarr_array(tmp_path, "a")
    for key in array.chunk_keys():
        content = (tmp_path / "a" / key).read_bytes()
        (tmp_path / "a" / key).unlink()
        with pytest.raises(Unreadable) as caught:
            check_chunks(array, tmp_path)
        assert str(caught.value) == (
            f"lacks the chunk a/{key}: the copy is incomplete. Copy it again; if its writer leaves out chunks that are "
            "empty, write it with all of them (write_empty_chunks=True)."
        )
        (tmp_path / "a" / key).write_bytes(content)


def test_an_array_that_claims_chunks_without_number_is_refused_at_the_first(tmp_path):
    zarrs.write_array(tmp_path, ARRAY, version=2)
    about = json.loads((tmp_path / ".zarray").read_text())
    (tmp_path / ".zarray").write_text(json.dumps({**about, "shape": [2**40] * 3, "chunks": [1, 1, 1]}))
    with pytest.raises(Unreadable, match=r"^lacks the chunk 0\.0\.2:"):
        check_chunks(zarr_array(tmp_path, ""), tmp_path)


@pytest.mark.parametrize("path", ["../b", "/etc", "..", ".", "a/../../b", "a//b", "a/", "a\\b", "a\0b"])
def test_no_path_leads_out_of_the_folder(tmp_path, path):
    zarrs.write_array(tmp_path / "b", ARRAY, version=2)
    (tmp_path / "inside").mkdir()
    with pytest.raises(Unreadable) as caught:
        zarr_array(tmp_path / "inside", path)
    assert str(caught.value) == f"names the array {path!r}, which may lie elsewhere; copy it with links followed."


@pytest.mark.parametrize("what", ["array", "metadata", "chunk", "folder of chunks", "pipe"])
def test_no_link_is_followed_and_no_pipe_opened(tmp_path, what):
    outside = zarrs.write_array(tmp_path / "outside", ARRAY, version=3)
    root = tmp_path / "root"
    root.mkdir()
    if what == "array":
        (root / "0").symlink_to(outside)
    else:
        zarrs.write_array(root / "0", ARRAY, version=3)
        place = {"metadata": "zarr.json", "chunk": "c/0/0/0", "pipe": "c/0/0/0", "folder of chunks": "c/0"}[what]
        if what == "folder of chunks":
            (root / "0" / place).rename(tmp_path / "moved")
        else:
            (root / "0" / place).unlink()
        if what == "pipe":
            os.mkfifo(root / "0" / place)
        else:
            (root / "0" / place).symlink_to(outside / place)
    with pytest.raises(Unreadable, match=r"; copy it with links followed\.$"):
        check_chunks(zarr_array(root, "0"), root)


CHANGES = {
    "claims chunks of (3, 3) in an array of (3, 4, 5), which cannot be.": {"chunks": [3, 3]},
    "claims chunks of (3, 0, 3) in an array of (3, 4, 5), which cannot be.": {"chunks": [3, 0, 3]},
    "claims chunks of (3, 3, 3) in an array of (3, -4, 5), which cannot be.": {"shape": [3, -4, 5]},
    "has metadata with '3' where whole numbers must stand.": {"shape": 3},
    "has metadata with '[3, 4, 5.0]' where whole numbers must stand.": {"shape": [3, 4, 5.0]},
    "has metadata with '[3, 4, True]' where whole numbers must stand.": {"shape": [3, 4, True]},
    "has metadata with '../' where '.' or '/' must stand.": {"dimension_separator": "../"},
    "has metadata with '[['a', '<u2']]' where a name must stand.": {"dtype": [["a", "<u2"]]},
    "holds values of type complex64; save real numbers or integers.": {"dtype": "<c8"},
    "holds values of type object; save real numbers or integers.": {"dtype": "|O"},
}


@pytest.mark.parametrize("message", CHANGES)
def test_metadata_of_version_2_that_cannot_be(tmp_path, message):
    zarrs.write_array(tmp_path, ARRAY, version=2)
    about = json.loads((tmp_path / ".zarray").read_text())
    (tmp_path / ".zarray").write_text(json.dumps({**about, **CHANGES[message]}))
    with pytest.raises(Unreadable) as caught:
        zarr_array(tmp_path, "")
    assert str(caught.value) == message.replace("'[['a', '<u2']]'", repr("[['a', '<u2']]"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_type": "group"}, r"^has another layout than that of a zarr array with chunks of one size\.$"),
        ({"chunk_grid": {"name": "rectilinear"}}, r"^has another layout than that"),
        ({"chunk_grid": 3}, r"^has metadata that are no zarr array's \(TypeError: "),
        ({"chunk_key_encoding": {}}, r"^has metadata that are no zarr array's \(KeyError: "),
        ({"chunk_key_encoding": {"name": "default", "configuration": {"separator": ".."}}}, r"where '\.' or '/' must"),
        ({"data_type": "bfloat16"}, r"^holds values of type '?bfloat16'?; save real numbers or integers\.$"),
        ({"data_type": {"name": "struct"}}, r"where a name must stand\.$"),
        ({"dimension_names": 3}, r"^has metadata that are no zarr array's \(TypeError: "),
    ],
)
def test_metadata_of_version_3_that_cannot_be(tmp_path, changes, message):
    zarrs.write_array(tmp_path, ARRAY, version=3)
    about = json.loads((tmp_path / "zarr.json").read_text())
    (tmp_path / "zarr.json").write_text(json.dumps({**about, **changes}))
    with pytest.raises(Unreadable, match=message):
        zarr_array(tmp_path, "")


def test_an_array_that_is_not_there(tmp_path):
    with pytest.raises(Unreadable) as caught:
        zarr_array(tmp_path, "0")
    assert str(caught.value) == "lacks the array '0' that its metadata name: the copy is incomplete. Copy it again."


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN NaN"])
def test_metadata_that_are_no_json(tmp_path, content):
    (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read_json(tmp_path / "zarr.json")
    assert str(caught.value) == "holds 'zarr.json', which is no JSON: it is damaged; copy it again."


def test_metadata_of_gigabytes_are_not_read(tmp_path):
    with (tmp_path / "zarr.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(Unreadable, match=r"of more than 16777216 bytes, which is no metadata\.$"):
        read_json(tmp_path / "zarr.json")


def test_values_of_metadata_are_what_they_must_be():
    assert table({"a": 1}) == {"a": 1}
    assert tables([{"a": 1}]) == [{"a": 1}]
    assert first({"a": [{"b": 1}, {"b": 2}]}, "a") == {"b": 1}
    assert text("a") == "a"
    assert numbers([1, 2.5], 2) == [1.0, 2.5]


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (table, [1], "has metadata with '[1]' where a table must stand."),
        (tables, {"a": 1}, "has metadata with \"{'a': 1}\" where a list must stand."),
        (tables, [1], "has metadata with '1' where a table must stand."),
        (text, None, "has metadata with 'None' where a name must stand."),
        (lambda value: first(value, "datasets"), {"datasets": []}, "has metadata whose 'datasets' are empty."),
        (lambda value: numbers(value, 2), [1], "has metadata with '[1]' where 2 numbers must stand."),
        (lambda value: numbers(value, 1), ["1"], "has metadata with \"['1']\" where 1 numbers must stand."),
        (text, ["x" * 10**6], f"has metadata with {str(['x' * 60])[:40]!r} where a name must stand."),
    ],
)
def test_values_of_metadata_that_are_not_what_they_must_be(check, value, message):
    with pytest.raises(Unreadable) as caught:
        check(value)
    assert str(caught.value) == message
