"""Image files to arrays: every format, every bound, and one line that says why a file cannot be read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, SupportsInt

import numpy as np
from jaxtyping import Bool, Shaped, UInt8

from tinyunet.data import nifti, numpyfile, raster, tiff, tiffregions, zarrfile, zarrregions
from tinyunet.data.header import Header, Unreadable
from tinyunet.data.regions import Regions
from tinyunet.errors import DataError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".npy", *NIFTI_SUFFIXES, ".zarr")
"""Suffixes of the files (and folders, of zarr) that can be read, in lower case; upper case is accepted too."""

WHOLE_AGAIN = "It is damaged or cut off: copy or export it again."
"""What helps against damage."""


class Format(NamedTuple):
    """How one family of formats is read: its header alone, its pixels with their palette, and parts of these.

    Attributes:
        header: From a file, and its axes as declared, to what it says.
        decode: From the same to all pixels and their palette, if they have one.
        regions: From the same to pixels that are read by region; None where this file cannot be, or no such file can.
    """

    header: Callable[[Path, str], Header]
    decode: Callable[[Path, str], tuple[np.ndarray, np.ndarray | None]]
    regions: Callable[[Path, str], Regions | None] | None = None


@dataclass(frozen=True)
class Stored:
    """Pixels as a file stores them.

    Args:
        pixels: Channels last, in the file's own dtype and the machine's byte order.
        palette: RGB colours where the pixels are indices into a palette, else None.
    """

    pixels: Shaped[np.ndarray, "*space c"]
    palette: UInt8[np.ndarray, "n 3"] | None


def read_header(path: Path, *, axes: str = "", most: int | None = None) -> Header:
    """Read size, channels and dtype of an image without decoding its pixels.

    Args:
        path: A file with one of `SUFFIXES`.
        axes: Letters of the stored axes as `dataset.toml` declares them, for files that do not say them.
        most: The most pixels that it may claim; those of `read_image` by default.

    Returns:
        What `read_image` would return, should the pixels be whole.

    Raises:
        DataError: The file is missing, empty, no image, holds several images or too many pixels.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.zeros((4, 6), np.uint16))
        >>> read_header(path)
        Header(shape=(4, 6), channels=1, dtype='uint16', geometry=None)
    """
    with explained(path):
        return format_of(path).header(path, axes).check(most)


def read_image(path: Path, *, axes: str = "") -> Shaped[np.ndarray, "*space c"]:
    """Read an image, channels last, in the dtype the file stores.

    1 bit becomes 0 and 255, palette, CMYK and YCbCr images become RGB; every other value is returned as stored.

    Args:
        path: A file with one of `SUFFIXES`; what it holds is told by its first bytes.
        axes: Letters of the stored axes as `dataset.toml` declares them, for files that do not say them.

    Returns:
        At least one pixel and one channel; finite.

    Raises:
        DataError: The file is missing, empty, cut off, no image, holds several images, too many pixels, or
            pixels that are not finite real numbers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.zeros((4, 6), np.uint16))
        >>> read_image(path).shape
        (4, 6, 1)
    """
    stored = read_stored(path, axes=axes)
    if stored.palette is None:
        return stored.pixels
    return stored.palette[stored.pixels[..., 0]]


def read_stored(path: Path, *, axes: str = "") -> Stored:
    """Read an image with palette indices left as they are: what a mask needs.

    Args:
        path: A file with one of `SUFFIXES`.
        axes: Letters of the stored axes as `dataset.toml` declares them, for files that do not say them.

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
    with explained(path):
        functions = format_of(path)
        functions.header(path, axes).check()
        pixels, palette = functions.decode(path, axes)
        _check_finite(pixels)
        return Stored(pixels, None if palette is None else _covering(palette, int(pixels.max())))


def stem(path: Path) -> str:
    """The name of a file without its suffix: what an image and its mask have in common.

    Example:
        >>> stem(Path("images/cell.07.PNG"))
        'cell.07'
        >>> stem(Path("images/brain.nii.gz")), stem(Path("a.ome.zarr"))
        ('brain', 'a')
    """
    return path.name.removesuffix(suffix(path, keep_case=True))


