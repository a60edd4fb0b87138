"""How well two partitions of an image into regions agree: adapted Rand score and variation of information.

Both are made of three lists of sizes: the predicted regions, the true ones, and where they overlap.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer

from tinyunet.evaluation.checks import check_fits


@dataclass(frozen=True)
class RegionOverlap:
    """Sizes in pixels of regions and of their overlaps, over the pixels inside the true regions.

    Args:
        joint: `n_ij`, the overlap of predicted region `i` and true region `j`, where there is any.
        prediction: `n_i`, the predicted regions.
        target: `n_j`, the true regions.
    """

    joint: Int64[np.ndarray, " pairs"]
    prediction: Int64[np.ndarray, " regions"]
    target: Int64[np.ndarray, " true_regions"]


def region_overlap(prediction: Integer[np.ndarray, "..."], target: Integer[np.ndarray, "..."]) -> RegionOverlap:
    """Measures how predicted and true regions overlap; pixels whose true region is 0 take no part.

    Args:
        prediction: Region ids, 0 or more. Id 0, the predicted boundary, is a region like any other: inside a true
            region it costs as much as a region of its size would.
        target: Region ids, 0 or more, in the same shape.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> region_overlap(np.array([1, 1, 2, 2]), np.array([1, 0, 1, 2]))
        RegionOverlap(joint=array([1, 1, 1]), prediction=array([1, 2]), target=array([2, 1]))
    """
    check_fits("prediction", prediction, target)
    inside = target > 0
    predicted, true = prediction[inside].astype(np.int64), target[inside].astype(np.int64)
    # One number for each pair of regions that occurs: a table of all pairs could be larger than the image.
    _, joint = np.unique(predicted * (true.max(initial=0) + 1) + true, return_counts=True)
    return RegionOverlap(joint=joint.astype(np.int64), prediction=_sizes(predicted), target=_sizes(true))


def adapted_rand(overlap: RegionOverlap) -> tuple[float, float, float]:
    """Adapted Rand score: does the prediction join the same pairs of pixels into one region as the truth?

        pairs(n)  = sum n (n - 1)
        precision = pairs(n_ij) / pairs(n_i)    of the pairs that the prediction joins, those that belong together
        recall    = pairs(n_ij) / pairs(n_j)    of the pairs that belong together, those that the prediction joins
        F         = 2 pairs(n_ij) / (pairs(n_i) + pairs(n_j))

    F is 1 minus `skimage.metrics.adapted_rand_error`. Precision and recall are what their names say; scikit-image
    returns them the other way round (its issue 6485).

    Returns:
        F, precision and recall, each in [0, 1]; `nan` where there are no pairs to divide by.

    Example:
        >>> f, precision, recall = adapted_rand(region_overlap(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])))
        >>> round(f, 3), precision, round(recall, 3)
        (0.5, 1.0, 0.333)

    References:
        Arganda-Carreras et al. (2015), Crowdsourcing the creation of image segmentation algorithms for connectomics.
    """
    both, predicted, true = _pairs(overlap.joint), _pairs(overlap.prediction), _pairs(overlap.target)
    return _divide(2 * both, predicted + true), _divide(both, predicted), _divide(both, true)


def variation_of_information(overlap: RegionOverlap) -> tuple[float, float]:
    """The bits that one partition leaves open about the other, for a pixel drawn at random.

        split = H(prediction | target) = H(n_ij) - H(n_j)
        merge = H(target | prediction) = H(n_ij) - H(n_i)
        H(n)  = -sum p log2 p,   p = n / sum n

    Returns:
        Split and merge, 0 or more, 0 where the regions are the same; `nan` where there is no true region.

    Example:
        >>> variation_of_information(region_overlap(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])))
        (1.0, 0.0)

    References:
        Meilă (2007), Comparing clusterings: an information based distance.
    """
    joint = _entropy(overlap.joint)
    # Equal entropies, summed in another order, can differ by a rounding error below zero. np.maximum keeps nan.
    split = np.maximum(0.0, joint - _entropy(overlap.target))
    merge = np.maximum(0.0, joint - _entropy(overlap.prediction))
    return float(split), float(merge)


def _sizes(regions: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " regions"]:
    """Pixels of each region that has any."""
    sizes = np.bincount(regions)
    return sizes[sizes > 0].astype(np.int64)


def _pairs(sizes: Int64[np.ndarray, " n"]) -> int:
    """Ordered pairs of different pixels in one region; int64 holds them up to 3e9 pixels."""
    return int(np.sum(sizes * (sizes - 1)))


def _divide(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _entropy(sizes: Int64[np.ndarray, " n"]) -> float:
    """H in bits; `nan` of nothing."""
    if sizes.size == 0:
        return float("nan")
    p = sizes / sizes.sum()
    return float(-np.sum(p * np.log2(p)))
