"""What values the marked pixels of a data set have: from a few pixels of each image, so that memory stays small."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

PIXELS = 4096
"""At most so many pixels of one image are kept, half of them of the commonest value of its mask."""

PERCENTS = (0.5, 99.5)
"""The percentiles that are given: nearly all values lie between, and a few hot pixels do not move them."""


@dataclass(frozen=True)
class PixelSample:
    """Pixels drawn from an image, with what its mask says of them.

    Args:
        values: Of the mask.
        pixels: Of the image, in its stored channels.
        weights: For how many pixels of the image each stands.
    """

    values: Int64[np.ndarray, " n"]
    pixels: Float32[np.ndarray, "n c"]
    weights: Float32[np.ndarray, " n"]


@dataclass(frozen=True)
class Intensities:
    """The values of pixels, one number for each used channel.

    Args:
        mean: Mean.
        std: Standard deviation (divided by n).
        low: The 0.5th percentile.
        high: The 99.5th percentile.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def draw_pixels(
    image: Shaped[np.ndarray, "*space c"],
    values: Int64[np.ndarray, "*space"],
    commonest: int,
    *,
    at_most: int = PIXELS,
) -> PixelSample:
    """Some pixels of an image: of the commonest value and of all others half each, so that small things count too.

    Args:
        image: Pixels as stored.
        values: Of its mask.
        commonest: The mask's value of most pixels.
        at_most: How many pixels are drawn; 2 or more. The same ones every time.

    Example:
        >>> drawn = draw_pixels(np.arange(6)[None, :, None], np.array([[0, 0, 0, 0, 5, 5]]), 0, at_most=4)
        >>> drawn.values.tolist(), drawn.weights.tolist()
        ([0, 0, 5, 5], [2.0, 2.0, 1.0, 1.0])
    """
    random = np.random.default_rng(0)
    flat, all_pixels, half = values.ravel(), image.reshape(-1, image.shape[-1]), max(1, at_most // 2)
    places, weights = [], []
    for inside in (flat == commonest, flat != commonest):
        place, weight = _some(inside, half, random)
        places.append(place)
        weights.append(np.full(len(place), weight, np.float32))
    place = np.concatenate(places)
    return PixelSample(flat[place], all_pixels[place].astype(np.float32), np.concatenate(weights))


def _some(
    inside: Bool[np.ndarray, " n"], count: int, random: np.random.Generator
) -> tuple[Int64[np.ndarray, " m"], float]:
    """Places of at most `count` pixels that are inside, and for how many each of them stands."""
    places = np.flatnonzero(inside)
    if len(places) <= count:
        return places, 1.0
    chosen = np.sort(random.choice(len(places), count, replace=False, shuffle=False))
    return places[chosen], len(places) / count


def intensities(samples: Sequence[tuple[PixelSample, Bool[np.ndarray, " _"]]], *, used: int) -> Intensities | None:
    """The numbers of those drawn pixels that are marked.

    Args:
        samples: The pixels of each image, and which of them count.
        used: So many channels are used, the first of the stored ones.

    Returns:
        None where no pixel counts.

    Example:
        >>> one = PixelSample(np.array([0, 1, 1]), np.float32([[9], [2], [4]]), np.ones(3, np.float32))
        >>> intensities([(one, one.values == 1)], used=1).mean
        (3.0,)
    """
    if not any(marked.any() for _, marked in samples):
        return None
    pixels = np.concatenate([one.pixels[marked, :used] for one, marked in samples]).astype(np.float64)
    weights = np.concatenate([one.weights[marked] for one, marked in samples]).astype(np.float64)
    mean = np.average(pixels, axis=0, weights=weights)
    variance = np.average((pixels - mean) ** 2, axis=0, weights=weights)
    low, high = (tuple(_percentile(pixels[:, c], weights, percent) for c in range(used)) for percent in PERCENTS)
    return Intensities(tuple(mean.tolist()), tuple(np.sqrt(variance).tolist()), low, high)


def _percentile(values: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"], percent: float) -> float:
    """The smallest value that, with all below it, has this share of the weight."""
    order = np.argsort(values, kind="stable")
    heaped = np.cumsum(weights[order])
    place = int(np.searchsorted(heaped, percent / 100 * heaped[-1]))
    return float(values[order[min(place, len(order) - 1)]])
