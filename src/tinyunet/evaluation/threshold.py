"""How well the probability of one class separates its pixels from the others, at one threshold and over all of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64, Integer

from tinyunet.evaluation.checks import IGNORE, check_fits, check_probabilities

STEPS = 1000
"""Thresholds come in thousandths."""

_TAIL = 1e-3 * np.logspace(0, -6, 300, endpoint=False)[:0:-1]
EDGES = np.concatenate([_TAIL, np.arange(1, STEPS) / STEPS, 1 - _TAIL[::-1]])
"""Inner edges of the bins. One thousand bins of equal width would be the natural choice, but a confident network puts
most pixels into the first and the last of them, and pixels that share a bin cannot be ranked: so these two are cut
further, into 50 bins for each power of ten."""


@dataclass(frozen=True)
class ProbabilityHistogram:
    """How often each probability was given to pixels inside and outside the positive class; `+` merges two images.

    Args:
        inside: Pixels of the positive class in each bin; bin `i` holds `EDGES[i - 1] <= probability < EDGES[i]`.
        outside: Pixels of the other classes in each bin.
    """

    inside: Int64[np.ndarray, " bins"]
    outside: Int64[np.ndarray, " bins"]

    def __add__(self, other: "ProbabilityHistogram") -> "ProbabilityHistogram":
        return ProbabilityHistogram(inside=self.inside + other.inside, outside=self.outside + other.outside)


def probability_histogram(
    probability: Float[np.ndarray, "..."], target: Integer[np.ndarray, "..."], *, positive: int
) -> ProbabilityHistogram:
    """Counts the probabilities of one image, leaving out pixels whose truth is `IGNORE`.

    Args:
        probability: Probability of the positive class, in [0, 1], in any number of dimensions.
        target: True class ids, in the same shape.
        positive: The positive class's id.

    Raises:
        ValueError: The shapes differ, or a probability is outside [0, 1] or not finite.

    Example:
        >>> histogram = probability_histogram(np.array([0.9, 0.2, 0.4]), np.array([1, 0, -1]), positive=1)
        >>> int(histogram.inside.sum()), int(histogram.outside.sum())
        (1, 1)
    """
    check_fits("probability", probability, target)
    taking_part = target != IGNORE
    values, is_positive = probability[taking_part], target[taking_part] == positive
    check_probabilities("probability", values)
    return ProbabilityHistogram(inside=_count(values, is_positive), outside=_count(values, ~is_positive))


def roc_auc(histogram: ProbabilityHistogram) -> float:
    """Area under the receiver operating characteristic, by the trapezoidal rule over the bins.

        auc = P(probability of a pixel inside > that of a pixel outside) + 1/2 P(they are equal)

    where pixels in one bin count as equal. What that leaves open is half of the pairs that share a bin: under 1e-3 for
    the output of a trained network.

    Returns:
        1 for a perfect ranking, 0.5 for chance, 0 for a perfectly wrong one; `nan` where the positive class or the rest
        is missing.

    Example:
        >>> roc_auc(probability_histogram(np.array([0.9, 0.4, 0.6, 0.1]), np.array([1, 1, 0, 0]), positive=1))
        0.75

    References:
        Hanley and McNeil (1982), The meaning and use of the area under a receiver operating characteristic (ROC) curve.
    """
    pairs = float(histogram.inside.sum()) * float(histogram.outside.sum())
    if pairs == 0:
        return float("nan")
    # Each term is at most the number of pairs: floating point, because int64 ends at 3e9 pixels squared.
    below = np.cumsum(histogram.outside) - histogram.outside
    return float(np.sum(histogram.inside * (below + 0.5 * histogram.outside)) / pairs)


def f1_score(histogram: ProbabilityHistogram, *, threshold: float = 0.5) -> float:
    """F1 score of the positive class, which is its Dice score, where it is predicted from a threshold upwards.

        f1(t) = 2 tp / (2 tp + fp + fn),   predicted positive: probability >= t

    Args:
        histogram: The counts, of any number of images.
        threshold: `t`, a whole number of thousandths between 0 and 1, both excluded.

    Returns:
        A score in [0, 1]; `nan` where the class is neither predicted nor true.

    Raises:
        ValueError: The threshold is not on the histogram's grid.

    Example:
        >>> histogram = probability_histogram(np.array([0.9, 0.4, 0.6, 0.1]), np.array([1, 1, 0, 0]), positive=1)
        >>> f1_score(histogram), round(f1_score(histogram, threshold=0.4), 3)
        (0.5, 0.8)
    """
    steps = round(threshold * STEPS)
    if not 0 < steps < STEPS or abs(threshold * STEPS - steps) > 1e-6:
        raise ValueError(f"`threshold` must be a whole number of thousandths in (0, 1), got {threshold}.")
    return float(_f1_at_edges(histogram)[np.searchsorted(EDGES, steps / STEPS)])


def best_f1(histogram: ProbabilityHistogram) -> tuple[float, float]:
    """The highest F1 score that any threshold reaches, and that threshold.

    Of thresholds that score the same, the one nearest to 0.5. A threshold chosen on the pixels it is scored on
    flatters: read it as what better calibration could reach.

    Returns:
        The score and the threshold; both `nan` where the truth holds no pixel of the positive class.

    Example:
        >>> best_f1(probability_histogram(np.array([0.3, 0.2, 0.1]), np.array([1, 1, 0]), positive=1))
        (1.0, 0.2)
    """
    if not histogram.inside.any():
        return float("nan"), float("nan")
    scores = _f1_at_edges(histogram)
    best = np.flatnonzero(scores == scores.max())
    nearest = best[np.argmin(np.abs(EDGES[best] - 0.5))]
    return float(scores[nearest]), float(EDGES[nearest])


def _count(values: Float[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " bins"]:
    # In float64, so that a float32 probability is compared with the edge itself and not with its nearest float32.
    bins = np.searchsorted(EDGES, values[chosen].astype(np.float64), side="right")
    return np.bincount(bins, minlength=EDGES.size + 1).astype(np.int64)


def _f1_at_edges(histogram: ProbabilityHistogram) -> Float[np.ndarray, " edges"]:
    """F1 with each inner edge as the threshold: everything in the bins above it is predicted positive."""
    tp = np.cumsum(histogram.inside[::-1])[::-1][1:]
    fp = np.cumsum(histogram.outside[::-1])[::-1][1:]
    whole = tp + fp + histogram.inside.sum()  # 2 tp + fp + fn, as tp + fn is every pixel of the class
    return np.divide(2 * tp, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
