"""NumPy files to arrays."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.axes import channels_last, letters_of
from tinyunet.data.header import Header

SIGNATURES = (b"\x93NUMPY",)


def numpy_header(path: Path, axes: str) -> Header:
    """What `decode_numpy` will give, from the file's header alone.

    Args:
        path: The file.
        axes: Letters of the axes as declared, "" where they are not.

    Raises:
        Unreadable: The array has another number of axes.
    """
    # Memory-mapping reads no pixel, but fails where the file is shorter than its header says.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    *space, channels = channels_last(array, letters_of(array.shape, axes)).shape
    return Header(tuple(space), channels, dtype.name)


def decode_numpy(path: Path, axes: str) -> tuple[Shaped[np.ndarray, "*space c"], None]:
    """The array in the machine's byte order, True and False as 255 and 0.

    Raises:
        Unreadable: The array has another number of axes.
    """
    array = np.load(path, allow_pickle=False)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return channels_last(array, letters_of(array.shape, axes)), None
