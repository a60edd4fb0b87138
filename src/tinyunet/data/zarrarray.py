"""One zarr array in a folder: its metadata, which nobody trusts, and the files of its chunks.

No path leads out of the folder and no link is followed.

References:
    Zarr 2 and 3, https://zarr-specs.readthedocs.io.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyunet.data.header import Unreadable

_MAX_JSON_BYTES = 2**24


@dataclass(frozen=True)
class ZarrArray:
    """Where an array lies, and what its metadata say.

    Args:
        folder: Of the array.
        driver: What tensorstore calls the format: "zarr" for version 2, "zarr3" for 3.
        shape: Pixels along each axis.
        chunks: Pixels of a chunk, or of a shard of them, along each axis: what a file holds.
        dtype: In the machine's byte order.
        prefix: What the name of a chunk's file begins with.
        separator: What stands between the numbers in it.
        names: Of the axes, where the metadata give them.
    """

    folder: Path
    driver: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    prefix: str
    separator: str
    names: tuple[str, ...]

    def chunk_keys(self) -> Iterator[str]:
        """Names of the files of all chunks, relative to the folder."""
        counts = [-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True)]
        for place in _places(counts):
            yield self.prefix + self.separator.join(map(str, place))


def _places(counts: list[int]) -> Iterator[tuple[int, ...]]:
    """Every place in a grid, one at a time; `itertools.product` would make lists of axes that may claim any length."""
    if not counts:
        yield ()
    else:
        for rest in _places(counts[:-1]):
            yield from ((*rest, i) for i in range(counts[-1]))


def files_inside(folder: Path) -> dict[str, Path]:
    """All files in a folder and its folders, by their names relative to it, in the order of these.

    Raises:
        Unreadable: It holds a link, or what is neither file nor folder: both may lead out of it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "c").mkdir()
        >>> (folder / "c" / "0").touch()
        >>> list(files_inside(folder))
        ['c/0']
    """
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found[Path(entry.path).relative_to(folder).as_posix()] = Path(entry.path)
                else:
                    raise Unreadable(f"holds {entry.name!r}, which is a link or no file; copy it with links followed.")
    return dict(sorted(found.items()))


def zarr_array(root: Path, path: str) -> ZarrArray:
    """The array at a path within a folder.

    Args:
        root: The folder.
        path: As its metadata name it; "" for the folder itself.

    Raises:
        Unreadable: There is none, the path leads elsewhere, or the metadata are no array's or contradict themselves.
    """
    folder = root
    for part in path.split("/") if path else ():
        folder = folder / part
        if part in ("", ".", "..") or "\\" in part or "\0" in part or folder.is_symlink():
            raise Unreadable(f"names the array {path!r}, which may lie elsewhere; copy it with links followed.")
    if (folder / "zarr.json").exists():
        about, parse = read_json(folder / "zarr.json"), _array_3
    elif (folder / ".zarray").exists():
        about, parse = read_json(folder / ".zarray"), _array_2
    else:
        raise Unreadable(f"lacks the array {path!r} that its metadata name: the copy is incomplete. Copy it again.")
    try:
        array = parse(folder, about)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"has metadata that are no zarr array's ({type(error).__name__}: {error}).") from None
    if len(array.shape) != len(array.chunks) or min(array.chunks, default=1) < 1 or min(array.shape, default=0) < 0:
        raise Unreadable(f"claims chunks of {array.chunks} in an array of {array.shape}, which cannot be.")
    if array.dtype.kind not in "biuf":
        raise Unreadable(f"holds values of type {array.dtype.name}; save real numbers or integers.")
    return array


def _array_2(folder: Path, about: dict[str, Any]) -> ZarrArray:
    separator = about.get("dimension_separator", ".")
    shape, chunks = _whole(about["shape"]), _whole(about["chunks"])
    dtype = np.dtype(text(about["dtype"])).newbyteorder("=")
    return ZarrArray(folder, "zarr", shape, chunks, dtype, "", _separator(separator), ())


def _array_3(folder: Path, about: dict[str, Any]) -> ZarrArray:
    if about.get("node_type") != "array" or about["chunk_grid"]["name"] != "regular":
        raise Unreadable("has another layout than that of a zarr array with chunks of one size.")
    encoding = about["chunk_key_encoding"]
    old = encoding["name"] == "v2"
    separator = _separator(encoding.get("configuration", {}).get("separator", "." if old else "/"))
    chunks = _whole(about["chunk_grid"]["configuration"]["chunk_shape"])
    try:
        dtype = np.dtype(text(about["data_type"]))
    except TypeError:
        raise Unreadable(
            f"holds values of type {str(about['data_type'])[:40]!r}; save real numbers or integers."
        ) from None
    names = tuple(name if isinstance(name, str) else "" for name in about.get("dimension_names") or ())
    prefix = "" if old else f"c{separator}"
    return ZarrArray(folder, "zarr3", _whole(about["shape"]), chunks, dtype, prefix, separator, names)


def check_chunks(array: ZarrArray, root: Path) -> None:
    """Refuse an array of which a chunk is missing, for which zarr would give zeros.

    Args:
        array: The array.
        root: The folder as the user knows it, for the message.

    Raises:
        Unreadable: There is such a chunk, or a link.
    """
    there = files_inside(array.folder)
    for key in array.chunk_keys():
        if key not in there:
            place = (array.folder / key).relative_to(root).as_posix()
            raise Unreadable(
                f"lacks the chunk {place}: the copy is incomplete. Copy it again; if its writer leaves out chunks that "
                "are empty, write it with all of them (write_empty_chunks=True)."
            )


def read_json(path: Path) -> dict[str, Any]:
    """The table that a file of metadata holds.

    Raises:
        Unreadable: It is no such file.
    """
    if path.is_symlink() or not path.is_file():
        raise Unreadable(f"holds {path.name!r}, which is a link or no file; copy it with links followed.")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise Unreadable(f"holds {path.name!r} of more than {_MAX_JSON_BYTES} bytes, which is no metadata.")
    try:
        return table(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"holds {path.name!r}, which is no JSON: it is damaged; copy it again.") from None


def table(value: object) -> dict[str, Any]:
    """The value itself, which is a table.

    Raises:
        Unreadable: It is none.
    """
    if not isinstance(value, dict):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where a table must stand.")
    return value


def tables(value: object) -> list[dict[str, Any]]:
    """The value itself, which is a list of tables.

    Raises:
        Unreadable: It is none.
    """
    if not isinstance(value, list):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where a list must stand.")
    return [table(one) for one in value]


def first(about: dict[str, Any], key: str) -> dict[str, Any]:
    """The first of the tables below a key.

    Raises:
        Unreadable: There is none.
    """
    found = tables(about.get(key))
    if not found:
        raise Unreadable(f"has metadata whose {key!r} are empty.")
    return found[0]


def text(value: object) -> str:
    """The value itself, which is a text.

    Raises:
        Unreadable: It is none.
    """
    if not isinstance(value, str):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where a name must stand.")
    return value


def numbers(value: object, count: int) -> list[float]:
    """So many numbers.

    Raises:
        Unreadable: The value is no list of them.
    """
    if not isinstance(value, list) or len(value) != count or not all(type(one) in (int, float) for one in value):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where {count} numbers must stand.")
    return [float(one) for one in value]


def _whole(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where whole numbers must stand.")
    return tuple(value)


def _separator(value: object) -> str:
    if value not in (".", "/"):
        raise Unreadable(f"has metadata with {str(value)[:40]!r} where '.' or '/' must stand.")
    return str(value)
