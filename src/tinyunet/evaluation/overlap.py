"""How well predicted labels cover the true ones: counts of pixels that merge, and the ratios made of them.

Counts are kept apart from scores on purpose. Scores of images cannot be added up into the score of all their pixels;
counts can: `sum` them over tiles, images or machines, and divide once at the end.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer

from tinyunet.evaluation.checks import IGNORE, check_fits, check_labels


@dataclass(frozen=True)
class OverlapCounts:
    """True and false positives and false negatives of each class, in pixels; `+` merges those of two images.

    Args:
        tp: Pixels of class `k` that are predicted as `k`.
        fp: Pixels of another class that are predicted as `k`.
        fn: Pixels of class `k` that are predicted as another class.

    Example:
        >>> one = OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([0, 1]))
        >>> one + one
        OverlapCounts(tp=array([6, 0]), fp=array([2, 0]), fn=array([0, 2]))
        >>> one.pixels, one.correct
        (4, 3)
    """

    tp: Int64[np.ndarray, " k"]
    fp: Int64[np.ndarray, " k"]
    fn: Int64[np.ndarray, " k"]

    def __add__(self, other: "OverlapCounts") -> "OverlapCounts":
        if self.tp.shape != other.tp.shape:
            raise ValueError(f"Counts of {self.tp.size} classes cannot be added to counts of {other.tp.size}.")
        return OverlapCounts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn)

    @property
    def pixels(self) -> int:
        """Pixels that took part: each belongs to one true class, so it is that class's `tp` or `fn`."""
        return int(self.tp.sum() + self.fn.sum())

    @property
    def correct(self) -> int:
        """Pixels whose predicted class is the true one."""
        return int(self.tp.sum())


def overlap_counts(
    prediction: Integer[np.ndarray, "..."], target: Integer[np.ndarray, "..."], *, num_classes: int
) -> OverlapCounts:
    """Counts the agreement of one image's labels with the truth, leaving out pixels whose truth is `IGNORE`.

    Args:
        prediction: Predicted class ids in [0, num_classes), in any number of dimensions. What is predicted on an
            ignored pixel does not matter.
        target: True class ids in [0, num_classes), or `IGNORE`, in the same shape.
        num_classes: `k`, at least 1.

    Raises:
        ValueError: The shapes differ, or a label lies outside the classes.

    Example:
        >>> overlap_counts(np.array([0, 1, 1, 0]), np.array([0, 1, 0, -1]), num_classes=2)
        OverlapCounts(tp=array([1, 1]), fp=array([0, 1]), fn=array([1, 0]))
    """
    check_fits("prediction", prediction, target)
    taking_part = target != IGNORE
    predicted, true = prediction[taking_part], target[taking_part]
    check_labels("prediction", predicted, num_classes=num_classes)
    check_labels("target", true, num_classes=num_classes)

    tp = _pixels_per_class(true[predicted == true], num_classes)
    return OverlapCounts(
        tp=tp,
        fp=_pixels_per_class(predicted, num_classes) - tp,
        fn=_pixels_per_class(true, num_classes) - tp,
    )


def dice_score(counts: OverlapCounts) -> Float[np.ndarray, " k"]:
    """Dice score of each class, which is also its F1 score.

        dice_k = 2 tp_k / (2 tp_k + fp_k + fn_k)

    A class that neither the prediction nor the truth contains has no score: `nan`, which the means skip and the
    report counts.

    Args:
        counts: True and false positives and false negatives in pixels, summed over any number of images.

    Returns:
        Scores in [0, 1] or `nan`, one per class.

    Example:
        >>> dice_score(OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([1, 0])))
        array([0.75,  nan])

    References:
        Dice (1945), Measures of the amount of ecologic association between species.
    """
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou_score(counts: OverlapCounts) -> Float[np.ndarray, " k"]:
    """Intersection over union of each class, the Jaccard index.

        iou_k = tp_k / (tp_k + fp_k + fn_k) = dice_k / (2 - dice_k)

    `nan` for a class that neither the prediction nor the truth contains.

    Example:
        >>> iou_score(OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([1, 0])))
        array([0.6, nan])

    References:
        Jaccard (1912), The distribution of the flora in the alpine zone.
    """
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def precision(counts: OverlapCounts) -> Float[np.ndarray, " k"]:
    """The part of what was predicted as class `k` that is class `k`: tp_k / (tp_k + fp_k).

    `nan` for a class that was never predicted.

    Example:
        >>> precision(OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([0, 1])))
        array([0.75,  nan])
    """
    return _ratio(counts.tp, counts.tp + counts.fp)


def recall(counts: OverlapCounts) -> Float[np.ndarray, " k"]:
    """The part of class `k` that was predicted as class `k`: tp_k / (tp_k + fn_k).

    `nan` for a class that the truth does not contain.

    Example:
        >>> recall(OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([0, 1])))
        array([1., 0.])
    """
    return _ratio(counts.tp, counts.tp + counts.fn)


def pixel_accuracy(counts: OverlapCounts) -> float:
    """The part of all pixels whose class is right, in [0, 1]; `nan` where no pixel takes part.

    It says little where one class fills most of the image: predict that class everywhere and the accuracy is high.

    Example:
        >>> pixel_accuracy(OverlapCounts(tp=np.array([3, 0]), fp=np.array([1, 0]), fn=np.array([0, 1])))
        0.75
    """
    return counts.correct / counts.pixels if counts.pixels else float("nan")


def skipping_mean(scores: Float[np.ndarray, " n"]) -> float:
    """The mean of the scores that exist; `nan` if none does.

    Example:
        >>> skipping_mean(np.array([0.5, np.nan, 1.0]))
        0.75
    """
    present = scores[~np.isnan(scores)]
    return float(present.mean()) if present.size else float("nan")


def _pixels_per_class(labels: Integer[np.ndarray, " n"], num_classes: int) -> Int64[np.ndarray, " k"]:
    return np.bincount(labels, minlength=num_classes).astype(np.int64)


def _ratio(part: Int64[np.ndarray, " k"], whole: Int64[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """The quotient, or `nan` where there is nothing to divide."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
