"""The network's outputs on tiles: batches cut ahead, handed over before the last is waited for, none computed twice."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import ArrayLike

from tinyunet.prediction.pipeline import ahead
from tinyunet.prediction.tiles import Grid, Pixels, Tile, read_tile

T = TypeVar("T")

Forward = Callable[[Float32[np.ndarray, "n *tile c"], Bool[np.ndarray, "n *tile 1"]], ArrayLike]
"""Tiles and the map of their valid pixels -> probabilities (n, *output, k), a NumPy or a JAX array."""

_CONSTANTS = 4
"""Of so many values that fill whole tiles, the results are kept."""


class _Batch(NamedTuple):
    """Tiles and what the network is to see of them; `values` has the pixel that fills a tile which holds no other."""

    tiles: list[Tile]
    pixels: Float32[np.ndarray, "n *tile c"]
    valid: Bool[np.ndarray, "n *tile 1"]
    values: list[bytes | None]


def tile_outputs(
    forward: Forward,
    image: Pixels,
    grid: Grid,
    numbers: range,
    wanted: Callable[[Tile], bool],
    *,
    classes: int | None = None,
    read_ahead: int = 0,
) -> Iterator[list[tuple[Tile, Float32[np.ndarray, "*output k"]]]]:
    """What the network makes of the tiles that are wanted, batch by batch.

    Batches are those of the whole grid, so that a tile meets the same others whichever are wanted, and the same bits
    come of it. A tile of one value, all of it inside the image, is not computed with the others but once for that
    value, alone in its batch.

    Args:
        forward: The network; it is always called with `grid.batch` tiles.
        image: Normalised pixels, float32.
        grid: The plan of its tiles.
        numbers: Places in the grid, from the first tile that is wanted to the last.
        wanted: Whether a tile is; a batch without such a tile is left out.
        classes: Number of classes k that `forward` must give; None for any.
        read_ahead: So many batches are cut in a thread of their own while the network computes; 0 for no thread.

    Yields:
        The wanted tiles of a batch, each with its output.

    Raises:
        ValueError: `forward` returns another shape than (`grid.batch`, *output, `classes`).

    Example:
        >>> from tinyunet.prediction.tiles import TileSpec, plan_grid
        >>> grid = plan_grid((4, 4), TileSpec(ladder=(2,), halo=0, multiple=2, batch=3))
        >>> image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
        >>> lower = lambda tile: tile.index[0] == 1
        >>> batches = tile_outputs(lambda tiles, valid: tiles, image, grid, range(2, 4), lower)
        >>> [[output[0, 0, 0].item() for _, output in batch] for batch in batches]
        [[8.0], [10.0]]
    """
    batches = _batches(image, grid, numbers, wanted)
    if read_ahead:
        batches = ahead(batches, most=read_ahead)
    known: dict[bytes, Float32[np.ndarray, "*output k"]] = {}
    for batch, constants, outputs in _one_ahead(_dispatched(forward, batches, grid, known, classes)):
        # the filling of a batch has no tiles
        values = constants if outputs is None else np.asarray(outputs, np.float32)
        chosen = zip(batch.tiles, constants, values, strict=False)
        yield [(tile, output if constant is None else constant) for tile, constant, output in chosen if wanted(tile)]


def _batches(image: Pixels, grid: Grid, numbers: range, wanted: Callable[[Tile], bool]) -> Iterator[_Batch]:
    """Tiles stacked into new arrays (JAX may still be reading those of the batch before), filled up with empty ones."""
    for begin in range(numbers.start // grid.batch * grid.batch, numbers.stop, grid.batch):
        tiles = [grid.tile(number) for number in range(begin, min(begin + grid.batch, len(grid)))]
        if not any(map(wanted, tiles)):
            continue
        pixels = np.zeros((grid.batch, *grid.tile_shape, image.shape[-1]), np.float32)
        valid = np.zeros((grid.batch, *grid.tile_shape, 1), bool)
        for i, tile in enumerate(tiles):
            pixels[i], valid[i] = read_tile(image, grid, tile)
        yield _Batch(tiles, pixels, valid, [_only_value(*both) for both in zip(pixels, valid, strict=True)])


def _only_value(pixels: Float32[np.ndarray, "*tile c"], valid: Bool[np.ndarray, "*tile 1"]) -> bytes | None:
    """The pixel that all of a tile holds; None where it holds several, or reaches beyond the image."""
    first = pixels[(0,) * (pixels.ndim - 1)]
    # most tiles differ in their first row already
    same = bool((pixels[0] == first).all()) and bool(valid.all()) and bool((pixels == first).all())
    return first.tobytes() if same else None


def _dispatched(
    forward: Forward,
    batches: Iterator[_Batch],
    grid: Grid,
    known: dict[bytes, Float32[np.ndarray, "*output k"]],
    classes: int | None,
) -> Iterator[tuple[_Batch, list[Float32[np.ndarray, "*output k"] | None], ArrayLike | None]]:
    """Batches with the results of tiles of one value, and what JAX may still be computing: None if that were all."""

    def call(pixels: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]) -> ArrayLike:
        outputs = forward(pixels, valid)
        _check_output(np.shape(outputs), (grid.batch, *grid.output_shape), classes)
        return outputs

    for batch in batches:
        for value in batch.values:
            if value is not None and value not in known:
                pixels, valid = np.zeros_like(batch.pixels), np.zeros_like(batch.valid)
                pixels[0], valid[0] = np.frombuffer(value, np.float32), True
                known[value] = np.asarray(call(pixels, valid), np.float32)[0]
        constants = [None if value is None else known[value] for value in batch.values]
        alone = all(constant is not None for constant in constants[: len(batch.tiles)])
        yield batch, constants, None if alone else call(batch.pixels, batch.valid)
        while len(known) > _CONSTANTS:
            del known[next(iter(known))]


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each after the next one has been made.

    JAX returns from a call before its result is there; only turning the result into a NumPy array waits. So the next
    batch is cut and handed over while the last one is being computed.
    """
    for made, _ in itertools.pairwise(itertools.chain(items, [None])):
        assert made is not None
        yield made


def _check_output(shape: tuple[int, ...], leading: tuple[int, ...], classes: int | None) -> None:
    if shape[:-1] != leading or not shape[-1] or classes not in (None, shape[-1]):
        wanted = ", ".join(str(size) for size in (*leading, "k" if classes is None else classes))
        raise ValueError(f"`forward` must return probabilities of shape ({wanted}), got {shape}.")
