"""OME-Zarr 0.4 and 0.5 with levels, written row by row.

Each level holds every other value of the level above along the axes that are long, and so no value that is not there:
what labels need.

References:
    OME-NGFF, https://ngff.openmicroscopy.org/0.5/, "multiscales".
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.zarrfile import AXIS_TYPES, Axis, zarr_reason

SMALLEST_LEVEL = 256
"""A level is made while an axis of space of the one above is longer than this."""

CHUNKS = {2: (512, 512), 3: (32, 256, 256)}
"""Pixels of a chunk along each axis of space: of volumes few slices, since so many are held while they are written."""

Version = Literal["0.4", "0.5"]


def encode_zarr(
    folder: Path,
    rows: Iterable[Shaped[np.ndarray, "_rows ..."]],
    axes: Sequence[Axis],
    *,
    shape: tuple[int, ...],
    dtype: np.dtype,
    chunks: tuple[int, ...] | None = None,
    name: str = "",
    version: Version = "0.5",
) -> None:
    """Write an OME-Zarr image with its levels.

    Args:
        folder: An empty folder.
        rows: The pixels in portions along the first axis of space: `rows[i, ...]`, channels last.
        axes: Of space, z, y, x, and first c where the pixels have channels.
        shape: Pixels along each axis of space, and channels if there are any.
        dtype: Of the pixels.
        chunks: Pixels of a chunk along each axis of space; those of `CHUNKS` by default.
        name: Of the image, for viewers.
        version: Of OME-Zarr: 0.4 is zarr 2, 0.5 is zarr 3.

    Raises:
        OSError: It cannot be written.
    """
    names = "".join(axis.letter for axis in axes)
    space = names.removeprefix("c")
    sizes, channels = shape[: len(space)], shape[len(space) :]
    chunks = chunks or CHUNKS[len(space)]
    factors = level_factors(sizes)
    _write_metadata(folder, axes, factors, name=name, version=version)
    levels = []
    for number, factor in enumerate(factors):
        size = tuple(-(-length // f) for length, f in zip(sizes, factor, strict=True))
        parts = tuple(min(one) for one in zip(size, chunks, strict=True))
        array = _create(folder / str(number), names, (*channels, *size), (*channels, *parts), dtype, version)
        levels.append(_Level(array, parts[0], channels=bool(channels)))
    start = 0
    for portion in in_portions(rows, min(chunks[0], sizes[0])):
        for level, (down, *across) in zip(levels, factors, strict=True):
            level.add(portion[(slice(-start % down, None, down), *(slice(None, None, f) for f in across))])
        start += len(portion)
    for level in levels:
        level.finish()


def level_factors(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """By how much each level is coarser than the image, along each axis of space.

    Example:
        >>> level_factors((20, 1000, 500))
        [(1, 1, 1), (1, 2, 2), (1, 4, 2)]
    """
    factors = [(1,) * len(sizes)]
    while any(-(-size // f) > SMALLEST_LEVEL for size, f in zip(sizes, factors[-1], strict=True)):
        last = factors[-1]
        factors.append(
            tuple(2 * f if -(-size // f) > SMALLEST_LEVEL else f for size, f in zip(sizes, last, strict=True))
        )
    return factors


def in_portions(
    rows: Iterable[Shaped[np.ndarray, "_rows ..."]], height: int
) -> Iterator[Shaped[np.ndarray, "_rows ..."]]:
    """The same rows in portions of one height, but for the last.

    Example:
        >>> [portion.tolist() for portion in in_portions([np.array([0]), np.array([1, 2])], 2)]
        [[0, 1], [2]]
    """
    held: list[np.ndarray] = []
    for portion in rows:
        while len(portion):
            room = height - sum(map(len, held))
            held.append(portion[:room])
            portion = portion[room:]
            if sum(map(len, held)) == height:
                yield np.concatenate(held) if len(held) > 1 else held[0]
                held = []
    if held:
        yield np.concatenate(held)


class _Level:
    """One level, whose rows come in order; it is written in whole chunks.

    Args:
        array: What tensorstore has opened.
        height: Rows of a chunk.
        channels: Whether the pixels have channels, which come last in the rows and first in the array.
    """

    def __init__(self, array: Any, height: int, *, channels: bool):
        self._array, self._height, self._channels = array, height, channels
        self._held: list[np.ndarray] = []
        self._written = 0

    def add(self, rows: Shaped[np.ndarray, "rows *rest"]) -> None:
        """Takes in some rows; it keeps a copy."""
        self._held.append(rows.copy())
        count = sum(map(len, self._held))
        if count >= self._height:
            self._write(count // self._height * self._height)

    def finish(self) -> None:
        """Writes what is left."""
        self._write(sum(map(len, self._held)))

    def _write(self, count: int) -> None:
        if not count:
            return
        rows = np.concatenate(self._held)
        place = slice(self._written, self._written + count)
        values = np.moveaxis(rows[:count], -1, 0) if self._channels else rows[:count]
        try:
            self._array[(slice(None), place) if self._channels else place].write(values).result()
        except ValueError as error:
            raise OSError(zarr_reason(error)) from None
        self._held, self._written = [rows[count:]], self._written + count


def _create(
    folder: Path,
    names: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    version: Version,
) -> Any:
    """An array, every chunk of which will be stored: one that is not there is one that was lost."""
    import tensorstore

    if version == "0.5":
        driver = "zarr3"
        metadata: dict[str, Any] = {
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": 3}},
            ],
            "dimension_names": [*names],
        }
    else:
        driver = "zarr"
        metadata = {
            "dtype": dtype.newbyteorder("<").str,
            "chunks": chunks,
            "compressor": {"id": "zlib", "level": 3},
            "dimension_separator": "/",
            "fill_value": 0,
        }
    spec = {
        "driver": driver,
        "kvstore": {"driver": "file", "path": f"{folder.absolute()}/"},
        "metadata": {"shape": shape, **metadata},
        "store_data_equal_to_fill_value": True,
    }
    try:
        return tensorstore.open(spec, create=True).result()
    except ValueError as error:
        raise OSError(zarr_reason(error)) from None


def _write_metadata(
    folder: Path, axes: Sequence[Axis], factors: list[tuple[int, ...]], *, name: str, version: Version
) -> None:
    """What says that the arrays 0, 1, … are levels of one image, and where their pixels lie."""
    kinds = {letter: kind for kind, letter in AXIS_TYPES.items()}
    about = [{"name": axis.letter, "type": kinds.get(axis.letter, "space")} for axis in axes]
    about = [one | ({"unit": axis.unit} if axis.unit else {}) for one, axis in zip(about, axes, strict=True)]
    levels = []
    for number, factor in enumerate(factors):
        by_axis = [1] * (len(axes) - len(factor)) + [*factor]
        scale = [axis.scale * f for axis, f in zip(axes, by_axis, strict=True)]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(axis.shift for axis in axes):  # the first pixel of a level is that of the image
            transformations.append({"type": "translation", "translation": [axis.shift for axis in axes]})
        levels.append({"path": str(number), "coordinateTransformations": transformations})
    image = {"name": name, "axes": about, "datasets": levels}
    if version == "0.5":
        ome = {"ome": {"version": "0.5", "multiscales": [image]}}
        _write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": ome})
    else:
        _write_json(folder / ".zgroup", {"zarr_format": 2})
        _write_json(folder / ".zattrs", {"multiscales": [{"version": "0.4", **image}]})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
