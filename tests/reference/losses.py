"""The losses of `tinyunet.training` from their definitions: loops over pixels and classes, in float64."""

import math


def softmax(scores):
    """exp(z_k) / sum_j exp(z_j) of one pixel; the largest score is taken off first, which changes nothing."""
    largest = max(scores)
    powers = [math.exp(score - largest) for score in scores]
    return [power / sum(powers) for power in powers]


def labelled_pixels(logits, labels):
    """The scores and the label of each pixel that takes part."""
    classes = logits.shape[-1]
    pairs = zip(logits.reshape(-1, classes).tolist(), labels.ravel().tolist(), strict=True)
    return [(scores, label) for scores, label in pairs if label >= 0]


def cross_entropy(logits, labels, weights):
    """Mean of -log softmax(z)_y over the labelled pixels, each counting as much as its class."""
    pixels = labelled_pixels(logits, labels)
    total = sum(weights[label] for _, label in pixels)
    return sum(-weights[label] * math.log(softmax(scores)[label]) for scores, label in pixels) / total if total else 0.0


def dice_loss(logits, labels):
    """One minus the mean over the classes of (2 overlap + 1) / (predicted + true + 1)."""
    pixels = labelled_pixels(logits, labels)
    scores = []
    for k in range(logits.shape[-1]):
        soft = [softmax(z)[k] for z, _ in pixels]
        true = [float(label == k) for _, label in pixels]
        overlap = sum(s * t for s, t in zip(soft, true, strict=True))
        scores.append((2 * overlap + 1) / (sum(soft) + sum(true) + 1))
    return 1 - sum(scores) / len(scores)
