"""Whether a probability means what it says: of the pixels given 0.8, are eight in ten of the class?"""

import numpy as np
from jaxtyping import Float

from tinyunet.evaluation.threshold import EDGES, ProbabilityHistogram

BINS = 10
"""Groups of equal width in which probabilities are compared with frequencies."""


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
