"""Zarr folders to arrays: OME-Zarr 0.4 (zarr 2) and 0.5 (zarr 3), and plain arrays of either.

What is read are the JSON files and one array, the finest level of the first image. A chunk that is missing is an error,
not a hole full of zeros. Labels are such folders too.

References:
    OME-NGFF, https://ngff.openmicroscopy.org/0.5/.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.axes import channels_last, letters_of
from tinyunet.data.header import MAX_PIXELS, Geometry, Header, Unreadable, shape_text
from tinyunet.data.units import micrometres
from tinyunet.data.zarrarray import ZarrArray, check_chunks, first, numbers, read_json, table, tables, text, zarr_array

AXIS_TYPES = {"channel": "c", "time": "t"}
"""What OME-Zarr calls an axis that is none of space, and our letter for it."""


@dataclass(frozen=True)
class Axis:
    """What OME-Zarr says about one axis.

    Args:
        letter: One of t, c, z, y, x.
        unit: Name of the unit of its lengths, "" where none is given.
        scale: Distance from one pixel to the next, in that unit.
        shift: Place of the first pixel, in that unit.
    """

    letter: str
    unit: str = ""
    scale: float = 1.0
    shift: float = 0.0


def zarr_header(path: Path, axes: str = "") -> Header:
    """What `decode_zarr` will give, from the JSON files alone.

    Args:
        path: The folder.
        axes: Letters of the axes as declared, for arrays whose metadata do not name them; where they hold z, an image
            of one slice is a volume.

    Raises:
        Unreadable: The folder holds no array, several moments in time, or metadata that contradict one another.
    """
    array, found, letters = open_zarr(path, axes)
    sizes = dict(zip(letters, array.shape, strict=True))
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype
    space = [letter for letter in "zyx" if letter in sizes]
    shape = tuple(sizes[letter] for letter in space)
    header = Header(shape, sizes.get("c", 1), dtype.name, _geometry(found, space))
    if math.prod(array.chunks) > MAX_PIXELS:
        raise Unreadable(f"claims chunks of {shape_text(array.chunks)} pixels, more than are read; make them smaller.")
    return header


def decode_zarr(path: Path, axes: str = "") -> tuple[Shaped[np.ndarray, "*space c"], None]:
    """The finest level of the first image, True and False as 255 and 0.

    Raises:
        Unreadable: As `zarr_header`, or a chunk is missing.
    """
    import tensorstore

    zarr_header(path, axes)
    array, _, letters = open_zarr(path, axes)
    check_chunks(array, path)
    store = {"driver": "file", "path": f"{array.folder.absolute()}/"}
    try:
        opened = tensorstore.open({"driver": array.driver, "kvstore": store}, open=True, read=True).result()
        if opened.shape != array.shape:
            raise Unreadable("changed while it was read; read it again.")
        values = np.asarray(opened.read().result())
    except ValueError as error:
        raise Unreadable(f"cannot be decoded: {zarr_reason(error)}. Copy or export it again.") from None
    values = values.reshape([size for size, letter in zip(array.shape, letters, strict=True) if letter])
    if values.dtype == bool:
        values = values.astype(np.uint8) * np.uint8(255)
    return channels_last(values, "".join(letters)), None


def zarr_version(path: Path) -> Literal["0.4", "0.5"]:
    """The version of OME-Zarr that goes with the version of zarr that a folder has: 0.4 with 2, 0.5 with 3."""
    return "0.5" if (path / "zarr.json").exists() else "0.4"


def zarr_axes(path: Path) -> tuple[Axis, ...]:
    """What OME-Zarr metadata say about the axes of an image; () where the folder is a plain array.

    Raises:
        Unreadable: As `zarr_header`.
    """
    return () if _group(path) is None else open_zarr(path, "")[1]  # a plain array is read only with its axes declared


def open_zarr(path: Path, axes: str) -> tuple[ZarrArray, tuple[Axis, ...], list[str]]:
    """The array of an image, what its axes are, and a letter for each: "" for a single slice of an image.

    Args:
        path: The folder.
        axes: Letters of the axes as declared.

    Raises:
        Unreadable: As `zarr_header`.
    """
    attributes = _group(path)
    if attributes is None:
        array = zarr_array(path, "")
        found: tuple[Axis, ...] = ()
        named = "".join(array.names).lower()
        known = {*"yx"} <= {*named} <= {*"tczyx"} and len(array.shape) == len(array.names) == len({*named})
        letters = [*(named if known and not axes else letters_of(array.shape, axes))]
    else:
        about = _first_image(attributes)
        level = first(about, "datasets")
        array = zarr_array(path, text(level.get("path")))
        found = _axes(about, level, len(array.shape))
        letters = [axis.letter for axis in found]
    sizes = dict(zip(letters, array.shape, strict=True))
    if sizes.get("t", 1) > 1:
        raise Unreadable(f"is a time series of {sizes['t']} images; save one image per folder.")
    if found and sizes.get("z") == 1 and "z" not in axes:
        letters[letters.index("z")] = ""
    return array, found, ["" if letter == "t" else letter for letter in letters]


def _group(path: Path) -> dict[str, Any] | None:
    """The attributes of a group, None where the folder is an array itself."""
    if (path / "zarr.json").exists():
        about = read_json(path / "zarr.json")
        if about.get("node_type") == "array":
            return None
        attributes = table(about.get("attributes"))
        return table(attributes["ome"]) if "ome" in attributes else attributes
    if (path / ".zarray").exists():
        return None
    if (path / ".zattrs").exists():
        return read_json(path / ".zattrs")
    if (path / ".zgroup").exists():
        return {}
    raise Unreadable(
        "holds neither zarr.json nor .zarray nor .zattrs: it is no zarr folder, or its copy is incomplete."
    )


def _first_image(attributes: dict[str, Any]) -> dict[str, Any]:
    if "multiscales" not in attributes:
        raise Unreadable("is a group of zarr without an image of OME-Zarr; give the folder of one image.")
    return first(attributes, "multiscales")


def _axes(about: dict[str, Any], level: dict[str, Any], dimensions: int) -> tuple[Axis, ...]:
    """The axes of an image with their scales: those of the level times those of all levels."""
    listed = about.get("axes", [*"tczyx"])
    if not isinstance(listed, list) or len(listed) != dimensions:
        raise Unreadable(f"names {len(listed) if isinstance(listed, list) else 0} axes of an array of {dimensions}.")
    named = [one if isinstance(one, dict) else {"name": one} for one in listed]
    letters = [AXIS_TYPES.get(text(one.get("type", "")), text(one.get("name")).lower()) for one in named]
    if not {*"yx"} <= {*letters} <= {*"tczyx"} or len({*letters}) < len(letters):
        raise Unreadable(f"has the axes {', '.join(letters)!r}, of which only t, c, z, y and x are read, each once.")
    scales, shifts = [1.0] * dimensions, [0.0] * dimensions
    for part in (level, about):
        for one in tables(part.get("coordinateTransformations", [])):
            if one.get("type") == "scale":
                factors = numbers(one.get("scale"), dimensions)
                scales = [a * b for a, b in zip(scales, factors, strict=True)]
                shifts = [a * b for a, b in zip(shifts, factors, strict=True)]
            elif one.get("type") == "translation":
                more = numbers(one.get("translation"), dimensions)
                shifts = [a + b for a, b in zip(shifts, more, strict=True)]
    units = [text(one.get("unit") or "") for one in named]
    return tuple(Axis(*row) for row in zip(letters, units, scales, shifts, strict=True))


def _geometry(axes: tuple[Axis, ...], space: list[str]) -> Geometry | None:
    """The size of a pixel in micrometres; None where a unit is not known, or all is 1 of no unit, as if never set."""
    found = {axis.letter: axis for axis in axes}
    wanted = [found[letter] for letter in space if letter in found]
    if not wanted or all((axis.unit, axis.scale) == ("", 1.0) for axis in wanted):
        return None
    sizes = [micrometres(axis.scale, axis.unit or "micrometer") for axis in wanted]
    known = tuple(size for size in sizes if size is not None)
    return Geometry(known) if len(known) == len(space) else None


def zarr_reason(error: Exception) -> str:
    """What tensorstore says, without the repetition of everything that it was told.

    Args:
        error: As it raises it.
    """
    return " ".join(str(error).split(" [", 1)[0].split())[:200]
