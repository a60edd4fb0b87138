"""How well predicted objects are the true ones: counts that merge over images, and the scores made of them.

A predicted and a true object match at a threshold t where their intersection over union is at least t. From t = 0.5 on
an object has one match at most, but for ties at exactly 0.5, of which one counts.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int64, Integer
from scipy import sparse

from tinyunet.evaluation.checks import check_fits
from tinyunet.evaluation.overlap import skipping_mean

THRESHOLDS = tuple(i / 20 for i in range(10, 20))
"""0.5, 0.55 … 0.95."""


@dataclass(frozen=True)
class ObjectCounts:
    """What is counted of objects; `+` merges the counts of two sets of images.

    Args:
        matched: Pairs that match at each of `THRESHOLDS`.
        predicted: Predicted objects.
        true: True objects.
        iou: Sum of the intersections over unions of the pairs that match at 0.5.
        shared: Pixels in the intersections of the aggregated Jaccard index.
        joined: Pixels in its unions.
        miscounted: Sum over images of |predicted - true|.
        images: Images.

    Example:
        >>> one = object_counts(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]]))
        >>> (one + one).matched.tolist(), (one + one).predicted
        ([2, 2, 2, 2, 0, 0, 0, 0, 0, 0], 4)
    """

    matched: Int64[np.ndarray, "10"]
    predicted: int
    true: int
    iou: float
    shared: int
    joined: int
    miscounted: int
    images: int

    def __add__(self, other: "ObjectCounts") -> "ObjectCounts":
        return ObjectCounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


def object_counts(prediction: Integer[np.ndarray, "..."], target: Integer[np.ndarray, "..."]) -> ObjectCounts:
    """Compares the objects of one image.

    Args:
        prediction: Ids of objects, 0 for none, in any number of dimensions.
        target: True ids in the same shape; pixels below 0 take no part: what is predicted there is cut off.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> object_counts(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]])).iou.__round__(3)
        0.667
    """
    check_fits("prediction", prediction, target)
    taking_part = target >= 0
    pairs, (_, predicted_px), (_, true_px) = _overlaps(prediction[taking_part], target[taking_part])
    shared = pairs.data
    joined = predicted_px[pairs.row] + true_px[pairs.col] - shared
    matched = [_one_to_one(pairs, 20 * shared >= step * joined) for step in range(10, 20)]
    best = matched[0]
    aji_shared, aji_joined = _aggregated(pairs, joined, predicted_px, true_px)
    return ObjectCounts(
        matched=np.array([len(indices) for indices in matched], np.int64),
        predicted=len(predicted_px),
        true=len(true_px),
        iou=float(np.sum(shared[best] / joined[best])),
        shared=aji_shared,
        joined=aji_joined,
        miscounted=abs(len(predicted_px) - len(true_px)),
        images=1,
    )


@dataclass(frozen=True, kw_only=True)
class ObjectScores:
    """Scores of objects; `nan` where there is nothing to divide by.

    Args:
        ap: Average precision at each of `THRESHOLDS`, TP / (TP + FP + FN).
        mean_ap: Mean of `ap`.
        f1: 2 TP / (2 TP + FP + FN) at 0.5.
        precision: TP / (TP + FP) at 0.5.
        recall: TP / (TP + FN) at 0.5.
        panoptic_quality: Sum of the matched pairs' IoU / (TP + FP / 2 + FN / 2) at 0.5.
        aggregated_jaccard: See `object_counts`.
        count_error: Mean over images of |predicted - true|, in objects.
        predicted: Predicted objects.
        true: True objects.
    """

    ap: tuple[float, ...]
    mean_ap: float
    f1: float
    precision: float
    recall: float
    panoptic_quality: float
    aggregated_jaccard: float
    count_error: float
    predicted: int
    true: int


def object_scores(counts: ObjectCounts) -> ObjectScores:
    """The scores of counts over any number of images.

    The aggregated Jaccard index is the pixels shared by each true object and the predicted one that it overlaps best
    (in IoU), over the pixels of their unions together with those of the predicted objects that were nobody's best.

    Example:
        >>> scores = object_scores(object_counts(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 0]])))
        >>> scores.ap[0], scores.f1.__round__(3), scores.panoptic_quality.__round__(3), scores.aggregated_jaccard
        (0.5, 0.667, 0.444, 0.5)

    References:
        Everingham et al. (2010), The Pascal visual object classes challenge, for the overlap criterion; Caicedo et al.
        (2019), Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, for AP so defined;
        Kirillov et al. (2019), Panoptic segmentation, eq. 1; Kumar et al. (2017), A dataset and a technique for
        generalized nuclear segmentation for computational pathology, algorithm 1.
    """
    tp = counts.matched.astype(np.float64)
    ap = _divide(tp, counts.predicted + counts.true - tp)
    half = float(tp[0])
    both = (counts.predicted + counts.true) / 2  # TP + FP / 2 + FN / 2
    return ObjectScores(
        ap=tuple(ap.tolist()),
        mean_ap=skipping_mean(ap),
        f1=_ratio(half, both),
        precision=_ratio(half, counts.predicted),
        recall=_ratio(half, counts.true),
        panoptic_quality=_ratio(counts.iou, both),
        aggregated_jaccard=_ratio(counts.shared, counts.joined),
        count_error=_ratio(counts.miscounted, counts.images),
        predicted=counts.predicted,
        true=counts.true,
    )


def aligned(
    prediction: Integer[np.ndarray, "..."], target: Integer[np.ndarray, "..."]
) -> tuple[Int64[np.ndarray, "..."], Int64[np.ndarray, "..."]]:
    """The same objects with new ids, so that those that match at 0.5 have the same: for pictures.

    Args:
        prediction: Ids of objects, 0 for none.
        target: True ids in the same shape; pixels below 0 become -1.

    Returns:
        Prediction and target. True objects are numbered from 1, predicted ones without a match go on from there.

    Example:
        >>> aligned(np.array([1, 1, 0, 9]), np.array([0, 7, 7, 4]))
        (array([3, 3, 0, 1]), array([0, 2, 2, 1]))
    """
    check_fits("prediction", prediction, target)
    part = target >= 0
    pairs, (predicted_ids, predicted_px), (true_ids, true_px) = _overlaps(prediction[part], target[part])
    joined = predicted_px[pairs.row] + true_px[pairs.col] - pairs.data
    matched = _one_to_one(pairs, 2 * pairs.data >= joined)
    every = np.unique(prediction[prediction > 0])  # also those that lie where nothing takes part
    new = np.arange(1, len(every) + 1) + len(true_ids)
    new[np.searchsorted(every, predicted_ids[pairs.row[matched]])] = pairs.col[matched] + 1
    renamed = np.zeros(prediction.shape, np.int64)
    renamed[prediction > 0] = new[np.searchsorted(every, prediction[prediction > 0])]
    truth = np.minimum(target, 0).clip(-1).astype(np.int64)
    truth[target > 0] = np.searchsorted(true_ids, target[target > 0]) + 1
    return renamed, truth


Objects = tuple[Integer[np.ndarray, "..."], Int64[np.ndarray, "..."]]
"""Ids of objects, ascending, and how many pixels each has."""


def _overlaps(
    prediction: Integer[np.ndarray, " n"], target: Integer[np.ndarray, " n"]
) -> tuple[sparse.coo_array, Objects, Objects]:
    """Pixels that each pair of objects shares, by their places among the predicted and the true objects."""
    predicted_ids, p = np.unique(prediction, return_inverse=True)
    true_ids, t = np.unique(target, return_inverse=True)
    ones = np.ones(len(p), np.int64)
    table = sparse.coo_array((ones, (p, t)), shape=(len(predicted_ids), len(true_ids))).tocsr()
    is_predicted, is_true = predicted_ids > 0, true_ids > 0
    predicted_px = np.asarray(table.sum(axis=1)).ravel()[is_predicted]
    true_px = np.asarray(table.sum(axis=0)).ravel()[is_true]
    pairs = table[is_predicted][:, is_true].tocoo()
    return pairs, (predicted_ids[is_predicted], predicted_px), (true_ids[is_true], true_px)


def _one_to_one(pairs: sparse.coo_array, match: np.ndarray) -> Int64[np.ndarray, " m"]:
    """Positions of the pairs that match, each object in one at most.

    Two objects that both match a third share half of it each and lie inside it, so that the first will do.
    """
    found = np.flatnonzero(match)
    for objects in (pairs.row, pairs.col):
        found = found[np.sort(np.unique(objects[found], return_index=True)[1])]
    return found


def _aggregated(
    pairs: sparse.coo_array,
    joined: Int64[np.ndarray, " n"],
    predicted_px: Int64[np.ndarray, " p"],
    true_px: Int64[np.ndarray, " t"],
) -> tuple[int, int]:
    """The two sums of the aggregated Jaccard index."""
    order = np.lexsort((-(pairs.data / np.maximum(joined, 1)), pairs.col))  # by true object, the best first
    best = order[np.unique(pairs.col[order], return_index=True)[1]]
    missed = np.ones(len(true_px), bool)
    missed[pairs.col[best]] = False
    unused = np.ones(len(predicted_px), bool)
    unused[pairs.row[best]] = False
    alone = int(true_px[missed].sum() + predicted_px[unused].sum())
    return int(pairs.data[best].sum()), int(joined[best].sum()) + alone


def _divide(numerator: Float[np.ndarray, " n"], denominator: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
