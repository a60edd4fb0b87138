"""Image files to arrays: every format, every bound, and one line that says why a file cannot be read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from tinyunet.data import raster, tiff
from tinyunet.data.raster import Unreadable
from tinyunet.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy")
"""Suffixes of the files that can be read, in lower case; upper case is accepted too."""

MAX_PIXELS = 2**31
"""The most pixels a file may claim to have: a bound on what a few hostile bytes can make us allocate."""

_NUMPY_SIGNATURE = b"\x93NUMPY"
_WHOLE_AGAIN = "It is damaged or cut off: copy or export it again."


class _Format(NamedTuple):
    """How one family of formats is read: its header alone, and its pixels with their palette."""

    header: Callable[[Path], tuple[int, int, int, str]]
    decode: Callable[[Path], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Header:
    """What a file says about its image before any pixel is decoded.

    Args:
        height: Rows.
        width: Columns.
        channels: Channels as `read_image` returns them: 3 for a palette image.
        dtype: NumPy's name of the type that `read_image` returns, such as "uint8".
    """

    height: int
    width: int
    channels: int
    dtype: str


@dataclass(frozen=True)
class Stored:
    """Pixels as a file stores them.

    Args:
        pixels: Channels last, in the file's own dtype and the machine's byte order.
        palette: RGB colours where the pixels are indices into a palette, else None.
    """

    pixels: Shaped[np.ndarray, "h w c"]
    palette: UInt8[np.ndarray, "n 3"] | None


def read_header(path: Path) -> Header:
    """Read size, channels and dtype of an image without decoding its pixels.

    Args:
        path: A file with one of `SUFFIXES`.

    Returns:
        What `read_image` would return, should the pixels be whole.

    Raises:
        DataError: The file is missing, empty, no image, holds several images or more than `MAX_PIXELS`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.zeros((4, 6), np.uint16))
        >>> read_header(path)
        Header(height=4, width=6, channels=1, dtype='uint16')
    """
    with _explained(path):
        return _checked(_format(path).header(path))


def read_image(path: Path) -> Shaped[np.ndarray, "h w c"]:
    """Read an image, channels last, in the dtype the file stores.

    1 bit becomes 0 and 255, palette, CMYK and YCbCr images become RGB; every other value is returned as stored.

    Args:
        path: A file with one of `SUFFIXES`; what it holds is told by its first bytes.

    Returns:
        At least one pixel and one channel; finite.

    Raises:
        DataError: The file is missing, empty, cut off, no image, holds several images, more than `MAX_PIXELS`, or
            pixels that are not finite real numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.zeros((4, 6), np.uint16))
        >>> read_image(path).shape
        (4, 6, 1)
    """
    stored = read_stored(path)
    if stored.palette is None:
        return stored.pixels
    return stored.palette[stored.pixels[..., 0]]


def read_stored(path: Path) -> Stored:
    """Read an image with palette indices left as they are: what a mask needs.

    Args:
        path: A file with one of `SUFFIXES`.

    Returns:
        The pixels, and the palette that covers every index in them.

    Raises:
        DataError: As for `read_image`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.zeros((4, 6), bool))
        >>> read_stored(path).palette is None
        True
    """
    with _explained(path):
        functions = _format(path)
        _checked(functions.header(path))
        pixels, palette = functions.decode(path)
        _check_finite(pixels)
        return Stored(pixels, None if palette is None else _covering(palette, int(pixels.max())))


def stem(path: Path) -> str:
    """The name of a file without its suffix: what an image and its mask have in common.

    Example:
        >>> stem(Path("images/cell.07.PNG"))
        'cell.07'
    """
    return path.stem


def shown(path: Path) -> str:
    r"""A path as an error shows it: as it is, or with escapes where it holds what a terminal would act upon.

    Example:
        >>> shown(Path("a.png"))
        'a.png'
        >>> shown(Path("a\n.png"))
        "'a\\n.png'"
    """
    text = str(path)
    return text if text.isprintable() else ascii(text)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line that names it.

    Decoders meet damaged and hostile files with any exception there is, so that all of them are caught.
    """
    name = shown(path)
    try:
        yield
    except DataError:
        raise
    except Unreadable as refusal:
        raise DataError(f"{name} {refusal}") from None
    except MemoryError:
        raise DataError(f"{name} needs more memory than there is; cut it into smaller images.") from None
    except OSError as error:
        if error.strerror is not None:
            raise DataError(f"{name} cannot be opened: {error.strerror}.") from error
        raise DataError(_damaged(name, error)) from error
    except Exception as error:
        raise DataError(_damaged(name, error)) from error


