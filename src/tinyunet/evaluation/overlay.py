"""The image with its labels over it, and where a prediction and the truth differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, Shaped, UInt8

from tinyunet.evaluation.checks import IGNORE


class DifferenceColors(NamedTuple):
    """The colours of `difference`, which stay apart in each of the three colour blindnesses.

    They were picked from the palettes of Okabe and Ito (2008), of Tol (2021) and of IBM's design language, its violet
    made lighter for dark images, so that any two differ by more than 30 in CIE 1976 when seen with protanopia,
    deuteranopia, tritanopia or none of them, and that none but `right` is among the colours classes get by default.

    Attributes:
        missed: The truth holds a class there, the prediction the background.
        invented: The prediction holds a class there, the truth the background.
        right: Both hold the same class other than the background.
        confused: Both hold a class, but not the same one.
        ignored: Takes no part (label -1).
    """

    missed: str = "#cc3311"
    invented: str = "#8c7bff"
    right: str = "#009e73"
    confused: str = "#ffb000"
    ignored: str = "#dddddd"


DIFFERENCE_COLORS = DifferenceColors()
_OBJECT_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#9ad0a0", "#a48cf4")
_DARK, _INSTEAD_OF_BLACK = 64, "#e69f00"


def outline(labels: Integer[np.ndarray, "*space"]) -> Bool[np.ndarray, "*space"]:
    """The pixels that touch another label: those with a neighbour, along an axis, whose label differs.

    Both sides of a border belong to it, and the edge of the image is no border.

    Args:
        labels: Class or object ids, of any number of dimensions.

    Returns:
        True on the borders.

    Example:
        >>> outline(np.array([[0, 0, 1, 1, 1]])).astype(int)
        array([[0, 1, 1, 0, 0]])
    """
    border = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        along, marks = np.moveaxis(labels, axis, 0), np.moveaxis(border, axis, 0)
        differs = along[1:] != along[:-1]
        marks[1:] |= differs
        marks[:-1] |= differs
    return border


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    labels: Integer[np.ndarray, "h w"],
    colors: Sequence[str],
    *,
    opacity: float = 0.4,
    background: int = 0,
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with each class tinted in its colour and drawn round with a full line.

        shown = (1 - opacity) * image + opacity * color

    Args:
        image: What to draw on, from `to_display`.
        labels: Class ids, or -1 for pixels that take no part, which are tinted grey.
        colors: One `#rrggbb` for each class.
        opacity: Strength of the tint in [0, 1].
        background: The class that is left as it is.

    Returns:
        The picture; `image` is unchanged.

    Raises:
        ValueError: Sizes differ, a label has no colour, a colour is not `#rrggbb`, or the opacity is out of range.

    Example:
        >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0, 1]]), ["#000000", "#ff8000"], opacity=0.5)[0, 0]
        array([0, 0, 0], dtype=uint8)
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"`opacity` must be in [0, 1], got {opacity}.")
    _check_sizes(image, labels=labels)
    _check_labels(labels, len(colors))
    # The last row is where the label -1 lands.
    palette = np.array([_rgb(color) for color in (*colors, DIFFERENCE_COLORS.ignored)], np.float32)
    strength = np.where(outline(labels), np.float32(1), np.float32(opacity))
    strength = np.where(labels == IGNORE, np.float32(opacity), strength)
    strength = np.where(labels == background, np.float32(0), strength)
    return _blend(image, palette[labels], strength)


def tints(colors: Sequence[str], *, background: int = 0) -> tuple[str, ...]:
    """The colours that classes are tinted in: their own, but orange where that is too dark to be seen on an image.

    Args:
        colors: One `#rrggbb` for each class.
        background: The class that is left untinted, whose colour stays.

    Returns:
        As many colours.

    Raises:
        ValueError: A colour is not `#rrggbb`.

    Example:
        >>> tints(["#000000", "#56b4e9"], background=1)
        ('#e69f00', '#56b4e9')
    """
    return tuple(
        _INSTEAD_OF_BLACK if k != background and max(_rgb(color)) < _DARK else color for k, color in enumerate(colors)
    )


def object_colors(count: int) -> tuple[str, ...]:
    """Black for none, then a colour for each object: eight in turn, so that neighbours mostly differ.

    Args:
        count: Number of objects, at least 0.

    Example:
        >>> object_colors(2)
        ('#000000', '#e69f00', '#56b4e9')
    """
    return ("#000000", *(_OBJECT_COLORS[i % len(_OBJECT_COLORS)] for i in range(count)))


def difference(
    image: UInt8[np.ndarray, "h w 3"],
    prediction: Integer[np.ndarray, "h w"],
    target: Integer[np.ndarray, "h w"],
    *,
    background: int = 0,
) -> UInt8[np.ndarray, "h w 3"]:
    """Where a prediction is right and where it is not, over the image in dim grey.

    The colours are those of `DIFFERENCE_COLORS`; what both call background shows the image alone. Errors are painted
    strongly and what is right only faintly, since errors are what one looks for.

    Args:
        image: What to draw on, from `to_display`.
        prediction: Class ids.
        target: The true class ids, or -1 for pixels that take no part.
        background: The class that counts as nothing found. For thin borders between regions it is the class of the
            regions, so that the picture shows missed and invented borders.

    Returns:
        The picture; `image` is unchanged.

    Raises:
        ValueError: Sizes differ.

    Example:
        >>> black = np.zeros((1, 3, 3), np.uint8)
        >>> difference(black, np.array([[0, 1, 1]]), np.array([[1, 0, -1]]))[0].tolist()
        [[184, 46, 15], [126, 111, 230], [155, 155, 155]]
    """
    _check_sizes(image, prediction=prediction, target=target)
    found, there = prediction != background, target != background
    taking_part = target != IGNORE
    kinds = (  # in the order of DIFFERENCE_COLORS, each with the strength of its paint
        (there & ~found, 0.9),
        (found & ~there, 0.9),
        (found & there & (prediction == target), 0.5),
        (found & there & (prediction != target), 0.9),
        (None, 0.7),
    )
    paint = np.zeros(image.shape, np.float32)
    strength = np.zeros(target.shape, np.float32)
    for color, (where, amount) in zip(DIFFERENCE_COLORS, kinds, strict=True):
        where = ~taking_part if where is None else where & taking_part
        paint[where], strength[where] = _rgb(color), amount
    # Rec. 601 luma, dimmed, so that no colour of the image passes for one of ours.
    grey = 0.6 * (image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))
    return _blend(np.repeat(grey[:, :, None], 3, axis=2), paint, strength)


def _blend(
    base: Shaped[np.ndarray, "h w 3"], paint: Shaped[np.ndarray, "h w 3"], strength: Shaped[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    amount = strength[:, :, None]
    return np.round((1 - amount) * base.astype(np.float32) + amount * paint).astype(np.uint8)


def _rgb(color: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes.fromhex(color.removeprefix("#"))
    except ValueError:
        raise ValueError(f"A colour must look like '#e69f00', got {color!r}.") from None
    return red, green, blue


def _check_sizes(image: UInt8[np.ndarray, "h w 3"], **labels: np.ndarray) -> None:
    for name, values in labels.items():
        if values.shape != image.shape[:2]:
            raise ValueError(f"`{name}` must be of the image's size {image.shape[:2]}, got {values.shape}.")


def _check_labels(labels: Integer[np.ndarray, "h w"], classes: int) -> None:
    if labels.min() < IGNORE or labels.max() >= classes:
        wrong = int(labels.max() if labels.max() >= classes else labels.min())
        raise ValueError(f"`labels` must be in [-1, {classes - 1}], one colour for each class, got {wrong}.")
