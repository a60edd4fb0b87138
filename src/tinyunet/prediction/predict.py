"""From a callable on tiles to the probabilities or labels of an image of any size."""

from collections.abc import Callable, Generator, Sequence

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from tinyunet.prediction.bands import Band, Reduce, Stitcher, plan_bands
from tinyunet.prediction.batches import Forward, tile_outputs
from tinyunet.prediction.tiles import Grid, Pixels, TileSpec, plan_grid

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
    grid = plan_grid(image.shape[:-1], spec)
    result = np.empty((*grid.shape, classes), np.float32)
    for band, rows in predict_bands(forward, image, grid, plan_bands(grid), classes=classes, progress=progress):
        result[band.start : band.stop] = rows
    return result


def predict_labels(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    spec: TileSpec | Sequence[TileSpec],
    *,
    progress: Progress | None = None,
) -> Int32[np.ndarray, "*space"]:
    """The most probable class of every pixel; the first of equals.

    Memory holds the labels and two batches of tiles; where tiles blend, the probabilities of a band of them too.

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
    labels = np.empty(grid.shape, np.int32)
    for band, rows in predict_bands(forward, image, grid, plan_bands(grid), progress=progress, reduce=choose):
        labels[band.start : band.stop] = rows
    return labels


def choose(probabilities: Float32[np.ndarray, "*part k"]) -> Int32[np.ndarray, "*part"]:
    """The most probable class of every pixel; the first of equals.

    Raises:
        ValueError: There are fewer than two classes.

    Example:
        >>> choose(np.array([[0.25, 0.75], [0.5, 0.5]], np.float32))
        array([1, 0], dtype=int32)
    """
    if probabilities.shape[-1] < 2:
        raise ValueError(
            f"`forward` must return two classes or more to choose labels from, got {probabilities.shape[-1]}."
        )
    return np.argmax(probabilities, axis=-1).astype(np.int32)


def predict_bands(
    forward: Forward,
    image: Pixels,
    grid: Grid,
    bands: Sequence[Band],
    *,
    region: tuple[slice, ...] | None = None,
    classes: int | None = None,
    progress: Progress | None = None,
    read_ahead: int = 0,
    reduce: Reduce | None = None,
) -> Generator[tuple[Band, Shaped[np.ndarray, "_rows ..."]], None, None]:
    """Probabilities of one band after the other: memory holds a band of tiles, never the image.

    The tiles and the batches that they are computed in are those of the whole image, whichever bands are asked for, so
    that the same bits come of it. A tile that holds one value everywhere, and all of it inside the image, is computed
    once for that value.

    Args:
        forward: The network, as for `predict_probabilities`.
        image: Normalised pixels, float32, in memory or read where they are needed.
        grid: The plan of the tiles, `plan_grid` of the image's shape.
        bands: Some of `plan_bands`, one after the other without a gap; at least one.
        region: What `plan_bands` was given: nothing else is computed, and rows hold this part of the other axes.
        classes: Number of classes k that `forward` must give; None for any.
        progress: Called after every batch, with the tiles done and those of these bands.
        read_ahead: So many batches are cut in a thread of their own while the network computes; 0 for no thread.
        reduce: What becomes of probabilities, pixel by pixel; None leaves them.

    Yields:
        The band and its rows: probabilities (rows, *rest, k), or what becomes of them.

    Raises:
        ValueError: As `predict_probabilities`.

    Example:
        >>> grid = plan_grid((20, 1), TileSpec(ladder=(8,), halo=2, multiple=2, batch=2))
        >>> image = np.arange(20, dtype=np.float32).reshape(20, 1, 1)
        >>> bands = predict_bands(lambda tiles, valid: tiles, image, grid, plan_bands(grid)[1:3])
        >>> [(band.number, rows[:, 0, 0]) for band, rows in bands]
        [(1, array([6., 7., 8., 9.], dtype=float32)), (2, array([10., 11., 12., 13.], dtype=float32))]
    """
    stitcher = Stitcher(grid, bands, region, reduce)
    batches = tile_outputs(
        forward, image, grid, stitcher.numbers, stitcher.wants, classes=classes, read_ahead=read_ahead
    )
    done = 0
    for batch in batches:
        for tile, output in batch:
            stitcher.add(tile, output)
            if (finished := stitcher.finished(tile)) is not None:
                yield finished
        done += len(batch)
        if progress is not None:
            progress(done, stitcher.tiles)


def _check_image(image: Shaped[np.ndarray, "..."]) -> None:
    if image.ndim < 2:
        raise ValueError(f"`image` must have axes and channels, such as (h, w, c), got shape {image.shape}.")
    if image.dtype != np.float32:
        raise ValueError(f"`image` must be normalised to float32, got {image.dtype}.")
    if 0 in image.shape:
        raise ValueError(f"`image` must have at least one pixel and one channel, got shape {image.shape}.")
