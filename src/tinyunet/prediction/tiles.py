"""Where the tiles of an image lie: integer arithmetic per axis, the same in two and three dimensions."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Shaped


@runtime_checkable
class Sliceable(Protocol):
    """What is asked for its parts alone, channels last: it may lie in a file and be read as it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis of space, and channels."""

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        """The pixels of a slice with a start and a stop for each axis of space, all channels of them."""


Pixels = Shaped[np.ndarray, "*space c"] | Sliceable
"""An image in memory, or one that is read where it is needed."""


@dataclass(frozen=True, kw_only=True)
class TileSpec:
    """What a network asks of its tiles, and what the machine can hold.

    Attributes:
        ladder: Tile sizes in pixels, strictly ascending. An axis takes the smallest size that holds all of it, else the
            one whose tiles have the fewest pixels together (blended the largest); so every image meets one of
            `len(ladder)` sizes per axis, and few programs are ever compiled.
        halo: Pixels of context per side. With `border="valid-map"` the radius of the receptive field: what lies nearer
            to an inner border of a tile is thrown away (unless blended). With `border="mirror"` exactly what the
            network loses: a tile of t pixels comes out as t - 2 halo.
        multiple: Pixels by which an image may be shifted without meeting other pooling windows, 2**depth.
        batch: Tiles per call of the network; a last batch is filled up with empty tiles, which are discarded.
        border: "valid-map", for networks that pad with zeros and are told which pixels exist: tiles are multiples of
            `multiple`, the image is continued by its edge to the next multiple and ends there. "mirror", for networks
            without padding: the image is continued by reflection, without end. Their tile sizes need not be multiples
            (Ronneberger et al. take 572 pixels at a multiple of 16); the ladder holds sizes the network accepts.
        blend: Overlap tiles by half and blend them with Gaussian weights. For norms over the whole tile (instance,
            group), where no halo makes tiles agree, and for volumes, whose tiles cannot afford the halo.
        fill: Continue an image by its edge to the end of its tile, however far. For norms over the whole tile, whose
            statistics must not see zeros where a smaller image has ended.

    Raises:
        ValueError: If a value is out of range, or the largest tile leaves no core of `multiple` pixels.

    Example:
        >>> TileSpec(ladder=(256, 512), halo=96, multiple=16, batch=4).border
        'valid-map'

    References:
        Ronneberger, Fischer, Brox (2015), U-Net, section 2 ("overlap-tile strategy").
    """

    ladder: tuple[int, ...]
    halo: int
    multiple: int
    batch: int
    border: Literal["valid-map", "mirror"] = "valid-map"
    blend: bool = False
    fill: bool = False

    def __post_init__(self) -> None:
        if self.border not in ("valid-map", "mirror"):
            raise ValueError(f'`border` must be "valid-map" or "mirror", got {self.border!r}.')
        for name, least in (("halo", 0), ("multiple", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}, got {getattr(self, name)}.")
        if not self.ladder or any(a >= b for a, b in itertools.pairwise((0, *self.ladder))):
            raise ValueError(f"`ladder` must be positive tile sizes in ascending order, got {self.ladder}.")
        if self.border == "valid-map" and any(size % self.multiple for size in self.ladder):
            raise ValueError(f"`ladder` must hold multiples of {self.multiple}, got {self.ladder}.")
        if self.ladder[0] <= 2 * self.lost:
            raise ValueError(f"`ladder` must hold sizes above {2 * self.lost} (twice the halo), got {self.ladder}.")
        if self.stride < self.multiple:
            least = 2 * (self.multiple + self.lost) if self.blend else self.multiple + 2 * self.halo
            needs = f"a halo of {self.halo} and a multiple of {self.multiple}"
            raise ValueError(f"`ladder` must end with {least} or more at {needs}, got {self.ladder}.")

    @property
    def lost(self) -> int:
        """Pixels per side by which the network's output is smaller than its tile."""
        return self.halo if self.border == "mirror" else 0

    @property
    def stride(self) -> int:
        """Pixels from one of the largest tiles to the next."""
        return self.stride_of(self.ladder[-1])

    def stride_of(self, tile: int) -> int:
        """Pixels from one tile of a size to the next, a multiple of `multiple`: pooling windows must agree.

        A size whose tiles would be lost with their halo has none, 0.
        """
        output = tile - 2 * self.lost
        fresh = output // 2 if self.blend else output - 2 * (self.halo - self.lost)
        return max(0, fresh) // self.multiple * self.multiple


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The tiles along one axis.

    Attributes:
        length: Pixels of the image.
        padded: Pixels of the image continued by its edge; beyond them nothing is valid ("valid-map" only).
        tile: Pixels that a tile reads.
        output: Pixels that the network gives back, `tile - 2 * lost`.
        begins: The pixel of the image at which each tile's output begins.
        cores: The pixels [start, stop) of the image that are taken from each tile: a partition, or overlapping when
            blended.
    """

    length: int
    padded: int
    tile: int
    output: int
    begins: tuple[int, ...]
    cores: tuple[tuple[int, int], ...]

    @property
    def lost(self) -> int:
        """Pixels per side by which the output is smaller than the tile."""
        return (self.tile - self.output) // 2


def plan_axis(length: int, spec: TileSpec) -> Axis:
    """Lays tiles along an axis.

    Outputs begin at 0, s, 2s, ... with s = `spec.stride_of` their size; the last begins at the first multiple of
    `spec.multiple` from which it reaches the end. Neighbours are cut in the middle of their overlap, which leaves each
    at least the halo. A tile at the image's border keeps all of that side: there the network sees what it would see in
    the whole image.

    Args:
        length: Pixels of the image, at least 1.
        spec: Sizes and border rule.

    Returns:
        The plan; one tile if one of the ladder holds the axis.

    Raises:
        ValueError: If `length` is less than 1.

    Example:
        >>> spec = TileSpec(ladder=(8, 16), halo=2, multiple=4, batch=1)
        >>> axis = plan_axis(28, spec)
        >>> axis.tile, axis.begins, axis.cores
        (16, (0, 12), ((0, 14), (14, 28)))

        Three tiles of 8 pixels have fewer than two of 16:

        >>> plan_axis(17, TileSpec(ladder=(8, 16), halo=1, multiple=2, batch=1)).begins
        (0, 6, 10)
    """
    if length < 1:
        raise ValueError(f"`image` must have at least one pixel along every axis, got {length}.")
    holding = next((size for size in spec.ladder if size - 2 * spec.lost >= length), None)
    begins: tuple[int, ...] = (0,)
    if holding is not None:
        tile = holding
    else:
        sizes = spec.ladder[-1:] if spec.blend else tuple(size for size in spec.ladder if spec.stride_of(size))
        plans = [(size, _begins(length, size, spec)) for size in reversed(sizes)]  # of equals the largest
        tile, begins = min(plans, key=lambda plan: plan[0] * len(plan[1]))
    output = tile - 2 * spec.lost
    padded = _round_up(length, spec.multiple)
    if spec.fill:
        padded = max(padded, tile)
    if spec.blend:
        cores = tuple((begin, min(begin + output, length)) for begin in begins)
    else:
        cuts = ((a + b + output) // 2 for a, b in itertools.pairwise(begins))
        cores = tuple(itertools.pairwise((0, *cuts, length)))
    return Axis(length=length, padded=padded, tile=tile, output=output, begins=begins, cores=cores)


def _begins(length: int, tile: int, spec: TileSpec) -> tuple[int, ...]:
    """Where the outputs of tiles of a size begin."""
    stride, last = spec.stride_of(tile), _round_up(length - (tile - 2 * spec.lost), spec.multiple)
    return tuple(min(begin, last) for begin in range(0, last + stride, stride))


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One tile.

    Attributes:
        index: Its place along each axis of the grid.
        start: First pixel of the image that it reads, per axis; may be negative.
        source: The part of the network's output that is kept.
        destination: Where in the image that part belongs.
    """

    index: tuple[int, ...]
    start: tuple[int, ...]
    source: tuple[slice, ...]
    destination: tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All tiles of an image, in row-major order: the product of its axes; for the rest see `TileSpec`.

    Example:
        >>> grid = plan_grid((28, 5), TileSpec(ladder=(8, 16), halo=2, multiple=4, batch=1))
        >>> grid.tile_shape, len(grid)
        ((16, 8), 2)
        >>> [tile.destination[0] for tile in grid]
        [slice(0, 14, None), slice(14, 28, None)]
    """

    axes: tuple[Axis, ...]
    border: Literal["valid-map", "mirror"]
    batch: int
    blend: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels of the image."""
        return tuple(axis.length for axis in self.axes)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Pixels that every tile reads."""
        return tuple(axis.tile for axis in self.axes)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Pixels that the network must give back for every tile."""
        return tuple(axis.output for axis in self.axes)

    def __len__(self) -> int:
        return int(np.prod([len(axis.begins) for axis in self.axes]))

    def __iter__(self) -> Iterator[Tile]:
        return map(self.tile, range(len(self)))

    def tile(self, number: int) -> Tile:
        """The tile that comes after `number` others."""
        index = tuple(int(i) for i in np.unravel_index(number, [len(axis.begins) for axis in self.axes]))
        begins = [axis.begins[i] for axis, i in zip(self.axes, index, strict=True)]
        cores = [axis.cores[i] for axis, i in zip(self.axes, index, strict=True)]
        return Tile(
            index=index,
            start=tuple(begin - axis.lost for axis, begin in zip(self.axes, begins, strict=True)),
            source=tuple(slice(a - begin, b - begin) for (a, b), begin in zip(cores, begins, strict=True)),
            destination=tuple(slice(a, b) for a, b in cores),
        )


