"""TIFF to arrays: axes and dtypes through tifffile, the compressions it does not know through Pillow."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from tinyunet.data.raster import Unreadable, palette, pixels

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# What tifffile undoes without further packages; everything else (LZW, JPEG, fax) goes through Pillow's libtiff.
_COMPRESSIONS = (
    COMPRESSION.NONE,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
)
_PREDICTORS = (1, 2)  # none, differences along a row
_TO_RGB = (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR)
_ONE_PAGE = "Save one page per file."


def tiff_header(path: Path) -> tuple[int, int, int, str]:
    """Height, width, channels and dtype as `decode_tiff` will give them (palettes counted as RGB), from tags alone.

    Raises:
        Unreadable: The file holds more than one image.
    """
    with TiffFile(path, _multifile=False) as tif:
        series = _only_series(tif)
        height, width, channels = _sizes(series)
        dtype = "uint8" if series.dtype == bool else str(np.dtype(series.dtype).newbyteorder("="))
        if series.keyframe.photometric == PHOTOMETRIC.PALETTE:
            channels, dtype = 3, "uint8"
        if series.keyframe.photometric in _TO_RGB:
            channels = 3
        return height, width, channels, dtype


def decode_tiff(path: Path) -> tuple[Shaped[np.ndarray, "h w c"], UInt8[np.ndarray, "n 3"] | None]:
    """Pixels as stored, channels last, and the palette where they are indices into one.

    Channels may lie in each pixel, in planes (C, Y, X), or in pages that OME or ImageJ metadata name as channels.
    Values are the stored ones whether 0 means black or white; 1 bit becomes 0 and 255.

    Raises:
        Unreadable: The file holds more than one image, or is compressed in a way that cannot be undone without loss.
    """
    with TiffFile(path, _multifile=False) as tif:
        series = _only_series(tif)
        page = series.keyframe
        if page.compression not in _COMPRESSIONS or page.predictor not in _PREDICTORS or page.photometric in _TO_RGB:
            return _decode_with_pillow(path, series)
        array = series.asarray().reshape(series.shape)
        channels = [i for i, axis in enumerate(series.axes) if axis not in "YX"]  # at most one is longer than 1
        array = np.moveaxis(array, channels, range(-len(channels), 0)).reshape(_sizes(series))
        if array.dtype == bool:
            array = array.astype(np.uint8) * np.uint8(255)
        return array, _palette(page) if page.photometric == PHOTOMETRIC.PALETTE else None


def _only_series(tif: TiffFile) -> TiffPageSeries:
    """The one image of a file, refused where there are several or where a part of it is missing."""
    if not len(tif.pages):
        raise Unreadable("holds no image: it is damaged or cut off; copy or export it again.")
    if len(tif.series) != 1:
        raise Unreadable(f"holds {len(tif.series)} images of different kinds. {_ONE_PAGE}")
    series = tif.series[0]
    if series.axes.count("Y") != 1 or series.axes.count("X") != 1:
        raise Unreadable(f"has the axes {series.axes}, which are no image's. {_ONE_PAGE}")
    others = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if axis not in "YX"]
    long = [axis for axis, size in others if size > 1]
    if len(long) > 1 or not set(long) <= {"S", "C"}:
        count = math.prod(size for _, size in others)
        raise Unreadable(
            f"holds {count} pages (axes {series.axes}), which can mean one stack of slices or a series of images. "
            f"{_ONE_PAGE}"
        )
    # tifffile would fill what it cannot find with zeros
    if any(page is None for page in series.pages):
        raise Unreadable("lacks some of the channels that its metadata name; copy or export it again.")
    return series


def _sizes(series: TiffPageSeries) -> tuple[int, int, int]:
    """Height, width and channels."""
    height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
    return height, width, math.prod(series.shape) // max(height * width, 1)


def _decode_with_pillow(
    path: Path, series: TiffPageSeries
) -> tuple[Shaped[np.ndarray, "h w c"], UInt8[np.ndarray, "n 3"] | None]:
    """Pixels through libtiff, refused where Pillow would shorten 16 bits to 8, drop a channel or turn the image."""
    page = series.keyframe
    with TiffImageFile(path) as image:
        array, colours = pixels(image), palette(image)
    height, width, channels = _sizes(series)
    wanted = (height, width, 3 if page.photometric in _TO_RGB else channels)
    dtype = np.dtype(np.uint8) if series.dtype == bool else np.dtype(series.dtype).newbyteorder("=")
    orientation = page.tags.valueof("Orientation", 1)
    if array.shape != wanted or array.dtype != dtype or orientation != 1:
        scheme = getattr(page.compression, "name", page.compression)
        raise Unreadable(
            f"is compressed with {scheme} in a layout that cannot be read without loss; "
            "save it without compression or with Deflate (zip)."
        )
    if page.photometric == PHOTOMETRIC.MINISWHITE and dtype == np.uint8:
        array = 255 - array  # Pillow turned the stored values round
    return array, colours


def _palette(page: TiffPage) -> UInt8[np.ndarray, "n 3"]:
    """A TIFF colour map, which counts to 65535, as 8-bit colours; some writers count to 255 only."""
    colormap = page.colormap
    if colormap is None:
        raise Unreadable("lacks the palette that its pixels point into; save it as RGB or grey.")
    return (colormap if colormap.max() < 256 else colormap >> 8).astype(np.uint8).T
