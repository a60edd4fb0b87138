"""From probabilities of background, rim and core to objects."""

import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy import ndimage
from skimage.segmentation import watershed

from tinyunet.objects.target import BACKGROUND, CORE, ObjectConfig


def decode_objects(probabilities: Float[np.ndarray, "*space k"], config: ObjectConfig) -> Int32[np.ndarray, "*space"]:
    """The objects that probabilities speak of, numbered from 1 in the order of their first pixels.

    Connected pixels with P(core) >= core_probability are the seed of one object each. Seeds grow over the pixels with
    P(rim) + P(core) >= foreground_probability, the most probable core first (a watershed of -P(core)), until they meet.
    A connected piece of foreground without a seed is one object. Pixels are connected along the axes.

    Args:
        probabilities: Of the three classes, summing up to 1 at each pixel.
        config: Thresholds, and the size of the smallest object.

    Returns:
        Ids of objects, 0 for background.

    Example:
        >>> core = np.array([[0.1, 0.9, 0.2, 0.9, 0.1]])
        >>> background = np.array([[0.2, 0.0, 0.1, 0.0, 0.8]])
        >>> decode_objects(np.stack([background, 1 - core - background, core], axis=-1), ObjectConfig(smallest_px=1))
        array([[1, 1, 1, 2, 0]], dtype=int32)

    References:
        Beucher and Meyer (1993), The morphological approach to segmentation: the watershed transformation.
    """
    core = probabilities[..., CORE]
    inside = foreground(probabilities)[..., 1] >= config.foreground_probability
    seeds, count = ndimage.label((core >= config.core_probability) & inside)
    pieces, number = ndimage.label(inside)
    piece_of = np.zeros(count + 1, np.intp)
    piece_of[seeds] = pieces  # all of a seed lies in one piece
    held = np.bincount(piece_of[1:], minlength=number + 1)
    # A piece with one seed, or with none, is one object; only the others are worth a watershed.
    alone = np.arange(number + 1) + count
    alone[piece_of[1:]] = np.arange(1, count + 1)
    alone[0] = 0
    objects = alone[pieces]
    shared = (held > 1)[pieces]
    grown = _grow(-core, np.where(shared, seeds, 0), shared)
    return renumber(np.where(shared, grown, objects), smallest_px=config.smallest_px)


def _grow(
    height: Float[np.ndarray, "*space"], seeds: Int32[np.ndarray, "*space"], mask: Bool[np.ndarray, "*space"]
) -> Int32[np.ndarray, "*space"]:
    """The watershed. The inner pixels of seeds, most of them, are kept from it: they have nothing to grow into."""
    inner = ndimage.binary_erosion(seeds > 0, border_value=1)
    return np.where(inner, seeds, watershed(height, seeds, mask=mask & ~inner))


def foreground(probabilities: Float[np.ndarray, "*space k"]) -> Float[np.ndarray, "*space 2"]:
    """Probabilities of background and object, from those of background, rim and core.

    Example:
        >>> foreground(np.array([[0.5, 0.25, 0.25]]))
        array([[0.5, 0.5]])
    """
    background = probabilities[..., BACKGROUND]
    return np.stack([background, 1 - background], axis=-1)


def renumber(instances: np.ndarray, *, smallest_px: int = 1) -> Int32[np.ndarray, "*space"]:
    """Ids from 1 without gaps, in the order in which objects are met row by row; small objects become background.

    Args:
        instances: Ids of objects, at least 0.
        smallest_px: Objects of fewer pixels are left out.

    Example:
        >>> renumber(np.array([[7, 0, 3], [7, 0, 0]]), smallest_px=2)
        array([[1, 0, 0],
               [1, 0, 0]], dtype=int32)
    """
    flat = instances.ravel()
    if flat.max(initial=0) > flat.size:  # so long a table would be waste
        flat = np.unique(flat, return_inverse=True)[1].astype(np.intp) + int(flat.min() > 0)
    counts = np.bincount(flat)
    counts[:1] = 0
    kept = np.flatnonzero(counts >= smallest_px)
    taken = np.flatnonzero(flat)[::-1]
    first = np.zeros(len(counts), np.intp)
    first[flat[taken]] = taken  # of several values written to one place the last stays: the first pixel
    new = np.zeros(max(len(counts), 1), np.int32)
    new[kept[np.argsort(first[kept])]] = np.arange(1, len(kept) + 1, dtype=np.int32)
    return new[flat].reshape(instances.shape)