def suffix(path: Path, *, keep_case: bool = False) -> str:
    """What tells a file's format: the last part of its name, in lower case; `.nii.gz` is one, `.ome.zarr` is `.zarr`.

    Example:
        >>> suffix(Path("a.b.PNG")), suffix(Path("brain.nii.gz"))
        ('.png', '.nii.gz')
    """
    double = next((end for end in (".nii.gz", ".ome.zarr") if path.name.lower().endswith(end)), "")
    last = path.name[-len(double) :] if double else path.suffix
    return last if keep_case else last.lower().removeprefix(".ome")


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
def explained(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line that names it.

    Decoders meet damaged and hostile files with any exception there is, so that all of them are caught.

    Args:
        path: The file.

    Raises:
        DataError: What goes wrong.
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
    return f"{name} cannot be decoded: {reason[:200] or type(error).__name__}. {WHOLE_AGAIN}"


def format_of(path: Path) -> Format:
    """The functions that read a file, chosen by its first bytes; a suffix is only a promise.

    Args:
        path: A file with one of `SUFFIXES`.

    Raises:
        DataError: There is no such file, or it is of no format that is known.
    """
    name = shown(path)
    if suffix(path) not in SUFFIXES:
        raise DataError(f"{name} has a suffix that is not known. Known: {', '.join(SUFFIXES)}.")
    if suffix(path) == ".zarr" and path.exists():
        if not path.is_dir():
            raise DataError(f"{name} is not a folder, as those of zarr are.")
        return Format(zarrfile.zarr_header, zarrfile.decode_zarr, zarrregions.zarr_regions)
    if not path.is_file():
        raise DataError(f"{name} {'is not a file' if path.exists() else 'does not exist'}.")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise DataError(f"{name} is empty (0 bytes): copy or export it again.")
    for signatures, functions in _FORMATS.items():
        if start.startswith(signatures):
            return functions
    raise DataError(
        f"{name} is not an image: it begins with {start!r}, as no PNG, JPEG, BMP, TIFF, NIfTI or NumPy file does."
    )


def _check_finite(pixels: Shaped[np.ndarray, "*space c"]) -> None:
    finite = finite_pixels(pixels)
    if finite is not None and not finite.all():
        place = place_text(np.unravel_index(np.argmin(finite), finite.shape))
        count = int(finite.size - np.count_nonzero(finite))
        raise Unreadable(
            f"holds {count} pixels that are NaN, infinite or beyond float32, the first at {place}; "
            "give them a finite value."
        )


def finite_pixels(pixels: Shaped[np.ndarray, "*space c"]) -> Bool[np.ndarray, "*space"] | None:
    """Where pixels are finite and within float32, beyond which they would become infinite later; None of integers.

    Example:
        >>> finite_pixels(np.array([[[1.0], [np.nan]]]))
        array([[ True, False]])
    """
    if pixels.dtype.kind != "f":
        return None
    wide = pixels.dtype.itemsize > 4
    finite: Bool[np.ndarray, "*space"] = (
        np.abs(pixels) <= np.finfo(np.float32).max if wide else np.isfinite(pixels)
    ).all(axis=-1)
    return finite


def place_text(place: Sequence[SupportsInt]) -> str:
    """Where a pixel lies, in words.

    Example:
        >>> place_text((4, 2)), place_text((7, 4, 2))
        ('row 4, column 2', 'slice 7, row 4, column 2')
    """
    names = ("slice", "row", "column")[-len(place) :]
    return ", ".join(f"{name} {int(i)}" for name, i in zip(names, place, strict=True))


def _covering(palette: UInt8[np.ndarray, "n 3"], index: int) -> UInt8[np.ndarray, "m 3"]:
    """The palette, continued in black where the pixels point beyond its end, as every viewer does."""
    missing = max(index + 1 - len(palette), 0)
    return np.concatenate([palette, np.zeros((missing, 3), np.uint8)])


_FORMATS: dict[tuple[bytes, ...], Format] = {
    raster.SIGNATURES: Format(raster.raster_header, raster.decode_raster),
    tiff.SIGNATURES: Format(tiff.tiff_header, tiff.decode_tiff, tiffregions.tiff_regions),
    numpyfile.SIGNATURES: Format(numpyfile.numpy_header, numpyfile.decode_numpy, numpyfile.numpy_regions),
    nifti.SIGNATURES: Format(nifti.nifti_header, nifti.decode_nifti),
}
