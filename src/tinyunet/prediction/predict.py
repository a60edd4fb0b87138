"""From a callable on tiles to the probabilities or labels of an image of any size."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Int32, Shaped
from numpy.typing import ArrayLike

from tinyunet.prediction.stitch import add_blended, blend_weights, put_core
from tinyunet.prediction.tiles import Grid, Tile, TileSpec, plan_grid, read_tile

T = TypeVar("T")

Forward = Callable[[Float32[np.ndarray, "n *tile c"], Bool[np.ndarray, "n *tile 1"]], ArrayLike]
"""Tiles and the map of their valid pixels -> probabilities (n, *output, k), a NumPy or a JAX array."""

Progress = Callable[[int, int], None]
"""Called with the tiles done and the tiles in all, after every batch."""


def predict_probabilities(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    spec: TileSpec | Sequence[TileSpec],
    *,
    classes: int,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "*space k"]:
    """Probabilities of every class at every pixel, computed tile by tile.

    With `spec.blend` false, and a `forward` that depends on nothing beyond its receptive field and sets all activations
    to zero where pixels are not valid, the result is that of the whole image at once, to rounding.

    Args:
        forward: The network; it is always called with `spec.batch` tiles.
        image: Normalised pixels, float32, at least one along every axis; not changed.
        spec: Tile sizes and border rule, for all axes or one for each.
        classes: Number of classes k that `forward` gives.
        progress: Called after every batch.

    Returns:
        Probabilities, as `forward` gives them.

    Raises:
        ValueError: If `image` is not float32, has no channel axis or no pixels, or `forward` returns another shape than
            (`spec.batch`, *output, `classes`).

    Example:
        >>> spec = TileSpec(ladder=(8,), halo=2, multiple=2, batch=2)
        >>> image = np.arange(20, dtype=np.float32).reshape(20, 1, 1)
        >>> result = predict_probabilities(lambda tiles, valid: tiles / 19, image, spec, classes=1)
        >>> np.array_equal(result, image / 19)
        True
    """
    _check_image(image)
    return _stitch_probabilities(forward, image, plan_grid(image.shape[:-1], spec), classes, progress)


def predict_labels(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    spec: TileSpec | Sequence[TileSpec],
    *,
    progress: Progress | None = None,
) -> Int32[np.ndarray, "*space"]:
    """The most probable class of every pixel; the first of equals.

    Memory holds the labels and two batches of tiles; all classes of the whole image only when `spec.blend` is true.

    Args:
        forward: The network, as for `predict_probabilities`, of two classes or more.
        image: Normalised pixels, float32, at least one along every axis; not changed.
        spec: Tile sizes and border rule, for all axes or one for each.
        progress: Called after every batch.

    Returns:
        Class ids in [0, k).

    Raises:
        ValueError: As `predict_probabilities`, and if `forward` gives fewer than two classes.

    Example:
        >>> def forward(tiles, valid):
        ...     return np.concatenate([1 - tiles, tiles], axis=-1)
        >>> image = np.array([[[0.2], [0.9]], [[0.6], [0.1]]], np.float32)
        >>> predict_labels(forward, image, TileSpec(ladder=(4,), halo=0, multiple=2, batch=1))
        array([[0, 1],
               [1, 0]], dtype=int32)
    """
    _check_image(image)
    grid = plan_grid(image.shape[:-1], spec)
    if grid.blend:
        probabilities = _stitch_probabilities(forward, image, grid, None, progress)
        _check_choice(probabilities.shape[-1])
        return np.argmax(probabilities, axis=-1).astype(np.int32)
    labels = np.empty(grid.shape, np.int32)
    for tile, output in _outputs(forward, image, grid, None, progress):
        _check_choice(output.shape[-1])
        labels[tile.destination] = np.argmax(output[tile.source], axis=-1)
    return labels


def _stitch_probabilities(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    grid: Grid,
    classes: int | None,
    progress: Progress | None,
) -> Float32[np.ndarray, "*space k"]:
    """`predict_probabilities`, for any number of classes if `classes` is None."""
    weights = tuple(blend_weights(axis) for axis in grid.axes) if grid.blend else ()
    outputs = _outputs(forward, image, grid, classes, progress)
    first = next(outputs)
    result = np.zeros((*grid.shape, first[1].shape[-1]), np.float32)
    for tile, output in itertools.chain([first], outputs):
        if grid.blend:
            add_blended(result, output, tile, weights)
        else:
            put_core(result, output, tile)
    return result


def _outputs(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    grid: Grid,
    classes: int | None,
    progress: Progress | None,
) -> Iterator[tuple[Tile, Float32[np.ndarray, "*output k"]]]:
    """Every tile with the network's output on it."""
    done = 0
    for tiles, probabilities in _one_ahead(_dispatched(forward, image, grid, classes)):
        yield from zip(tiles, np.asarray(probabilities, np.float32), strict=False)  # The filling has no tiles.
        done += len(tiles)
        if progress is not None:
            progress(done, len(grid))


def _dispatched(
    forward: Forward, image: Shaped[np.ndarray, "*space c"], grid: Grid, classes: int | None
) -> Iterator[tuple[list[Tile], ArrayLike]]:
    """Batches of tiles with what `forward` returned for them, which JAX may still be computing."""
    tiles = iter(grid)
    while chosen := list(itertools.islice(tiles, grid.batch)):
        probabilities = forward(*_read_batch(image, grid, chosen))
        _check_output(np.shape(probabilities), (grid.batch, *grid.output_shape), classes)
        yield chosen, probabilities


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each after the next one has been made.

    JAX returns from a call before its result is there; only turning the result into a NumPy array waits. So the next
    batch is cut and handed over while the last one is being computed.
    """
    made = next(items)
    for item in items:
        yield made
        made = item
    yield made


def _read_batch(
    image: Shaped[np.ndarray, "*space c"], grid: Grid, tiles: list[Tile]
) -> tuple[Float32[np.ndarray, "n *tile c"], Bool[np.ndarray, "n *tile 1"]]:
    """Tiles stacked into new arrays (JAX may still be reading those of the batch before), filled up with empty ones."""
    pixels = np.zeros((grid.batch, *grid.tile_shape, image.shape[-1]), np.float32)
    valid = np.zeros((grid.batch, *grid.tile_shape, 1), bool)
    for i, tile in enumerate(tiles):
        pixels[i], valid[i] = read_tile(image, grid, tile)
    return pixels, valid


def _check_image(image: Shaped[np.ndarray, "..."]) -> None:
    if image.ndim < 2:
        raise ValueError(f"`image` must have axes and channels, such as (h, w, c), got shape {image.shape}.")
    if image.dtype != np.float32:
        raise ValueError(f"`image` must be normalised to float32, got {image.dtype}.")
    if 0 in image.shape:
        raise ValueError(f"`image` must have at least one pixel and one channel, got shape {image.shape}.")


def _check_output(shape: tuple[int, ...], leading: tuple[int, ...], classes: int | None) -> None:
    if shape[:-1] != leading or not shape[-1] or classes not in (None, shape[-1]):
        wanted = ", ".join(str(size) for size in (*leading, "k" if classes is None else classes))
        raise ValueError(f"`forward` must return probabilities of shape ({wanted}), got {shape}.")


def _check_choice(classes: int) -> None:
    if classes < 2:
        raise ValueError(f"`forward` must return two classes or more to choose labels from, got {classes}.")
