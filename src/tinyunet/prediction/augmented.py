"""Test-time augmentation: the mean prediction over the eight flips and turns of an image."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Shaped

from tinyunet.prediction.batches import Forward
from tinyunet.prediction.predict import Progress, predict_probabilities
from tinyunet.prediction.tiles import TileSpec

FLIPS_AND_TURNS = tuple((flip, turns) for flip in (False, True) for turns in range(4))
"""The symmetries of the square: whether to mirror the last axis of space, then quarter turns."""


def predict_augmented(
    forward: Forward,
    image: Shaped[np.ndarray, "*space c"],
    spec: TileSpec | Sequence[TileSpec],
    *,
    classes: int,
    flips: bool = True,
    turns: bool = True,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "*space k"]:
    """Probabilities averaged over the eight flips and turns of the image, each prediction turned back.

        p(x) = 1/8 sum_g g^-1 f(g x)

    with f the prediction of a whole image and g the symmetries of the square, in the plane of the last two axes of
    space (across the slices of a volume the spacing is often another). The result of a flipped or turned image is the
    flipped or turned result, to rounding. It takes eight times as long, and an image that is not square may meet tiles
    of both orientations.

    Args:
        forward: The network, as for `predict_probabilities`.
        image: Normalised pixels, float32, with two axes of space or more; not changed.
        spec: Tile sizes and border rule.
        classes: Number of classes k that `forward` gives.
        flips: Whether mirroring is among the symmetries; without it there are four turns.
        turns: Whether quarter turns are; without them there are the two flips, both and none.
        progress: Called after every batch, with the tiles of all predictions.

    Returns:
        Probabilities.

    Raises:
        ValueError: As `predict_probabilities`, and if `image` has fewer than two axes of space.

    Example:
        >>> def forward(tiles, valid):  # Looks one pixel to the left, and wraps around.
        ...     return np.roll(tiles, 1, axis=2)
        >>> spec = TileSpec(ladder=(3,), halo=0, multiple=1, batch=1)
        >>> image = np.array([[0, 0, 0], [0, 8, 0], [0, 0, 0]], np.float32)[..., np.newaxis]
        >>> predict_augmented(forward, image, spec, classes=1)[..., 0]
        array([[0., 2., 0.],
               [2., 0., 2.],
               [0., 2., 0.]], dtype=float32)
    """
    if image.ndim < 3:
        raise ValueError(f"`image` must have two axes of space and channels, got shape {image.shape}.")
    total = np.zeros((*image.shape[:-1], classes), np.float32)
    chosen = symmetries(flips=flips, turns=turns)
    for number, (flip, quarters) in enumerate(chosen):
        turned, part = _turned(image, flip, quarters), _part(progress, number, len(chosen))
        specs = _turned_specs(spec, quarters)
        probabilities = predict_probabilities(forward, turned, specs, classes=classes, progress=part)
        total += _turned_back(probabilities, flip, quarters)
    total /= len(chosen)
    return total


def symmetries(*, flips: bool, turns: bool) -> tuple[tuple[bool, int], ...]:
    """Those of `FLIPS_AND_TURNS` that are made of flips alone, of turns alone, of both or of neither.

    Example:
        >>> symmetries(flips=False, turns=False), len(symmetries(flips=True, turns=False))
        (((False, 0),), 4)
    """
    return tuple(
        (flip, quarters)
        for flip, quarters in FLIPS_AND_TURNS
        if (turns or quarters in ((0, 2) if flips else (0,))) and (flips or not flip)
    )


def _turned(image: Shaped[np.ndarray, "..."], flip: bool, turns: int) -> Shaped[np.ndarray, "..."]:
    return np.rot90(np.flip(image, axis=-2) if flip else image, turns, axes=(-3, -2))


def _turned_specs(spec: TileSpec | Sequence[TileSpec], turns: int) -> TileSpec | Sequence[TileSpec]:
    """Odd turns exchange the last two axes, and with them what tiles are like along them."""
    if isinstance(spec, TileSpec) or turns % 2 == 0:
        return spec
    *others, rows, columns = spec
    return (*others, columns, rows)


def _turned_back(image: Shaped[np.ndarray, "..."], flip: bool, turns: int) -> Shaped[np.ndarray, "..."]:
    upright = np.rot90(image, -turns, axes=(-3, -2))
    return np.flip(upright, axis=-2) if flip else upright


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of the prediction `number` as a part of the whole: a turned image has as many tiles."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, count * total)
