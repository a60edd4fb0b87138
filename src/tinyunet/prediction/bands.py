"""An image in bands of rows: what is finished together, so that memory holds a band and never the image."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from tinyunet.prediction.stitch import add_blended, blend_weights, put_core
from tinyunet.prediction.tiles import Grid, Tile

Reduce = Callable[[Float32[np.ndarray, "*part k"]], Shaped[np.ndarray, "..."]]
"""From the probabilities of pixels to what is kept of them, such as the most probable class; pixel by pixel."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Rows of the result (slices, of a volume) that are complete once a row of tiles is.

    A band can be computed without any other: it names all tiles that contribute to its rows.

    Attributes:
        number: Its place among the bands of the whole image.
        start: The first of its rows.
        stop: The first row after it.
        first: The first row of tiles that reaches into it.
        last: The last one.
    """

    number: int
    start: int
    stop: int
    first: int
    last: int


def plan_bands(grid: Grid, region: tuple[slice, ...] | None = None) -> tuple[Band, ...]:
    """The bands of an image, or those that a region of it meets, cut to its rows.

    Without blending a band is the cores of one row of tiles. Blended tiles overlap: a band ends where the tiles below
    begin, and those above reach into it.

    Args:
        grid: The plan of the tiles.
        region: A slice with start and stop along each axis of space; None for all.

    Example:
        >>> from tinyunet.prediction.tiles import TileSpec, plan_grid
        >>> spec = TileSpec(ladder=(8,), halo=0, multiple=4, batch=1, blend=True)
        >>> [(band.start, band.stop, band.first, band.last) for band in plan_bands(plan_grid((16, 8), spec))]
        [(0, 4, 0, 0), (4, 8, 0, 1), (8, 16, 1, 2)]
    """
    cores = grid.axes[0].cores
    starts = [start for start, _ in cores]
    low, high = (0, grid.shape[0]) if region is None else (region[0].start, region[0].stop)
    bands = []
    for number, (start, stop) in enumerate(itertools.pairwise([*starts, grid.shape[0]])):
        if start < high and stop > low:
            first = next(j for j in range(number + 1) if cores[j][1] > start)
            bands.append(Band(number=number, start=max(start, low), stop=min(stop, high), first=first, last=number))
    return tuple(bands)


class Stitcher:
    """Puts the outputs of tiles together, and gives each band once it is complete.

    Tiles come in the order of the grid, from the first that reaches into the first band to the last of the last; bands
    follow each other without a gap. Only rows that are not complete are held.

    Args:
        grid: The plan of the tiles.
        bands: What is to be computed.
        region: As for `plan_bands`: what is kept of the bands along the other axes.
        reduce: What is made of probabilities, pixel by pixel: of those of a tile where tiles do not blend, so that no
            more is held; else of those of a band. None leaves them.
    """

    def __init__(
        self,
        grid: Grid,
        bands: Sequence[Band],
        region: tuple[slice, ...] | None = None,
        reduce: Reduce | None = None,
    ):
        self.grid, self._reduce = grid, reduce
        self._bands = list(bands)
        self._rows = range(bands[0].first, bands[-1].last + 1)
        region = tuple(slice(0, size) for size in grid.shape) if region is None else region
        self._across = [
            [i for i, (a, b) in enumerate(axis.cores) if a < part.stop and b > part.start]
            for axis, part in zip(grid.axes[1:], region[1:], strict=True)
        ]  # the tiles along each axis but the first that meet the region
        held = [
            (axis.cores[chosen[0]][0], max(axis.cores[i][1] for i in chosen))
            for axis, chosen in zip(grid.axes[1:], self._across, strict=True)
        ]
        self._origin = [grid.axes[0].cores[bands[0].first][0], *(low for low, _ in held)]
        self._size = [high - low for low, high in held]
        self._kept = tuple(
            slice(part.start - low, part.stop - low) for part, (low, _) in zip(region[1:], held, strict=True)
        )
        self._weights = tuple(blend_weights(axis) for axis in grid.axes) if grid.blend else ()
        self._open: np.ndarray | None = None

    def wants(self, tile: Tile) -> bool:
        """Whether a tile contributes to the bands and the region."""
        row, *others = tile.index
        return row in self._rows and all(i in chosen for i, chosen in zip(others, self._across, strict=True))

    @property
    def tiles(self) -> int:
        """How many tiles are wanted."""
        return math.prod([len(self._rows), *map(len, self._across)])

    @property
    def numbers(self) -> range:
        """Places in the grid of the tiles from the first that is wanted to the last."""
        row = math.prod(len(axis.begins) for axis in self.grid.axes[1:])
        return range(self._rows.start * row, self._rows.stop * row)

    def add(self, tile: Tile, output: Float32[np.ndarray, "*output k"]) -> None:
        """Takes in what the network made of a wanted tile."""
        if self._reduce is not None and not self.grid.blend:
            part = self._reduce(output[tile.source])
            source = tuple(slice(0, kept.stop - kept.start) for kept in tile.source)
        else:
            part, source = output, tile.source
        rest = (*self._size, *part.shape[len(self.grid.axes) :])
        if self._open is None:
            self._open = np.zeros((0, *rest), part.dtype)
        missing = tile.destination[0].stop - self._origin[0] - len(self._open)
        if missing > 0:
            more = np.zeros((missing, *rest), part.dtype)
            self._open = np.concatenate([self._open, more]) if len(self._open) else more
        place = tuple(
            slice(kept.start - low, kept.stop - low) for kept, low in zip(tile.destination, self._origin, strict=True)
        )
        moved = dataclasses.replace(tile, source=source, destination=place)
        if self.grid.blend:
            add_blended(self._open, part, moved, self._weights)
        else:
            put_core(self._open, part, moved)

    def finished(self, tile: Tile) -> tuple[Band, Shaped[np.ndarray, "rows *rest"]] | None:
        """The band that is complete after this tile, if one is, and its rows: probabilities, or what they became."""
        band = self._bands[0]
        last = (band.last, *(chosen[-1] for chosen in self._across))
        if tile.index != last or self._open is None:
            return None
        begin, end = band.start - self._origin[0], band.stop - self._origin[0]
        rows = self._open[(slice(begin, end), *self._kept)]
        self._bands = self._bands[1:]
        # what stays is copied, so that what goes is free when the caller has done with it
        self._open = self._open[end:].copy()
        self._origin[0] = band.stop
        return band, self._reduce(rows) if self._reduce is not None and self.grid.blend else rows
