"""Large images of labels to files, row by row: TIFF in tiles, OME-Zarr with levels, NumPy."""

import io
import math
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Integer, Shaped

from tinyunet.data.header import MAX_REGION_PIXELS
from tinyunet.data.pyramid import Version, encode_zarr, in_portions
from tinyunet.data.readers import read_header, shown, stem, suffix
from tinyunet.data.writers import replace_file, replace_folder
from tinyunet.data.zarrfile import Axis, zarr_axes, zarr_version
from tinyunet.errors import DataError

ROW_SUFFIXES = (".tif", ".tiff", ".zarr", ".npy")
"""Suffixes of the files that can be written row by row."""

TILE = 256
"""Pixels along a side of a TIFF's tiles."""

_OME_UNITS = {"micrometer": "µm", "millimeter": "mm", "nanometer": "nm"}
_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")  # of a folder that is zarr

_CLASSIC_BYTES = 2**32 - 2**25
"""The most bytes of pixels of a TIFF whose offsets have 32 bits; the rest is for its tags."""


def write_label_rows(
    path: Path,
    rows: Iterable[Integer[np.ndarray, "_rows ..."]],
    *,
    shape: tuple[int, ...],
    dtype: np.dtype,
    dimensions: int,
    like: Path | None = None,
    origin: tuple[int, ...] = (),
) -> None:
    """Write the values of a mask that come row by row, whole or not at all. Memory holds a few hundred rows.

    Args:
        path: Where to, with one of `ROW_SUFFIXES`. A TIFF has tiles, compressed by Deflate; OME-Zarr has levels, and
            the version that `like` has, if that is such.
        rows: Values in portions along the first axis, any number of rows each.
        shape: Of the whole; after the axes of space come colours, if there are any.
        dtype: Of the values.
        dimensions: Axes of space.
        like: The image whose size of a pixel they take, and whose place.
        origin: The first pixel of that image that they are labels of; () for its first.

    Raises:
        DataError: The suffix is another, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from tinyunet.data.readers import read_image
        >>> path = Path(tempfile.mkdtemp(), "a.tif")
        >>> rows = (np.full((2, 5), value, np.uint8) for value in (7, 9))
        >>> write_label_rows(path, rows, shape=(4, 5), dtype=np.dtype(np.uint8), dimensions=2)
        >>> read_image(path)[:, 0, 0]
        array([7, 7, 9, 9], dtype=uint8)
    """
    kind = suffix(path)
    if kind not in ROW_SUFFIXES:
        raise DataError(f"{shown(path)} cannot be written row by row. Known: {', '.join(ROW_SUFFIXES)}.")
    if kind == ".npy":
        with replace_file(path) as temporary, temporary.open("wb") as file:
            file.write(npy_header(shape, dtype))
            for portion in rows:
                file.write(np.ascontiguousarray(portion, dtype).data)
    elif kind == ".zarr":
        write_zarr_rows(path, rows, shape=shape, dtype=dtype, dimensions=dimensions, like=like, origin=origin)
    else:
        with replace_file(path) as temporary:
            tifffile.imwrite(
                temporary,
                _tiles(rows, shape, dtype, dimensions),
                shape=shape,
                dtype=dtype,
                tile=(TILE, TILE),
                bigtiff=math.prod(shape) * dtype.itemsize > _CLASSIC_BYTES,
                photometric="rgb" if len(shape) > dimensions else "minisblack",
                compression="zlib",
                maxworkers=1,
                ome=dimensions == 3,
                metadata=tiff_metadata(shape, like) if dimensions == 3 else None,
            )


def npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What stands before the values in a NumPy file.

    Example:
        >>> len(npy_header((3,), np.dtype(np.uint8)))
        128
    """
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def _tiles(
    rows: Iterable[Shaped[np.ndarray, "_rows ..."]], shape: tuple[int, ...], dtype: np.dtype, dimensions: int
) -> Iterator[Shaped[np.ndarray, "h w *c"]]:
    """Tiles of full size, page by page and row by row."""
    pages: Iterable[Iterable[np.ndarray]] = [rows] if dimensions == 2 else ([page[0]] for page in in_portions(rows, 1))
    for page in pages:
        for portion in in_portions(page, TILE):
            for start in range(0, shape[dimensions - 1], TILE):
                part = portion[:, start : start + TILE]
                tile = np.zeros((TILE, TILE, *part.shape[2:]), dtype)
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile


def write_zarr_rows(
    path: Path,
    rows: Iterable[Shaped[np.ndarray, "_rows ..."]],
    *,
    shape: tuple[int, ...],
    dtype: np.dtype,
    dimensions: int,
    like: Path | None = None,
    origin: tuple[int, ...] = (),
) -> None:
    """`write_label_rows`, for OME-Zarr.

    Args:
        path: Where to; a zarr folder that exists already is replaced.
        rows: As for `write_label_rows`.
        shape: The same.
        dtype: The same.
        dimensions: The same.
        like: The same; of OME-Zarr, its units and its place count too.
        origin: The same.

    Raises:
        DataError: `like` cannot be read, the folder cannot be written, or it holds something else.
    """
    if path.is_dir() and not any((path / name).exists() for name in _MARKS) and any(path.iterdir()):
        raise DataError(f"{shown(path)} is a folder that holds something else than zarr; choose another folder.")
    space = "zyx"[-dimensions:]
    known = {} if like is None else axes_like(like, space)
    axes = [known.get(letter, Axis(letter)) for letter in space]
    if origin:
        axes = [replace(axis, shift=axis.shift + axis.scale * i) for axis, i in zip(axes, origin, strict=True)]
    colours = [Axis("c")] * (len(shape) - dimensions)
    version: Version = zarr_version(like) if like is not None and suffix(like) == ".zarr" else "0.5"
    with replace_folder(path) as temporary:
        encode_zarr(temporary, rows, [*colours, *axes], shape=shape, dtype=dtype, name=stem(path), version=version)


def axes_like(like: Path, space: str) -> dict[str, Axis]:
    """What an image says of its axes of space, as OME-Zarr says it.

    Args:
        like: The image.
        space: The letters of the axes that are asked for.
    """
    if suffix(like) == ".zarr":  # whose plain arrays, which say nothing, are read only with the axes declared
        return {axis.letter: axis for axis in zarr_axes(like) if axis.letter in space}
    geometry = read_header(like, most=MAX_REGION_PIXELS).geometry
    if geometry is None or len(geometry.spacing) != len(space):
        return {}
    unit = "micrometer" if geometry.affine is None else "millimeter"
    return {letter: Axis(letter, unit, size) for letter, size in zip(space, geometry.spacing, strict=True)}


def tiff_metadata(shape: tuple[int, ...], like: Path | None) -> dict[str, object]:
    """What tifffile is to say of a volume in OME's terms: that its pages are slices, and how far apart they are.

    Args:
        shape: (z, y, x), and colours if there are any.
        like: The image whose size of a pixel it has.
    """
    # the same name for the same labels: the bytes shall be equal
    metadata: dict[str, object] = {"axes": "ZYXS"[: len(shape)], "UUID": f"urn:uuid:{uuid.UUID(int=0)}"}
    for letter, axis in ({} if like is None else axes_like(like, "zyx")).items():
        if axis.unit in _OME_UNITS:
            metadata[f"PhysicalSize{letter.upper()}"] = axis.scale
            metadata[f"PhysicalSize{letter.upper()}Unit"] = _OME_UNITS[axis.unit]
    return metadata
