"""Zarr by region: only the chunks that a region meets are read, each known by its place if it is missing or damaged."""

import itertools
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from tinyunet.data.header import Unreadable
from tinyunet.data.regions import Box, Damage, Regions, overlap, within
from tinyunet.data.zarrarray import ZarrArray
from tinyunet.data.zarrfile import open_zarr, zarr_reason

_CACHE_BYTES = 2**26
"""Of decoded chunks, which bands that end within a chunk need again."""


def zarr_regions(path: Path, axes: str = "") -> Regions:
    """The finest level of the first image, read by region.

    Args:
        path: The folder.
        axes: Letters of the axes as declared.

    Raises:
        Unreadable: As `zarr_header`.
    """
    import tensorstore

    array, _, letters = open_zarr(path, axes)
    spec = {
        "driver": array.driver,
        "kvstore": {"driver": "file", "path": f"{array.folder.absolute()}/"},
        "context": {"cache_pool": {"total_bytes_limit": _CACHE_BYTES}},
        "recheck_cached_data": False,
    }
    try:
        opened: Any = tensorstore.open(spec, open=True, read=True).result()
    except ValueError as error:
        raise Unreadable(f"cannot be decoded: {zarr_reason(error)}. Copy or export it again.") from None
    if opened.shape != array.shape:
        raise Unreadable("changed while it was read; read it again.")
    chunks = tuple(opened.chunk_layout.read_chunk.shape or array.chunks)
    fill = 0 if opened.fill_value is None else opened.fill_value
    known: set[Path] = set()

    def read(box: Box, damage: Damage) -> np.ndarray:
        values = np.full([part.stop - part.start for part in box], fill, array.dtype)
        asked = []
        for outer in _chunks(array.shape, chunks, box):
            shared = overlap(outer, box)
            if reason := _missing(array, outer, known):
                damage(outer, reason)
            else:
                asked.append((outer, shared, opened[shared].read()))
        for outer, shared, future in asked:
            try:
                values[within(shared, box)] = future.result()
            except ValueError as error:
                damage(outer, zarr_reason(error))
        return values

    return Regions(letters, array.shape, array.dtype, read, lambda: None)


def _chunks(shape: tuple[int, ...], chunks: tuple[int, ...], box: Box) -> list[Box]:
    """The chunks that a box meets."""
    places = [range(part.start // size, -(-part.stop // size)) for part, size in zip(box, chunks, strict=True)]
    return [
        tuple(slice(i * size, min((i + 1) * size, end)) for i, size, end in zip(place, chunks, shape, strict=True))
        for place in itertools.product(*places)
    ]


def _missing(array: ZarrArray, chunk: Box, known: set[Path]) -> str:
    """Why the file of a chunk is not to be read; "" if it is. No link is followed, nor a folder that is one."""
    place = [part.start // size for part, size in zip(chunk, array.chunks, strict=True)]
    file = array.folder / (array.prefix + array.separator.join(map(str, place)))
    for part in (*reversed(file.relative_to(array.folder).parents[:-1]), file.relative_to(array.folder)):
        path = array.folder / part
        if path in known:
            continue
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return f"the chunk {file.name if path == file else part} is missing"
        if not (stat.S_ISREG(mode) if path == file else stat.S_ISDIR(mode)):
            return f"{part} is a link or no file"
        if path != file:
            known.add(path)
    return ""
