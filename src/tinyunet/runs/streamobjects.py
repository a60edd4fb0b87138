"""The objects of a large image, found and measured in bands that were predicted before."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from tinyunet.data.header import Geometry
from tinyunet.data.labelrows import write_label_rows
from tinyunet.data.lazy import LazyImage
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import shown
from tinyunet.data.window import RowWindow
from tinyunet.data.writers import explained_writing, write_text
from tinyunet.errors import DataError
from tinyunet.objects.measure import measure_objects, table_text
from tinyunet.objects.rows import Found, RowObjects, TooTall
from tinyunet.objects.target import ObjectConfig

HELD_BYTES = 2**30
"""Rows are held, for objects that are not complete, as far as their probabilities and ids take so much."""


class _Measurements:
    """Tables of objects as they are found, and the whole table at the end."""

    def __init__(self, image: LazyImage, channels: ChannelRule, geometry: Geometry | None, *, where: str):
        self._window, self._channels, self._where = RowWindow(image), channels, where
        self._spacing = () if geometry is None else geometry.spacing
        self._unit = "" if geometry is None else geometry.unit
        self._tables: list[dict[str, np.ndarray]] = []

    def add(self, found: Found) -> None:
        """Measures objects that have been found."""
        used = np.flatnonzero(found.instances.reshape(len(found.instances), -1).any(axis=1))
        if not len(used):
            return
        low, high = int(used[0]), int(used[-1]) + 1
        start = found.start + low
        across = (slice(0, size) for size in self._window.shape[1:-1])
        image = self._window[(slice(start, found.start + high), *across)]
        pixels = self._channels.apply(image, where=self._where)
        table = measure_objects(found.instances[low:high], pixels, spacing=self._spacing, unit=self._unit)
        axis = "zyx"[-(found.instances.ndim) :][0]
        moved: dict[str, float] = {f"first_{axis}": start, f"last_{axis}": start, f"centroid_{axis}": start}
        if self._spacing:
            moved[f"centroid_{axis}_{self._unit}"] = start * self._spacing[0]
        for name, shift in {"id": found.before, **moved}.items():
            table[name] = table[name] + shift
        self._tables.append(table)

    def text(self, numbers: Integer[np.ndarray, " n"], empty: tuple[int, ...]) -> str:
        """All tables as one, in the order of the objects' numbers."""
        if not self._tables:
            blank = np.zeros((*empty, self._channels.used), np.uint8)
            table = measure_objects(np.zeros(empty, np.int32), blank, spacing=self._spacing, unit=self._unit)
            return table_text(table)
        table = {name: np.concatenate([one[name] for one in self._tables]) for name in self._tables[0]}
        table["id"] = numbers[table["id"]]
        order = np.argsort(table["id"])
        return table_text({name: column[order] for name, column in table.items()})


def write_objects(
    bands: Iterable[Float32[np.ndarray, "_rows ..."]],
    image: LazyImage,
    *,
    config: ObjectConfig,
    channels: ChannelRule,
    source: Path,
    scratch: Path,
    labels: Path,
    table: Path,
) -> None:
    """Finds the objects in bands, and writes their ids and their table.

    Memory holds the rows of those that are not complete, and the table.

    Args:
        bands: The probability of the core, one band after the other, `OUTSIDE` where a pixel belongs to no object.
        image: What is measured.
        config: How objects are found.
        channels: Which channels of the image are used.
        source: The image's file, whose place in the world the labels take.
        scratch: A file for what is known before the numbers are; left behind.
        labels: Where the ids go, with one of `tinyunet.data.labelrows.ROW_SUFFIXES`.
        table: Where the table goes.

    Raises:
        DataError: Objects hang together over more rows than may be held, or a file cannot be read or written.
    """
    space = image.shape[:-1]
    row = int(np.prod(space[1:]))
    measurements = _Measurements(image, channels, image.header.geometry, where=shown(source))
    objects = RowObjects(config, most_rows=max(1, HELD_BYTES // (8 * row)), found=measurements.add)
    with explained_writing(labels), scratch.open("wb") as file:
        try:
            for band in bands:
                for rows in objects.add(band):
                    file.write(np.ascontiguousarray(rows).data)
        except TooTall as error:
            raise DataError(
                f"{shown(source)} has objects that hang together over {error} rows, more than are held at once: cut it "
                "into smaller images."
            ) from None
        for rows in objects.end():
            file.write(np.ascontiguousarray(rows).data)
    dtype = np.dtype(np.uint16 if objects.count < 2**16 else np.uint32)
    numbers = objects.numbers().astype(dtype)

    def numbered() -> Iterator[Integer[np.ndarray, "_rows ..."]]:
        with scratch.open("rb") as file:
            while content := file.read(4 * row * max(1, 2**22 // row)):
                yield numbers[np.frombuffer(content, np.int32).reshape(-1, *space[1:])]

    write_label_rows(labels, numbered(), shape=space, dtype=dtype, dimensions=len(space), like=source)
    write_text(table, measurements.text(objects.numbers(), (1,) * len(space)))
