"""One tile or strip of a TIFF, decoded through libtiff: put into a file of its own, as Pillow reads only whole ones."""

import io
import struct

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import PHOTOMETRIC, TiffPage

from tinyunet.data.raster import pixels

_SHORT, _LONG, _BYTES = 3, 4, 7
_KEPT_SHORTS = (
    259,  # Compression
    266,  # FillOrder
    317,  # Predictor
    530,  # YCbCrSubSampling
)
_JPEG_TABLES = 347
_PLAIN = {("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1), ("float32", 1)}


def libtiff_keeps(page: TiffPage) -> bool:
    """Whether a page comes out of Pillow as it is stored, with no bits cut off and nothing turned."""
    grey_or_rgb = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)
    known = grey_or_rgb or (page.photometric == PHOTOMETRIC.YCBCR and page.samplesperpixel == 3)
    upright = page.tags.valueof("Orientation", 1) == 1
    return known and upright and page.planarconfig == 1 and (np.dtype(page.dtype).name, page.samplesperpixel) in _PLAIN


def decode_alone(page: TiffPage, data: bytes, *, rows: int, columns: int) -> np.ndarray:
    """The pixels of a tile or strip, (rows, columns, samples); YCbCr become RGB.

    Args:
        page: The page it belongs to, of those that `libtiff_keeps`.
        data: Its bytes, as compressed.
        rows: Of the tile or strip.
        columns: The same.

    Raises:
        ValueError: It has another size.
        OSError: It is damaged.
    """
    with TiffImageFile(io.BytesIO(_file(page, data, rows, columns))) as image:
        array = pixels(image)
    if array.shape != (rows, columns, page.samplesperpixel) or array.dtype.name != np.dtype(page.dtype).name:
        raise ValueError(f"it holds {array.shape} {array.dtype}, not {(rows, columns, page.samplesperpixel)}")
    turned = page.photometric == PHOTOMETRIC.MINISWHITE and array.dtype == np.uint8
    return 255 - array if turned else array  # Pillow turns the stored values round


def _file(page: TiffPage, data: bytes, rows: int, columns: int) -> bytes:
    """A TIFF of one strip with the tags that its decoding depends on."""
    order = page.parent.byteorder
    samples = page.samplesperpixel
    bits = 8 * np.dtype(page.dtype).itemsize
    found: dict[int, tuple[int, list[int] | bytes]] = {
        256: (_LONG, [columns]),
        257: (_LONG, [rows]),
        258: (_SHORT, [bits] * samples),
        262: (_SHORT, [int(page.photometric)]),
        273: (_LONG, [8]),
        277: (_SHORT, [samples]),
        278: (_LONG, [rows]),
        279: (_LONG, [len(data)]),
        284: (_SHORT, [1]),
        339: (_SHORT, [3 if np.dtype(page.dtype).kind == "f" else 1] * samples),
    }
    for tag in _KEPT_SHORTS:
        value = page.tags.valueof(tag)
        if value is not None:
            found[tag] = (_SHORT, [int(one) for one in (value if isinstance(value, tuple) else (value,))])
    if page.extrasamples:
        found[338] = (_SHORT, [int(one) for one in page.extrasamples])
    if page.jpegtables is not None:
        found[_JPEG_TABLES] = (_BYTES, page.jpegtables)
    start = 8 + len(data) + len(data) % 2
    after = start + 2 + 12 * len(found) + 4
    entries, more = b"", b""
    for tag, (kind, values) in sorted(found.items()):
        letter = "H" if kind == _SHORT else "I"
        content = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{letter}", *values)
        entries += struct.pack(f"{order}HHI", tag, kind, len(values))
        if len(content) <= 4:
            entries += content.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", after + len(more))
            more += content + b"\0" * (len(content) % 2)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    directory = struct.pack(f"{order}H", len(found)) + entries + bytes(4)
    return head + data + b"\0" * (len(data) % 2) + directory + more
