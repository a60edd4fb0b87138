"""Bytes from outside to an image: told by their content, bounded before they are decoded, read by our own readers."""

import math
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from tifffile import COMPRESSION, TiffFile, TiffPage

from tinyunet.data import numpyfile, raster, tiff
from tinyunet.data.header import Header
from tinyunet.data.readers import read_header, read_image
from tinyunet.errors import DataError

_KINDS: dict[bytes, str] = {
    raster.SIGNATURES[0]: ".png",
    raster.SIGNATURES[1]: ".jpg",
    raster.SIGNATURES[2]: ".bmp",
    **dict.fromkeys(tiff.SIGNATURES, ".tif"),
    **dict.fromkeys(numpyfile.SIGNATURES, ".npy"),
}
_BYTES_PER_PIXEL = 16
"""What a pixel may take as it is stored: four channels of 32 bits. So many pixels as are allowed take no more."""

_MAX_PAGES = 4096
_SPARE_BYTES = 1024
_DEFLATE = (COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)


@dataclass(frozen=True, kw_only=True)
class UploadLimits:
    """How large an upload may be.

    Attributes:
        max_bytes: As it is sent.
        max_pixels: As it is decoded.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 2**26


class UploadError(Exception):
    """An upload that is refused.

    Args:
        status: Of HTTP: 400 nothing was sent, 413 too large, 415 not an image, 422 one that cannot be read.
        detail: One line that says what is wrong, and the way out.
    """

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class Upload:
    """An image that was sent.

    Args:
        image: Pixels as stored, channels last; at least one, all finite.
        header: What the file says about itself.
        suffix: Of its format, with which it could be kept; the name it was sent under is never looked at.
    """

    image: Shaped[np.ndarray, "*space c"]
    header: Header
    suffix: str


def read_upload(content: bytes, limits: UploadLimits | None = None) -> Upload:
    """Reads an image from bytes.

    Args:
        content: PNG, JPEG, BMP, TIFF, or a NumPy array without objects.
        limits: How large it may be.

    Raises:
        UploadError: It is refused.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> np.save(file, np.zeros((4, 6), np.uint8))
        >>> read_upload(file.getvalue()).image.shape
        (4, 6, 1)
        >>> read_upload(b"GIF89a")
        Traceback (most recent call last):
        ...
        tinyunet.web.uploads.UploadError: The upload is no PNG, JPEG, BMP, TIFF or NumPy file, whatever its name says.
    """
    with stored_upload(content, limits) as (path, header):
        with _explained(path):
            image = read_image(path)
        return Upload(image, header, path.suffix)


@contextmanager
def stored_upload(
    content: bytes, limits: UploadLimits | None = None, *, axes: str = ""
) -> Iterator[tuple[Path, Header]]:
    """Puts bytes that claim to be an image into a file of a private folder, which is removed when the block ends.

    Args:
        content: As for `read_upload`.
        limits: How large it may be.
        axes: Letters of its axes, where files do not say them; see `tinyunet.data.readers.read_image`.

    Yields:
        The file, which bears a name of ours and the suffix of its content, and what its header says. Its pixels have
        not been decoded, and reading them may still fail.

    Raises:
        UploadError: It is refused.
    """
    limits = limits or UploadLimits()
    kind = kind_of(content, limits)
    with tempfile.TemporaryDirectory(prefix="tinyunet-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, f"image{kind}")
        path.write_bytes(content)
        yield path, examine(path, limits, axes=axes)


def kind_of(content: bytes, limits: UploadLimits) -> str:
    """The suffix of the format that bytes begin as.

    Raises:
        UploadError: There are none or too many of them, or they are of no format that is read.
    """
    if not content:
        raise UploadError(400, "The upload is empty (0 bytes): send the image as the body or as the field `image`.")
    if len(content) > limits.max_bytes:
        raise UploadError(413, f"The upload must be at most {limits.max_bytes / 2**20:.3g} MiB.")
    for signature, kind in _KINDS.items():
        if content.startswith(signature):
            return kind
    raise UploadError(415, "The upload is no PNG, JPEG, BMP, TIFF or NumPy file, whatever its name says.")


def examine(path: Path, limits: UploadLimits, *, axes: str = "") -> Header:
    """What a file says about itself, none of whose pixels is decoded.

    Args:
        path: The file.
        limits: How large it may be.
        axes: Letters of its axes, where it does not say them.

    Raises:
        UploadError: It is damaged, of a kind that is not read, or would become too large.
    """
    with _explained(path):
        if path.suffix == ".tif":
            _check_pages(path)
        header = read_header(path, axes=axes)
        pixels = math.prod(header.shape)
        size = pixels * header.channels * np.dtype(header.dtype).itemsize
        if pixels > limits.max_pixels or size > _BYTES_PER_PIXEL * limits.max_pixels:
            words = " × ".join(map(str, header.shape)) + f" pixels of {header.channels} channels, {header.dtype}"
            raise UploadError(
                413, f"The upload claims {words}; at most {limits.max_pixels} pixels are taken: cut it or shrink it."
            )
        if path.suffix == ".tif":
            _check_segments(path, _BYTES_PER_PIXEL * limits.max_pixels)
    return header


def _check_pages(path: Path) -> None:
    """Refuses a TIFF of more pages than any image has, counted along their chain without reading them."""
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:2] == b"II" else ">"
        big = struct.unpack(f"{order}H", start[2:4])[0] == 43
        count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
        position = 8 if big else 4
        file.seek(position)
        for _ in range(_MAX_PAGES + 1):
            place = file.read(struct.calcsize(f"={offset}"))
            (next_page,) = struct.unpack(f"{order}{offset}", place)
            if next_page == 0:
                return
            file.seek(next_page)
            (tags,) = struct.unpack(f"{order}{count}", file.read(struct.calcsize(f"={count}")))
            file.seek(tags * entry, 1)
    raise UploadError(413, f"The upload is a TIFF of more than {_MAX_PAGES} pages: save the image alone.")


def _check_segments(path: Path, bound: int) -> None:
    """Refuses a TIFF with a strip or tile that is too large, or holds more than its size says: it is decoded whole."""
    with TiffFile(path, _multifile=False) as tif, path.open("rb") as file:
        for page in tif.pages:
            frame = page.aspage()
            most = _segment_bytes(frame)
            if most > bound + _SPARE_BYTES:
                raise UploadError(413, "The upload is a TIFF whose tiles are larger than what is taken: save it anew.")
            if frame.compression not in (*_DEFLATE, COMPRESSION.PACKBITS):
                continue  # libtiff, which undoes the others, stops at the end of a strip
            for start, size in zip(frame.dataoffsets, frame.databytecounts, strict=True):
                file.seek(start)
                data = file.read(size)
                if _grows_beyond(data, most, deflate=frame.compression in _DEFLATE):
                    raise UploadError(
                        413, "The upload is a TIFF whose compressed pixels are more than its size says: save it anew."
                    )


def _segment_bytes(page: TiffPage) -> int:
    """Bytes of the largest strip or tile of a page, once decoded, with a little to spare for padding."""
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = rows if page.is_tiled else min(rows, page.imagelength)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    depth = page.tiledepth if page.is_tiled else page.imagedepth
    return math.ceil(rows * (columns * samples * page.bitspersample + 7) / 8) * depth + _SPARE_BYTES


def _grows_beyond(data: bytes, most: int, *, deflate: bool) -> bool:
    if deflate:
        decoder = zlib.decompressobj()
        decoder.decompress(data, most)
        return bool(decoder.unconsumed_tail) and len(decoder.decompress(decoder.unconsumed_tail, 1)) > 0
    grown = position = 0
    while position < len(data) and grown <= most:
        code = data[position]
        grown += code + 1 if code < 128 else 257 - code if code > 128 else 0
        position += code + 2 if code < 128 else 2 if code > 128 else 1
    return grown > most


def refusal(error: DataError, path: Path) -> str:
    """What an error says, in one line, of an upload instead of the file it was put into.

    Args:
        error: Of our readers or our predictions.
        path: The file, whose name does not appear.

    Example:
        >>> refusal(DataError("/tmp/x/image.png is empty.", "And more."), Path("/tmp/x/image.png"))
        'The upload is empty.'
    """
    first, *_ = error.problems
    return first.replace(str(path), "The upload")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what our readers say of a file into what is wrong with the upload."""
    try:
        yield
    except UploadError:
        raise
    except DataError as error:
        raise UploadError(422, refusal(error, path)) from None
    except Exception as error:  # a hostile file may meet any exception there is
        raise UploadError(422, f"The upload is damaged: {type(error).__name__}. Copy or export it again.") from None
