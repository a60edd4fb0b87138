"""Whether a probability means what it says: of the pixels given 0.8, are eight in ten of the class?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from tinyunet.evaluation.checks import IGNORE
from tinyunet.evaluation.temperature import FLOOR
from tinyunet.evaluation.threshold import EDGES, ProbabilityHistogram, probability_histogram

BINS = 10
"""Groups of equal width in which probabilities are compared with frequencies."""


@dataclass(frozen=True, kw_only=True)
class CalibrationScores:
    """Whether probabilities mean what they say, over all images.

    Args:
        error: Expected calibration error, see `calibration_error`.
        loss: Mean of -log of the true class's probability, in nats; `nan` without pixels.
        reliability: For each group of probabilities its mean, how often they were right, and its share of the pixels.
    """

    error: float
    loss: float
    reliability: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class TemperatureScores:
    """What temperature scaling does to probabilities.

    Args:
        temperature: What they were scaled by; 1 changes nothing.
        before: As the network says them.
        after: Scaled, which is what all other scores are about.
    """

    temperature: float
    before: CalibrationScores
    after: CalibrationScores


@dataclass(frozen=True)
class CalibrationCounts:
    """What calibration is scored by; `+` merges two images.

    Args:
        histogram: How often each probability was given, and was right.
        loss: Sum of -log of the true class's probability.
    """

    histogram: ProbabilityHistogram
    loss: float

    def __add__(self, other: "CalibrationCounts") -> "CalibrationCounts":
        return CalibrationCounts(self.histogram + other.histogram, self.loss + other.loss)


def calibration_counts(
    probabilities: Float[np.ndarray, "*space k"], target: Integer[np.ndarray, "*space"], *, positive: int | None
) -> CalibrationCounts:
    """Counts the probabilities of one image, leaving out pixels whose truth is `IGNORE`.

    Args:
        probabilities: Of all classes.
        target: True class ids.
        positive: The class whose probability is compared with how often it is true; None: that of each pixel's most
            probable class is compared with how often the pixel is right.

    Example:
        >>> probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]])
        >>> counts = calibration_counts(probabilities, np.array([0, 2]), positive=None)
        >>> reliability(counts.histogram)[:, :2].round(2).tolist(), round(counts.loss, 3)
        ([[0.5, 0.0], [0.7, 1.0]], 1.561)
    """
    known = target != IGNORE
    values, labels = probabilities[known], target[known].astype(np.int64)
    true = np.take_along_axis(values, labels[:, np.newaxis], axis=-1)
    loss = -np.sum(np.log(np.maximum(true, FLOOR)), dtype=np.float64)
    if positive is None:
        right = (np.argmax(values, axis=-1) == labels).astype(np.int64)
        return CalibrationCounts(probability_histogram(values.max(axis=-1, initial=0), right, positive=1), float(loss))
    return CalibrationCounts(probability_histogram(values[:, positive], labels, positive=positive), float(loss))


def calibration_scores(counts: CalibrationCounts) -> CalibrationScores:
    """The scores of all images that were counted."""
    pixels = int((counts.histogram.inside + counts.histogram.outside).sum())
    return CalibrationScores(
        error=calibration_error(counts.histogram),
        loss=counts.loss / pixels if pixels else float("nan"),
        reliability=tuple(tuple(row) for row in reliability(counts.histogram).tolist()),
    )


def reliability(histogram: ProbabilityHistogram) -> Float[np.ndarray, "n 3"]:
    """Mean probability, frequency of the positive class and share of the pixels, in each group that holds any.

    The probability of a pixel is taken to be the middle of its bin in the histogram, off by at most 0.0005.

    Args:
        histogram: The counts, of any number of images.

    Returns:
        Rows by rising probability; none where there is no pixel.

    Example:
        >>> from tinyunet.evaluation.threshold import probability_histogram
        >>> probability, target = np.array([0.805, 0.805, 0.105, 0.105]), np.array([1, 0, 0, 0])
        >>> histogram = probability_histogram(probability, target, positive=1)
        >>> reliability(histogram).round(3).tolist()
        [[0.106, 0.0, 0.5], [0.806, 0.5, 0.5]]

    References:
        Guo et al. (2017), On calibration of modern neural networks, section 2 (reliability diagrams).
    """
    bounds = np.concatenate([[0.0], EDGES, [1.0]])
    middle = (bounds[1:] + bounds[:-1]) / 2
    group = np.minimum((middle * BINS).astype(int), BINS - 1)
    pixels = histogram.inside + histogram.outside
    count, positive, total = (
        np.bincount(group, weights=weights, minlength=BINS) for weights in (pixels, histogram.inside, pixels * middle)
    )
    held = count > 0
    return np.stack([total[held] / count[held], positive[held] / count[held], count[held] / max(1, pixels.sum())], -1)


def calibration_error(histogram: ProbabilityHistogram) -> float:
    """Expected calibration error: how far probabilities are from frequencies, on average over the pixels.

        ECE = sum over groups g of (n_g / n) |frequency_g - probability_g|

    Returns:
        0 where every probability is right, at most 1; `nan` without pixels.

    Example:
        >>> from tinyunet.evaluation.threshold import probability_histogram
        >>> probability, target = np.array([0.805, 0.805, 0.105, 0.105]), np.array([1, 0, 0, 0])
        >>> histogram = probability_histogram(probability, target, positive=1)
        >>> round(calibration_error(histogram), 3)
        0.206

    References:
        Naeini et al. (2015), Obtaining well calibrated probabilities using Bayesian binning, section "Evaluation".
    """
    groups = reliability(histogram)
    return float(np.sum(groups[:, 2] * np.abs(groups[:, 1] - groups[:, 0]))) if len(groups) else float("nan")
