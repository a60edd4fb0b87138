"""NumPy files to arrays."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.axes import channels_last, letters_of
from tinyunet.data.header import Header
from tinyunet.data.regions import Box, Damage, Regions

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


def numpy_regions(path: Path, axes: str) -> Regions:
    """The array, read by region.

    Raises:
        Unreadable: The array has another number of axes.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    assert isinstance(array, np.memmap)
    stored, shape, offset = array.dtype, array.shape, array.offset
    order = "C" if array.flags.c_contiguous else "F"

    def read(box: Box, damage: Damage) -> np.ndarray:
        return mapped_part(path, box, dtype=stored, shape=shape, offset=offset, order=order)

    return Regions([*letters_of(shape, axes)], shape, stored.newbyteorder("="), read, lambda: None)


def mapped_part(
    path: Path, box: Box, *, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, order: Any = "C"
) -> Shaped[np.ndarray, "..."]:
    """A part of an array that lies in a file as it would in memory.

    The file is mapped for this part alone: a map that stayed would count all that was ever read as this process's.

    Args:
        path: The file.
        box: The part.
        dtype: Of the values, with their byte order.
        shape: Of the array.
        offset: Bytes before the first value.
        order: "C" or "F".

    Returns:
        Its values in the machine's byte order.
    """
    array = np.memmap(path, dtype, "r", offset, shape, order)
    return np.array(array[box], dtype.newbyteorder("="))
