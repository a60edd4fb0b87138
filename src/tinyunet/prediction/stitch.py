"""Putting the outputs of tiles together: cores side by side, or overlapping tiles blended."""

import functools

import numpy as np
from jaxtyping import Float32, Shaped

from tinyunet.prediction.tiles import Axis, Tile


def put_core(target: Shaped[np.ndarray, "..."], output: Shaped[np.ndarray, "..."], tile: Tile) -> None:
    """Copies the part of a tile's output that is kept to its place in `target`, which is changed.

    Args:
        target: The whole result, (*space, k), or (*space) of what was made of k classes.
        output: What the network made of the tile, in as many axes.
        tile: Where the tile lies.

    Example:
        >>> tile = Tile(index=(1,), start=(1,), source=(slice(1, 3),), destination=(slice(2, 4),))
        >>> target = np.zeros((4, 1), int)
        >>> put_core(target, np.array([[7], [8], [9]]), tile)
        >>> target[:, 0]
        array([0, 0, 8, 9])
    """
    target[tile.destination] = output[tile.source]


def blend_weights(axis: Axis) -> tuple[Float32[np.ndarray, " _"], ...]:
    """Weights along one axis with which overlapping tiles are added, such that they sum to 1 at every pixel.

        w_i(x) = g(x - b_i) / sum_j g(x - b_j),    g(u) = exp(-((u - (t - 1) / 2) / (t / 8))^2 / 2)

    with b_i the first pixel of tile i's output, t its pixels, and the sum over the tiles that hold pixel x. A tile
    counts most at its centre, where its context is whole. The grid is the product of its axes, and so are its weights:
    dividing them here, axis by axis, is the division of weighted sums by sums of weights, without an image of the
    latter. Where one tile alone holds a pixel, its weight is exactly 1.

    Args:
        axis: The plan of a blended axis.

    Returns:
        The weights in (0, 1] of each tile's kept pixels.

    Example:
        >>> from tinyunet.prediction.tiles import TileSpec, plan_axis
        >>> spec = TileSpec(ladder=(4,), halo=0, multiple=1, batch=1, blend=True)
        >>> [weights.round(3) for weights in blend_weights(plan_axis(6, spec))]
        [array([1.   , 1.   , 0.982, 0.018], dtype=float32), array([0.018, 0.982, 1.   , 1.   ], dtype=float32)]

    References:
        Isensee, Jaeger, Kohl, Petersen, Maier-Hein (2021), nnU-Net, Nature Methods 18, Methods, "Inference".
    """
    sigma = axis.output / 8
    offsets = np.arange(axis.output) - (axis.output - 1) / 2
    gaussian = np.exp(-((offsets / sigma) ** 2) / 2)  # At least exp(-8): no pixel goes without a weight.
    total = np.zeros(axis.length)
    for start, stop in axis.cores:
        total[start:stop] += gaussian[: stop - start]
    return tuple((gaussian[: stop - start] / total[start:stop]).astype(np.float32) for start, stop in axis.cores)


def add_blended(
    target: Float32[np.ndarray, "*space k"],
    output: Float32[np.ndarray, "*tile k"],
    tile: Tile,
    weights: tuple[tuple[Float32[np.ndarray, " _"], ...], ...],
) -> None:
    """Adds a tile's output, weighted, to `target`, which is changed and is complete after the last tile.

    Args:
        target: The whole result, zeros at first.
        output: What the network made of the tile.
        tile: Where the tile lies.
        weights: `blend_weights` of every axis of the grid.

    Example:
        >>> tile = Tile(index=(0,), start=(0,), source=(slice(0, 2),), destination=(slice(0, 2),))
        >>> target = np.zeros((3, 1), np.float32)
        >>> add_blended(target, np.ones((2, 1), np.float32), tile, ((np.array([1, 0.75], np.float32),),))
        >>> target[:, 0]
        array([1.  , 0.75, 0.  ], dtype=float32)
    """
    vectors = [axis_weights[i] for axis_weights, i in zip(weights, tile.index, strict=True)]
    product = functools.reduce(np.multiply.outer, vectors)
    target[tile.destination] += product[..., np.newaxis] * output[tile.source]
