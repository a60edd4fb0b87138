"""Objects by plain loops: the distance to everything else, and matching by trying every pair."""

import itertools

import numpy as np


def depth(instances, pixel):
    """Distance of a pixel to the nearest pixel of another object or of none; infinite if there is none."""
    others = np.argwhere(instances != instances[pixel])
    return min((float(np.linalg.norm(other - np.array(pixel))) for other in others), default=np.inf)


def object_labels(instances, *, rim_px, rim_share):
    labels = np.minimum(instances, 0)
    for number in np.unique(instances[instances > 0]):
        pixels = [tuple(int(i) for i in pixel) for pixel in np.argwhere(instances == number)]
        depths = [depth(instances, pixel) for pixel in pixels]
        for pixel, d in zip(pixels, depths, strict=True):
            labels[pixel] = 2 if d > min(rim_px, rim_share * max(depths)) else 1
    return labels


def pairs(prediction, target):
    """(predicted id, true id, shared pixels, pixels of either) of all objects that overlap."""
    part = target >= 0
    found = []
    for p, t in itertools.product(np.unique(prediction[part]), np.unique(target[part])):
        a, b = (prediction == p) & part, (target == t) & part
        if p > 0 and t > 0 and (a & b).any():
            found.append((p, t, int((a & b).sum()), int((a | b).sum())))
    return found


def matches(prediction, target, threshold):
    """The largest number of pairs with an IoU of the threshold or more, each object in one at most."""
    fitting = [(p, t) for p, t, shared, joined in pairs(prediction, target) if shared / joined >= threshold - 1e-12]

    def most(rest):
        if not rest:
            return 0
        (p, t), others = rest[0], rest[1:]
        return max(most(others), 1 + most([(q, u) for q, u in others if q != p and u != t]))

    return most(fitting)


def aggregated_jaccard(prediction, target):
    """Kumar et al. (2017), algorithm 1."""
    part = target >= 0
    found, shared, joined, used = pairs(prediction, target), 0, 0, set()
    for t in np.unique(target[part & (target > 0)]):
        of = [(i / u, i, u, p) for p, true, i, u in found if true == t]
        if not of:
            joined += int((target == t).sum())
            continue
        _, i, u, p = max(of, key=lambda pair: pair[0])
        shared, joined = shared + i, joined + u
        used.add(int(p))
    for p in np.unique(prediction[part & (prediction > 0)]):
        if int(p) not in used:
            joined += int(((prediction == p) & part).sum())
    return shared, joined
