"""What a mask looks like that was not meant as one of classes: numbered objects, or values blurred by JPEG."""

from collections import Counter

import numpy as np
from jaxtyping import Int64

MANY = 10
"""From so many positive values a mask can look like one of numbered objects."""

MANY_IN_SLICES = 5
"""From so many that come back in a next slice a volume can look numbered slice by slice."""

_PIECES = 1.2
"""How many pieces there may be for each object: of some a thread is broken, or a pixel has gone astray."""


def looks_like_objects(values: Int64[np.ndarray, "*space"]) -> bool:
    """Whether a mask seems to number its objects: many values, each in one piece.

    Classes come back in several places; an object is where it is. So ten or more positive values, in hardly more
    pieces than there are values, are taken for objects; pixels of a piece touch at a corner at least.

    Args:
        values: The pixels of one mask.

    Example:
        >>> looks_like_objects(np.arange(12).reshape(3, 4))
        True
        >>> looks_like_objects(np.arange(12).reshape(3, 4) % 2)
        False
    """
    found, _, pieces = _pieces(values)
    count = int(np.count_nonzero(found > 0))
    return count >= MANY and bool(pieces[found > 0].sum() <= _PIECES * count)


def numbered_by_slice(values: Int64[np.ndarray, "z y x"]) -> bool:
    """Whether a volume seems to number its objects anew in each slice, as programs that segment slice by slice do.

    In every slice an id is then one piece, but in the next slice it lies somewhere else, where an object that goes
    through both would overlap with itself. So of five or more ids that come back in a next slice most must do so
    elsewhere at least once, and a tenth of all returns must be elsewhere: thin slanting objects do that now and then.

    Args:
        values: The voxels of one mask; ids are above 0.

    Example:
        >>> first = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((2, 2), np.int64))
        >>> numbered_by_slice(np.stack([first, first[::-1]])), numbered_by_slice(np.stack([first, first]))
        (True, False)
    """
    ids = parts = 0
    returns: Counter[int] = Counter()
    elsewhere: Counter[int] = Counter()
    before = np.zeros(0, np.int64)
    for z, plane in enumerate(values):
        found, _, pieces = _pieces(plane)
        positive = found > 0
        ids, parts = ids + int(positive.sum()), parts + int(pieces[positive].sum())
        back = np.intersect1d(found[positive], before)
        staying = plane[plane == values[z - 1]]
        returns.update(back.tolist())
        elsewhere.update(np.setdiff1d(back, staying).tolist())
        before = found[positive]  # none yet at the first slice, whose next one is no other's
    often = 2 * len(elsewhere) > len(returns) and 10 * elsewhere.total() >= returns.total()
    return len(returns) >= MANY_IN_SLICES and parts <= _PIECES * ids and often


def looks_like_jpeg(values: Int64[np.ndarray, "*space"], *, suffix: str = "") -> bool:
    """Whether a mask seems to have lost its exact values, to JPEG or to smooth resizing.

    Classes and objects form regions. Where three or more values lie scattered in specks of less than four pixels on
    average, and yet leave a quarter of the mask to others, they are what became of the values beside them.

    Args:
        values: The pixels of one mask.
        suffix: Of its file; ".jpg" and ".jpeg" settle the matter.

    Example:
        >>> looks_like_jpeg(np.zeros((2, 2), np.int64), suffix=".JPG")
        True
        >>> looks_like_jpeg(np.array([[0, 0], [255, 255]]))
        False
    """
    if suffix.lower() in (".jpg", ".jpeg"):
        return True
    _, pixels, pieces = _pieces(values)
    scattered = pixels < 4 * pieces
    return bool(scattered.sum() >= 3 and pixels[scattered].sum() < 0.75 * values.size)


def _pieces(
    values: Int64[np.ndarray, "*space"],
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The values that occur, ascending, the pixels of each, and the number of its pieces, touching at corners."""
    from skimage.measure import label  # takes half a second to import: who reads a fingerprint shall not wait

    found, place, pixels = np.unique(values, return_inverse=True, return_counts=True)
    pieces, count = label(place.reshape(values.shape) + 1, background=0, return_num=True, connectivity=values.ndim)
    place_of_piece = np.zeros(count + 1, np.int64)
    place_of_piece[pieces.ravel()] = place.ravel()
    return found, pixels, np.bincount(place_of_piece[1:], minlength=len(found))
