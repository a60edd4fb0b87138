"""How well a boundary class parts an image into its regions, at one threshold and over many.

A pixel score hardly notices a gap of three pixels in a membrane, yet it makes two cells one. So the image is cut
along the predicted boundary, and the regions that come out are compared with the true ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Integer
from skimage.measure import label

from tinyunet.evaluation.checks import IGNORE, check_fits
from tinyunet.evaluation.overlap import skipping_mean
from tinyunet.evaluation.regions import adapted_rand, region_overlap, variation_of_information

THRESHOLDS: tuple[float, ...] = tuple(step / 20 for step in range(1, 20))
"""The boundary probabilities at which regions are scored: 0.05, 0.10, ..., 0.95."""

HALF: int = THRESHOLDS.index(0.5)
"""Where 0.5 is in `THRESHOLDS`."""


@dataclass(frozen=True)
class RegionScores:
    """Scores of the regions at one threshold: of one image, or the mean of several.

    Args:
        threshold: Pixels with at least this boundary probability are boundary.
        rand_f: Adapted Rand score in [0, 1]: 1 minus the adapted Rand error. `nan`, like the others, if there is no
            true region.
        rand_precision: Falls when regions merge that are apart in truth.
        rand_recall: Falls when true regions are split.
        voi_split: Bits, 0 or more; grows when true regions are split.
        voi_merge: Bits, 0 or more; grows when regions merge that are apart in truth.
    """

    threshold: float
    rand_f: float
    rand_precision: float
    rand_recall: float
    voi_split: float
    voi_merge: float

    @property
    def voi(self) -> float:
        """Variation of information: the bits of both kinds of error together."""
        return self.voi_split + self.voi_merge


def cell_regions(interior: Bool[np.ndarray, "..."]) -> Integer[np.ndarray, "..."]:
    """Numbers the connected regions of an image; pixels touch along edges, not at corners (4-connected in 2-D).

    Args:
        interior: The pixels that are not boundary.

    Returns:
        Region ids from 1; 0 on the boundary.

    Example:
        >>> cell_regions(np.array([[True, True, False, True], [False, False, True, False]]))
        array([[1, 1, 0, 2],
               [0, 0, 3, 0]], dtype=int32)
    """
    return label(interior, connectivity=1)


def region_scores(
    probability: Float[np.ndarray, "..."],
    target: Integer[np.ndarray, "..."],
    *,
    boundary: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[RegionScores, ...]:
    """Scores the regions of one image at several thresholds of its boundary probability.

    The true regions are the connected pixels of all other classes. The true boundary takes no part in the scores, as
    its width is a matter of taste; ignored pixels take no part either, and cut regions apart in both partitions.

    Args:
        probability: Probability of the boundary class, in [0, 1].
        target: True class ids or `IGNORE`, in the same shape.
        boundary: Id of the boundary class.
        thresholds: Pixels with `probability < threshold` belong to a region.

    Returns:
        The scores at each threshold, in their order.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> (scores,) = region_scores(
        ...     np.array([[0.1, 0.6, 0.2, 0.1]]), np.array([[1, 0, 1, 1]]), boundary=0, thresholds=[0.5]
        ... )
        >>> scores.rand_f, scores.voi
        (1.0, 0.0)
    """
    check_fits("probability", probability, target)
    taking_part = target != IGNORE
    true_regions = cell_regions((target != boundary) & taking_part)
    scores = []
    for threshold in thresholds:
        overlap = region_overlap(cell_regions((probability < threshold) & taking_part), true_regions)
        scores.append(RegionScores(threshold, *adapted_rand(overlap), *variation_of_information(overlap)))
    return tuple(scores)


def mean_region_scores(images: Sequence[Sequence[RegionScores]]) -> tuple[RegionScores, ...]:
    """The mean over images at each threshold; an image without a score (`nan`) is left out of that score's mean.

    Args:
        images: The scores of each image, at the same thresholds.

    Raises:
        ValueError: There are no images.

    Example:
        >>> perfect = region_scores(np.array([0.1, 0.9, 0.1]), np.array([1, 0, 1]), boundary=0, thresholds=[0.5])
        >>> merged = region_scores(np.array([0.1, 0.1, 0.1]), np.array([1, 0, 1]), boundary=0, thresholds=[0.5])
        >>> mean_region_scores([perfect, merged])[0].voi_merge
        0.5
    """
    if not images:
        raise ValueError("`images` must hold the scores of at least one image, got none.")
    return tuple(_mean(scores) for scores in zip(*images, strict=True))


def best_common_threshold(means: Sequence[RegionScores]) -> int:
    """Where the mean adapted Rand score is best; among equals, and where no image has a score, nearest to 0.5.

    One threshold serves all images, as it would in use: choosing it image by image would need each image's truth.

    Args:
        means: The mean scores at each threshold.

    Returns:
        The position in `means`.

    Example:
        >>> target, probability = np.array([1, 1, 0, 1, 1]), np.array([0.1, 0.1, 0.4, 0.1, 0.1])
        >>> scores = region_scores(probability, target, boundary=0, thresholds=[0.3, 0.7])
        >>> best_common_threshold(scores)
        0
    """

    def rank(index: int) -> tuple[float, float]:
        scores = means[index]
        return (-1.0 if np.isnan(scores.rand_f) else scores.rand_f, -abs(scores.threshold - 0.5))

    return max(range(len(means)), key=rank)


def _mean(images: Sequence[RegionScores]) -> RegionScores:
    """The mean of each score at the one threshold of all images, skipping `nan`."""
    names = [field.name for field in fields(RegionScores) if field.name != "threshold"]
    means = {name: skipping_mean(np.array([getattr(scores, name) for scores in images])) for name in names}
    return RegionScores(threshold=images[0].threshold, **means)
