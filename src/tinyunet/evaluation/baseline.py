"""The score that needs no learning: without it beside a network's, the network's says little."""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int32, Integer, Shaped
from skimage.filters import threshold_otsu

from tinyunet.evaluation.overlap import OverlapCounts, dice_score, overlap_counts

OTSU = "Otsu's threshold"
"""What the report calls this baseline."""

Polarity = Literal["bright", "dark"]
"""Which side of the threshold is the positive class."""


def otsu_labels(image: Shaped[np.ndarray, "*space c"], *, polarity: str, positive: int = 1) -> Int32[np.ndarray, "..."]:
    """Labels of two classes by one threshold on the image's brightness, the mean over its channels.

    Otsu's threshold is the one that maximises the variance between the two sides,

        t* = argmax_t  w_0(t) w_1(t) (mu_0(t) - mu_1(t))^2

    where `w` is the part of the pixels on each side and `mu` their mean brightness. An image of one value has no two
    sides: every pixel is negative. The threshold is the middle of one of 256 bins between the darkest and the brightest
    pixel, as scikit-image finds it.

    Args:
        image: Any number of channels, in any numeric type, without nan.
        polarity: "bright" where the positive class lies above the threshold, "dark" where it lies at or below; see
            `choose_polarity`.
        positive: Id of the positive class, 0 or 1; the other is the negative one.

    Returns:
        Class ids 0 and 1, in the image's shape without its channels.

    Raises:
        ValueError: An option outside its choices.

    Example:
        >>> otsu_labels(np.array([[[10], [10], [200]]], dtype=np.uint8), polarity="bright")
        array([[0, 0, 1]], dtype=int32)

    References:
        Otsu (1979), A threshold selection method from gray-level histograms.
    """
    if polarity not in get_args(Polarity):
        raise ValueError(f"`polarity` must be one of {', '.join(get_args(Polarity))}, got {polarity!r}.")
    if positive not in (0, 1):
        raise ValueError(f"`positive` must be 0 or 1, got {positive}.")
    brightness = image.mean(axis=-1, dtype=np.float64)
    if _is_constant(brightness):
        return np.full(brightness.shape, 1 - positive, np.int32)
    bright = brightness > threshold_otsu(brightness.ravel())  # flat: the shape of a volume looks like RGB to it
    return np.where(bright == (polarity == "bright"), positive, 1 - positive).astype(np.int32)


def choose_polarity(
    pairs: Iterable[tuple[Shaped[np.ndarray, "..."], Integer[np.ndarray, "..."]]], *, positive: int = 1
) -> Polarity:
    """Whether the positive class is the bright or the dark side, by the Dice score over all pixels of some images.

    Give it training images: chosen on the test images, the baseline would have seen the answers.

    Args:
        pairs: Images and their true labels (0, 1 or `IGNORE`), read one at a time: they may be loaded on demand.
        positive: Id of the positive class, 0 or 1.

    Returns:
        The better one; "bright" where both score the same or neither has a score.

    Raises:
        ValueError: There are no pairs, or one of them does not fit together.

    Example:
        >>> image = np.array([[[10], [10], [200]]], dtype=np.uint8)
        >>> choose_polarity([(image, np.array([[1, 1, 0]]))])
        'dark'
    """
    pooled: dict[Polarity, OverlapCounts] = {}
    for image, target in pairs:
        for polarity in get_args(Polarity):
            prediction = otsu_labels(image, polarity=polarity, positive=positive)
            counts = overlap_counts(prediction, target, num_classes=2)
            pooled[polarity] = pooled[polarity] + counts if polarity in pooled else counts
    if not pooled:
        raise ValueError("`pairs` must hold at least one image with its labels, got none.")
    dice = {polarity: float(dice_score(counts)[positive]) for polarity, counts in pooled.items()}
    return "dark" if dice["dark"] > dice["bright"] else "bright"


def _is_constant(brightness: Float[np.ndarray, "..."]) -> bool:
    """One value up to rounding, or no pixel at all: a histogram of it would have no width."""
    return brightness.size == 0 or bool(np.ptp(brightness) <= 1e-9 * np.abs(brightness).max())
