"""From probabilities of background, rim and core to objects."""

import numpy as np
from jaxtyping import Float, Int32
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
    seeded = np.zeros(number + 1, bool)
    seeded[np.unique(pieces[seeds > 0])] = True
    seeded[0] = True
    seeds = np.where(seeded[pieces], seeds, pieces + count)
    return renumber(watershed(-core, seeds, mask=inside), smallest_px=config.smallest_px)


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
    ids, first, inverse, counts = np.unique(
        instances.ravel(), return_index=True, return_inverse=True, return_counts=True
    )
    kept = (ids > 0) & (counts >= smallest_px)
    new = np.zeros(len(ids), np.int32)
    order = np.argsort(np.where(kept, first, instances.size), kind="stable")[: kept.sum()]
    new[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return new[inverse].reshape(instances.shape)