def plan_grid(shape: tuple[int, ...], spec: TileSpec | Sequence[TileSpec]) -> Grid:
    """Lays tiles over an image; see `plan_axis` and the example of `Grid`.

    Args:
        shape: Pixels of the image along each axis of space.
        spec: For all axes, or one for each, which differ in `ladder`, `halo` and `multiple` alone.
    """
    specs = (spec,) * len(shape) if isinstance(spec, TileSpec) else tuple(spec)
    if len({(s.batch, s.border, s.blend, s.fill) for s in specs}) > 1:
        raise ValueError(f"`spec` must have one batch, border, blend and fill for all axes, got {specs}.")
    if len(specs) != len(shape):
        raise ValueError(f"`spec` must have one entry for each of {len(shape)} axes of space, got {len(specs)}.")
    axes = tuple(plan_axis(length, one) for length, one in zip(shape, specs, strict=True))
    return Grid(axes=axes, border=specs[0].border, batch=specs[0].batch, blend=specs[0].blend)


def read_tile(
    image: Pixels, grid: Grid, tile: Tile
) -> tuple[Shaped[np.ndarray, "*tile c"], Bool[np.ndarray, "*tile 1"]]:
    """Reads a tile, continued beyond the image by the grid's border rule.

    Only the part of the image that the tile covers is touched, by one slice, so that the image may lie in a file.

    Args:
        image: The image whose grid this is.
        grid: The plan.
        tile: One of its tiles.

    Returns:
        The pixels, 0 where nothing is valid (possibly a view of the image: not to be written to), and which of them
        are valid.

    Example:
        >>> grid = plan_grid((3,), TileSpec(ladder=(8,), halo=1, multiple=4, batch=1))
        >>> pixels, valid = read_tile(np.array([[1], [2], [3]]), grid, next(iter(grid)))
        >>> pixels[:, 0], valid[:, 0].astype(int)
        (array([1, 2, 3, 3, 0, 0, 0, 0]), array([1, 1, 1, 1, 0, 0, 0, 0]))
        >>> grid = plan_grid((3,), TileSpec(ladder=(8,), halo=2, multiple=2, batch=1, border="mirror"))
        >>> read_tile(np.array([[1], [2], [3]]), grid, next(iter(grid)))[0][:, 0]
        array([3, 2, 1, 2, 3, 2, 1, 2])
    """
    positions = [start + np.arange(axis.tile) for axis, start in zip(grid.axes, tile.start, strict=True)]
    if grid.border == "mirror":
        inside = [np.ones(axis.tile, bool) for axis in grid.axes]
        sources = [_reflect(x, axis.length) for axis, x in zip(grid.axes, positions, strict=True)]
    else:
        inside = [(x >= 0) & (x < axis.padded) for axis, x in zip(grid.axes, positions, strict=True)]
        sources = [np.clip(x, 0, axis.length - 1) for axis, x in zip(grid.axes, positions, strict=True)]
    pixels = image[tuple(slice(source.min(), source.max() + 1) for source in sources)]
    for axis, source in enumerate(sources):
        if np.any(np.diff(source) != 1):  # An inner tile is its slice; only borders pay for a gather.
            pixels = np.take(pixels, source - source.min(), axis=axis)
    valid = functools.reduce(np.logical_and.outer, inside)[..., np.newaxis]
    return (pixels if valid.all() else np.where(valid, pixels, 0)), valid


def _reflect(positions: Int[np.ndarray, " n"], length: int) -> Int[np.ndarray, " n"]:
    """Positions mirrored into [0, length) about the centres of the border pixels, however far they lie outside."""
    period = max(2 * (length - 1), 1)
    folded = positions % period
    return np.minimum(folded, period - folded)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
