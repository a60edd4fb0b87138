"""The scores of `tinyunet.evaluation` from their definitions: slow loops over pixels and over pairs of pixels."""

import itertools
import math
from collections import Counter

import numpy as np

IGNORE = -1


def overlap_counts(prediction, target, num_classes):
    """Lists of true positives, false positives and false negatives of each class."""
    tp, fp, fn = ([0] * num_classes for _ in range(3))
    for predicted, true in zip(prediction.ravel().tolist(), target.ravel().tolist(), strict=True):
        if true == IGNORE:
            continue
        if predicted == true:
            tp[true] += 1
        else:
            fp[predicted] += 1
            fn[true] += 1
    return tp, fp, fn


def dice_score(prediction, target, class_id):
    """2 |A and B| / (|A| + |B|) of the two sets of pixels."""
    taking_part = [index for index, true in enumerate(target.ravel()) if true != IGNORE]
    predicted = {index for index in taking_part if prediction.ravel()[index] == class_id}
    true = {index for index in taking_part if target.ravel()[index] == class_id}
    whole = len(predicted) + len(true)
    return 2 * len(predicted & true) / whole if whole else math.nan


def roc_auc(probability, is_positive):
    """How often a positive pixel has a higher probability than a negative one; equal ones count half."""
    inside, outside = probability[is_positive].astype(float), probability[~is_positive].astype(float)
    if not inside.size or not outside.size:
        return math.nan
    higher = (inside[:, None] > outside[None, :]).mean()
    equal = (inside[:, None] == outside[None, :]).mean()
    return float(higher + equal / 2)


def f1_score(probability, is_positive, threshold):
    """Harmonic mean of precision and recall."""
    predicted = probability.astype(float) >= threshold
    tp = np.count_nonzero(predicted & is_positive)
    if tp == 0:
        return 0.0 if predicted.any() or is_positive.any() else math.nan
    precision, recall = tp / np.count_nonzero(predicted), tp / np.count_nonzero(is_positive)
    return 2 / (1 / precision + 1 / recall)


def regions(interior):
    """Regions whose pixels touch along an axis, by flood fill, numbered from 1; 0 elsewhere."""
    labels = np.zeros(interior.shape, int)
    for start in np.argwhere(interior).tolist():
        if labels[tuple(start)]:
            continue
        number, pending = labels.max() + 1, [tuple(start)]
        while pending:
            pixel = pending.pop()
            inside = all(0 <= i < n for i, n in zip(pixel, interior.shape, strict=True))
            if inside and interior[pixel] and not labels[pixel]:
                labels[pixel] = number
                steps = [(axis, step) for axis in range(interior.ndim) for step in (-1, 1)]
                pending += [(*pixel[:axis], pixel[axis] + step, *pixel[axis + 1 :]) for axis, step in steps]
    return labels


def adapted_rand(prediction, target):
    """F, precision and recall over all pairs of pixels of which neither has the true region 0."""
    pixels = [pixel for pixel in zip(prediction.ravel(), target.ravel(), strict=True) if pixel[1] != 0]
    both = joined = belonging = 0
    for (predicted, true), (other_predicted, other_true) in itertools.combinations(pixels, 2):
        both += predicted == other_predicted and true == other_true
        joined += predicted == other_predicted
        belonging += true == other_true
    f = 2 * both / (joined + belonging) if joined + belonging else math.nan
    return f, both / joined if joined else math.nan, both / belonging if belonging else math.nan


def variation_of_information(prediction, target):
    """Conditional entropies in bits, as expectations: of the prediction given the truth, and the other way round."""
    pixels = [pixel for pixel in zip(prediction.ravel(), target.ravel(), strict=True) if pixel[1] != 0]
    if not pixels:
        return math.nan, math.nan
    joint = Counter(pixels)
    predicted, true = Counter(pixel[0] for pixel in pixels), Counter(pixel[1] for pixel in pixels)
    split = sum(-math.log2(joint[pixel] / true[pixel[1]]) for pixel in pixels) / len(pixels)
    merge = sum(-math.log2(joint[pixel] / predicted[pixel[0]]) for pixel in pixels) / len(pixels)
    return split, merge
