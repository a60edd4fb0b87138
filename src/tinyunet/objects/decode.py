"""From probabilities of background, rim and core to objects."""

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from scipy import ndimage
from skimage.segmentation import watershed

from tinyunet.objects.target import BACKGROUND, CORE, ObjectConfig


def decode_objects(probabilities: Float[np.ndarray, "*space k"], config: ObjectConfig) -> Int32[np.ndarray, "*space"]:
    """The objects that probabilities speak of, numbered from 1 in the order of their first pixels.

    Connected pixels with P(core) >= core_probability are the seed of one object; where two or more parts of them reach
    split_probability, each part is a seed instead. Seeds grow over the pixels with P(rim) + P(core) >=
    foreground_probability, the most probable core first (a watershed of -P(core)), until they meet. Seeds of a few
    pixels do not count, and foreground without a seed is no object: what was learnt always has a core. Pixels are
    connected along the axes.

    Args:
        probabilities: Of the three classes, summing up to 1 at each pixel.
        config: Thresholds, and the sizes of the smallest seed and object.

    Returns:
        Ids of objects, 0 for background.

    Example:
        >>> core = np.array([[0.1, 0.9, 0.2, 0.9, 0.1]])
        >>> background = np.array([[0.2, 0.0, 0.1, 0.0, 0.8]])
        >>> config = ObjectConfig(smallest_seed_px=1, smallest_px=1)
        >>> decode_objects(np.stack([background, 1 - core - background, core], axis=-1), config)
        array([[1, 1, 1, 2, 0]], dtype=int32)

    References:
        Beucher and Meyer (1993), The morphological approach to segmentation: the watershed transformation.
    """
    return decode_core(probabilities[..., CORE], inside_objects(probabilities, config), config)


def inside_objects(probabilities: Float[np.ndarray, "*space k"], config: ObjectConfig) -> Bool[np.ndarray, "*space"]:
    """Which pixels belong to objects, if a seed reaches them.

    Example:
        >>> inside_objects(np.array([[0.25, 0.5, 0.25], [0.75, 0.25, 0.0]]), ObjectConfig())
        array([ True, False])
    """
    return foreground(probabilities)[..., 1] >= config.foreground_probability


def decode_core(
    core: Float[np.ndarray, "*space"], inside: Bool[np.ndarray, "*space"], config: ObjectConfig
) -> Int32[np.ndarray, "*space"]:
    """`decode_objects`, of what it looks at.

    What becomes of connected pixels inside depends on these alone: they may be decoded without the others, in any part
    of the image that holds them.

    Args:
        core: Probability of the core; only those inside matter.
        inside: Which pixels may belong to objects.
        config: As for `decode_objects`.

    Returns:
        Ids of objects, 0 for background.

    Example:
        >>> core = np.array([[0.1, 0.9, 0.2, 0.9, 0.1]])
        >>> inside = np.array([[True, True, True, True, False]])
        >>> decode_core(core, inside, ObjectConfig(smallest_seed_px=1, smallest_px=1))
        array([[1, 1, 1, 2, 0]], dtype=int32)
    """
    seeds, count = _seeds(core, inside, config)
    pieces, number = ndimage.label(inside)
    piece_of = np.zeros(count + 1, np.intp)
    piece_of[seeds] = pieces  # all of a seed lies in one piece
    held = np.bincount(piece_of[1:], minlength=number + 1)
    # A piece with one seed is one object; only where there are more is a watershed worth its time.
    alone = np.zeros(number + 1, np.int32)
    alone[piece_of[1:]] = np.arange(1, count + 1, dtype=np.int32)
    shared = (held > 1)[pieces]
    grown = _grow(-core, np.where(shared, seeds, 0), shared)
    return renumber(np.where(shared, grown, alone[pieces]), smallest_px=config.smallest_px)


def _seeds(
    core: Float[np.ndarray, "*space"], inside: Bool[np.ndarray, "*space"], config: ObjectConfig
) -> tuple[Int32[np.ndarray, "*space"], int]:
    """One seed for each object, numbered from 1 without gaps, and how many."""
    seeds, count = _pieces((core >= config.core_probability) & inside, config.smallest_seed_px)
    if config.split_probability <= config.core_probability:
        return seeds, count
    parts, number = _pieces((core >= config.split_probability) & inside, config.smallest_seed_px)
    parent = np.zeros(number + 1, np.intp)
    parent[parts] = seeds
    parent[0] = 0
    split = np.bincount(parent[1:], minlength=count + 1) > 1
    ids = np.where(split[seeds], np.where(parts > 0, parts + count, 0), seeds)
    used = np.concatenate([~split, split[parent[1:]]])
    used[0] = False
    return np.where(used, np.cumsum(used), 0).astype(np.int32)[ids], int(used.sum())


def _pieces(mask: Bool[np.ndarray, "*space"], smallest_px: int) -> tuple[Int32[np.ndarray, "*space"], int]:
    """Connected pieces of no fewer pixels, numbered from 1, and how many."""
    pieces, _ = ndimage.label(mask)
    kept = np.bincount(pieces.ravel()) >= smallest_px
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[pieces], int(kept.sum())


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


def first_pixels(instances: Int32[np.ndarray, "*space"]) -> Int[np.ndarray, " n"]:
    """Where each object is met first, row by row: the place of that pixel among all, for ids from 1 without gaps.

    Example:
        >>> first_pixels(np.array([[0, 2], [1, 2]], np.int32))
        array([2, 1])
    """
    flat = instances.ravel()
    taken = np.flatnonzero(flat)[::-1]
    first = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    first[flat[taken]] = taken  # of several values written to one place the last stays: the first pixel
    return first[1:]


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