def _damaged(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    reason = reason if reason.isprintable() else ascii(reason)
    return f"{name} cannot be decoded: {reason[:200] or type(error).__name__}. {_WHOLE_AGAIN}"


def _format(path: Path) -> _Format:
    """The functions that read a file, chosen by its first bytes; a suffix is only a promise."""
    name = shown(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{name} has a suffix that is not known. Known: {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(f"{name} {'is not a file' if path.exists() else 'does not exist'}.")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise DataError(f"{name} is empty (0 bytes): copy or export it again.")
    for signatures, functions in _FORMATS.items():
        if start.startswith(signatures):
            return functions
    raise DataError(f"{name} is not an image: it begins with {start!r}, as no PNG, JPEG, BMP, TIFF or NumPy file does.")


def _checked(header: tuple[int, int, int, str]) -> Header:
    """The header, refused where the pixels would be none, too many or no numbers."""
    height, width, channels, dtype = header
    if min(height, width, channels) < 1:
        raise Unreadable(f"has no pixels: its size is {height} x {width} x {channels}.")
    if height * width > MAX_PIXELS:
        raise Unreadable(
            f"claims {height} x {width} pixels, more than the {MAX_PIXELS} that are read; cut it into smaller images."
        )
    if not dtype.startswith(("int", "uint", "float")):
        raise Unreadable(f"holds values of type {dtype}; save real numbers or integers.")
    return Header(height, width, channels, dtype)


def _check_finite(pixels: Shaped[np.ndarray, "h w c"]) -> None:
    if pixels.dtype.kind != "f":
        return
    wide = pixels.dtype.itemsize > 4  # more than float32 holds is refused too: it would become infinite later
    finite = (np.abs(pixels) <= np.finfo(np.float32).max if wide else np.isfinite(pixels)).all(axis=-1)
    if not finite.all():
        row, column = (int(i) for i in np.unravel_index(np.argmin(finite), finite.shape))
        count = int(finite.size - np.count_nonzero(finite))
        raise Unreadable(
            f"holds {count} pixels that are NaN, infinite or beyond float32, the first at row {row}, column {column}; "
            "give them a finite value."
        )


def _covering(palette: UInt8[np.ndarray, "n 3"], index: int) -> UInt8[np.ndarray, "m 3"]:
    """The palette, continued in black where the pixels point beyond its end, as every viewer does."""
    missing = max(index + 1 - len(palette), 0)
    return np.concatenate([palette, np.zeros((missing, 3), np.uint8)])


def _numpy_header(path: Path) -> tuple[int, int, int, str]:
    # Memory-mapping reads no pixel, but fails where the file is shorter than its header says.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim not in (2, 3):
        raise Unreadable(f"has the shape {array.shape}; save (height, width) or (height, width, channels).")
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    height, width, channels = array.shape if array.ndim == 3 else (*array.shape, 1)
    return height, width, channels, dtype.name


def _decode_numpy(path: Path) -> tuple[Shaped[np.ndarray, "h w c"], None]:
    array = np.load(path, allow_pickle=False)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array if array.ndim == 3 else array[..., None], None


_FORMATS: dict[tuple[bytes, ...], _Format] = {
    raster.SIGNATURES: _Format(raster.raster_header, raster.decode_raster),
    tiff.SIGNATURES: _Format(tiff.tiff_header, tiff.decode_tiff),
    (_NUMPY_SIGNATURE,): _Format(_numpy_header, _decode_numpy),
}
