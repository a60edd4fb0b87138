"""What a mask looks like that was not meant as one of classes: numbered objects, or values blurred by JPEG."""

import numpy as np
from jaxtyping import Int64


def looks_like_objects(values: Int64[np.ndarray, "*space"]) -> bool:
    """Whether a mask seems to number its objects: many values, each in one piece.

    Classes come back in several places; an object is where it is. So ten or more positive values, in hardly more
    connected pieces (by sides, edges or corners) than there are values, are taken for objects.

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
    return count >= 10 and bool(pieces[found > 0].sum() <= 1.2 * count)


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
    """The values that occur, ascending, the pixels of each, and the number of its connected pieces, by corners too."""
    from skimage.measure import label  # takes half a second to import: who reads a fingerprint shall not wait

    found, place, pixels = np.unique(values, return_inverse=True, return_counts=True)
    pieces, count = label(place.reshape(values.shape) + 1, background=0, return_num=True, connectivity=values.ndim)
    place_of_piece = np.zeros(count + 1, np.int64)
    place_of_piece[pieces.ravel()] = place.ravel()
    return found, pixels, np.bincount(place_of_piece[1:], minlength=len(found))
