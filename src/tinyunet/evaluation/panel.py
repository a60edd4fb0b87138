"""Pictures of a segmentation, of an image or of a volume: the labels alone, or beside the truth."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Shaped, UInt8

from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import difference, overlay, tints
from tinyunet.evaluation.planes import centre_of, planes, side_by_side

PANEL_TILES = ("image", "truth", "prediction", "difference")
PANEL_GAP = 4  # white pixels between two tiles


def view(
    image: Shaped[np.ndarray, "*space c"],
    labels: Integer[np.ndarray, "*space"],
    colors: Sequence[str],
    *,
    background: int = 0,
    spacing: Sequence[float] | None = None,
    upward: bool = False,
) -> UInt8[np.ndarray, "height width 3"]:
    """The image with its labels over it; of a volume three slices side by side, where they show most.

    Args:
        image: Any image or volume that `to_display` takes.
        labels: Class ids, or -1 for pixels that take no part.
        colors: One `#rrggbb` for each class; see `tints` for what becomes of dark ones.
        background: The class that is left untinted.
        spacing: Size of a voxel along each axis of a volume; see `planes`.
        upward: The rows point upwards, as those of NIfTI do; see `planes`.

    Returns:
        An image at its own size, or the slices (y, x), (z, x) and (z, y) of a volume on black.

    Raises:
        ValueError: Sizes differ, a label has no colour, or `spacing` does not fit.

    Example:
        >>> view(np.zeros((5, 7, 1)), np.zeros((5, 7), int), ["#000000"]).shape
        (5, 7, 3)
        >>> view(np.zeros((100, 120, 140, 1)), np.zeros((100, 120, 140), int), ["#000000"]).shape
        (120, 408, 3)
    """
    _check_sizes(image, labels=labels)
    colors, centre = tints(colors, background=background), centre_of(labels, background=background)
    pairs = zip(*(planes(x, centre, spacing=spacing, upward=upward) for x in (to_display(image), labels)), strict=True)
    return side_by_side([overlay(plane, ids, colors, background=background) for plane, ids in pairs])


def panel(
    image: Shaped[np.ndarray, "*space c"],
    prediction: Integer[np.ndarray, "*space"],
    target: Integer[np.ndarray, "*space"],
    colors: Sequence[str],
    *,
    background: int = 0,
    longest_side: int = 512,
    spacing: Sequence[float] | None = None,
    upward: bool = False,
) -> UInt8[np.ndarray, "height width 3"]:
    """Four pictures side by side: the image, the truth, the prediction, and where these two differ.

    Of a volume each of them shows the same three slices, through what is marked in the truth or the prediction.

    Args:
        image: Any image or volume that `to_display` takes.
        prediction: Class ids.
        target: The true class ids, or -1 for pixels that take no part.
        colors: One `#rrggbb` for each class; see `tints` for what becomes of dark ones.
        background: The class that is left untinted; see `difference`.
        longest_side: A larger image is shrunk by a whole factor until its sides are at most this many pixels, and the
            slices of a volume until they are no wider than twice as much together; at least 1.
        spacing: Size of a voxel along each axis of a volume; see `planes`.
        upward: The rows point upwards, as those of NIfTI do; see `planes`.

    Returns:
        The tiles `PANEL_TILES` from left to right, with `PANEL_GAP` white pixels between them.

    Raises:
        ValueError: Sizes differ, a label has no colour, `spacing` does not fit, or `longest_side` is below 1.

    Example:
        >>> labels = np.zeros((5, 7), int)
        >>> panel(np.zeros((5, 7, 1)), labels, labels, ["#000000"]).shape
        (5, 40, 3)
    """
    if longest_side < 1:
        raise ValueError(f"`longest_side` must be at least 1, got {longest_side}.")
    _check_sizes(image, prediction=prediction, target=target)
    colors = tints(colors, background=background)
    centre = centre_of(np.where(target == background, prediction, target), background=background)
    shown, predicted, true = (
        planes(values, centre, spacing=spacing, upward=upward) for values in (to_display(image), prediction, target)
    )
    factor = _factor([plane.shape[:2] for plane in shown], longest_side)
    tiles = zip(
        *(_tiles(*each, colors, background=background) for each in zip(shown, predicted, true, strict=True)),
        strict=True,
    )
    rows = [side_by_side([_shrink(plane, factor) for plane in tile]) for tile in tiles]
    return side_by_side(rows, fill=255, gap=PANEL_GAP)


def _tiles(
    shown: UInt8[np.ndarray, "h w 3"],
    prediction: Integer[np.ndarray, "h w"],
    target: Integer[np.ndarray, "h w"],
    colors: Sequence[str],
    *,
    background: int,
) -> tuple[UInt8[np.ndarray, "h w 3"], ...]:
    """`PANEL_TILES` of an image or of one slice."""
    return (
        shown,
        overlay(shown, target, colors, background=background),
        overlay(shown, prediction, colors, background=background),
        difference(shown, prediction, target, background=background),
    )


def _factor(sizes: Sequence[tuple[int, ...]], longest_side: int) -> int:
    """By which pictures are shrunk so that their sides are short enough, and a row of three no wider than two."""
    longest = max(max(size) for size in sizes)
    together = -(-sum(width for _, width in sizes) // 2)
    return -(-max(longest, together) // longest_side)


def _shrink(picture: UInt8[np.ndarray, "h w 3"], factor: int) -> UInt8[np.ndarray, "height width 3"]:
    """Means over squares of `factor` pixels; the last ones are filled up by repeating the edge."""
    if factor == 1:
        return picture
    fill = [(0, -size % factor) for size in picture.shape[:2]]
    filled = np.pad(picture, (*fill, (0, 0)), mode="edge").astype(np.float32)
    h, w = filled.shape[0] // factor, filled.shape[1] // factor
    return np.round(filled.reshape(h, factor, w, factor, 3).mean(axis=(1, 3))).astype(np.uint8)


def _check_sizes(image: Shaped[np.ndarray, "*space c"], **labels: np.ndarray) -> None:
    for name, values in labels.items():
        if values.shape != image.shape[:-1]:
            raise ValueError(f"`{name}` must be of the image's size {image.shape[:-1]}, got {values.shape}.")
