"""TIFF by region: only the tiles or strips that a region meets are decoded, of the finest level of a pyramid."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffFrame, TiffPage

from tinyunet.data.header import Unreadable
from tinyunet.data.numpyfile import mapped_part
from tinyunet.data.regions import Box, Damage, Regions, overlap, within
from tinyunet.data.tiff import decodes_itself, only_series
from tinyunet.data.tiffsegment import decode_alone, libtiff_keeps

_MAX_SEGMENT_BYTES = 2**28
"""The largest tile or strip that is decoded at once: what is larger gains nothing by being read in parts."""


def tiff_regions(path: Path, axes: str = "") -> Regions | None:
    """The one image of a file, read by region.

    Args:
        path: The file.
        axes: Letters of the axes as declared.

    Returns:
        None where the file can be read as a whole only: it has a palette, pixels of which Pillow, which undoes some
        compressions, would lose something, or pieces that are too large.

    Raises:
        Unreadable: As `tiff_header`.
    """
    tif = TiffFile(path, _multifile=False)
    try:
        series, letters = only_series(tif, axes)
        page = series.keyframe
        itself = decodes_itself(page)
        if page.photometric == PHOTOMETRIC.PALETTE or series.dtype is None or not (itself or libtiff_keeps(page)):
            found = None
        elif itself and series.dataoffset is not None and series.dtype != bool:
            found = _contiguous(path, tif, letters)
        else:
            found = _segmented(path, tif, letters)
    except BaseException:
        tif.close()
        raise
    if found is None:
        tif.close()
    return found


def _contiguous(path: Path, tif: TiffFile, letters: list[str]) -> Regions:
    """Values that lie one after the other, as in a NumPy file."""
    series = tif.series[0]
    offset, shape = series.dataoffset, series.shape
    stored = np.dtype(series.dtype).newbyteorder(tif.byteorder)
    assert offset is not None
    if path.stat().st_size < offset + math.prod(shape) * stored.itemsize:
        raise Unreadable("is cut off: it ends before its pixels do. Copy or export it again.")

    def read(box: Box, damage: Damage) -> np.ndarray:
        return mapped_part(path, box, dtype=stored, shape=shape, offset=offset)

    return Regions(letters, shape, stored.newbyteorder("="), read, tif.close)


def _segmented(path: Path, tif: TiffFile, letters: list[str]) -> Regions | None:
    """Pages of tiles or strips."""
    series = tif.series[0]
    page = series.keyframe
    leading = series.shape[: len(series.shape) - len(page.axes)]
    fits = series.axes.endswith(page.axes) and math.prod(leading) == len(series.pages)
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    inside = page.samplesperpixel if page.planarconfig == 1 else 1
    dtype = np.dtype(series.dtype).newbyteorder("=")
    too_large = min(rows, page.imagelength) * columns * inside * dtype.itemsize > _MAX_SEGMENT_BYTES
    if not fits or page.axes not in ("YX", "YXS", "SYX") or page.imagedepth != 1 or too_large:
        return None
    readers = [_Page(one, page, rows, columns) for one in series.pages if one is not None]
    file = path.open("rb")

    def read(box: Box, damage: Damage) -> np.ndarray:
        values = np.zeros([part.stop - part.start for part in box], dtype)
        before, part = box[: len(leading)], box[len(leading) :]
        for index in itertools.product(*(range(one.start, one.stop) for one in before)):
            number = int(np.ravel_multi_index(index, leading)) if leading else 0
            place = tuple(i - one.start for i, one in zip(index, before, strict=True))

            def told(inner: Box, reason: str, index: tuple[int, ...] = index) -> None:
                damage((*(slice(i, i + 1) for i in index), *inner), reason)

            readers[number].read_into(values[place], file, part, told)
        return values

    def close() -> None:
        file.close()
        tif.close()

    return Regions(letters, series.shape, dtype, read, close)


class _Page:
    """One page: where its tiles or strips lie in the file, and those decoded ones that the next rows need again."""

    def __init__(self, page: TiffPage | TiffFrame, keyframe: TiffPage, rows: int, columns: int):
        self.page, self.keyframe = page, keyframe
        self.rows, self.columns = rows, columns
        self.down, self.across = -(-keyframe.imagelength // rows), -(-keyframe.imagewidth // columns)
        self.itself = decodes_itself(keyframe)
        self.kept: dict[int, np.ndarray] = {}

    def read_into(self, values: np.ndarray, file: Any, box: Box, damage: Damage) -> None:
        """Puts the values of a box, in the axes of the page, into an array of its size, zeros at first."""
        planes, y, x, samples = _axes(self.keyframe.axes, box)
        kept: dict[int, np.ndarray] = {}
        for plane, row, column in self._met(planes, y, x):
            number = (plane * self.down + row) * self.across + column
            outer = (
                slice(row * self.rows, min((row + 1) * self.rows, self.keyframe.imagelength)),
                slice(column * self.columns, min((column + 1) * self.columns, self.keyframe.imagewidth)),
            )
            shared = overlap(outer, (y, x))
            try:
                segment = self.kept[number] if number in self.kept else self._decode(file, number)
            except Exception as error:  # decoders meet damaged bytes with any exception there is
                inside = _like(self.keyframe.axes, slice(plane, plane + 1), *outer, slice(0, samples.stop))
                damage(inside, " ".join(str(error).split())[:200] or type(error).__name__)
                continue
            if outer[0].stop > y.stop:
                kept[number] = segment
            inner = segment[(*within(shared, outer), samples)]
            target = _like(
                self.keyframe.axes, slice(plane - planes.start, plane - planes.start + 1), *within(shared, (y, x))
            )
            values[target] = _transposed(self.keyframe.axes, inner)
        self.kept = kept

    def _met(self, planes: slice, y: slice, x: slice) -> Iterator[tuple[int, int, int]]:
        """Plane, row and column of each tile or strip that a part meets."""
        rows = range(y.start // self.rows, -(-y.stop // self.rows))
        columns = range(x.start // self.columns, -(-x.stop // self.columns))
        return itertools.product(range(planes.start, planes.stop), rows, columns)

    def _decode(self, file: Any, number: int) -> np.ndarray:
        """One tile or strip, (rows, columns, samples)."""
        offset, count = self.page.dataoffsets[number], self.page.databytecounts[number]
        data: bytes | None = None
        if count:
            file.seek(offset)
            data = file.read(count)
            if len(data) < count:
                raise ValueError("the file ends before it")
        if data is not None and not self.itself:
            left = self.keyframe.imagelength - number // self.across % self.down * self.rows
            rows = self.rows if self.keyframe.is_tiled else min(self.rows, left)
            return decode_alone(self.keyframe, data, rows=rows, columns=self.columns)
        decoded, _, shape = self.keyframe.decode(data, number)
        if decoded is None:  # a tile that was never written
            return np.full(shape[1:], self.keyframe.nodata, self.keyframe.dtype)
        return np.asarray(decoded[0])


def _axes(axes: str, box: Box) -> tuple[slice, slice, slice, slice]:
    """Planes, rows, columns and samples within a pixel of a box in the axes of a page."""
    if axes == "SYX":
        return box[0], box[1], box[2], slice(0, 1)
    return slice(0, 1), box[0], box[1], box[2] if axes == "YXS" else slice(0, 1)


def _like(axes: str, plane: slice, y: slice, x: slice, samples: slice = slice(None)) -> Box:
    """The inverse of `_axes`."""
    return {"SYX": (plane, y, x), "YXS": (y, x, samples), "YX": (y, x)}[axes]


def _transposed(axes: str, inner: np.ndarray) -> np.ndarray:
    """A part (rows, columns, samples) in the axes of a page."""
    return {"SYX": inner.transpose(2, 0, 1), "YXS": inner, "YX": inner[..., 0]}[axes]
