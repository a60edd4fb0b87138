"""TIFF to arrays: axes and dtypes through tifffile, the compressions it does not know through Pillow."""

import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage, TiffPageSeries

from tinyunet.data.axes import channels_last
from tinyunet.data.header import Geometry, Header, Unreadable
from tinyunet.data.raster import palette, pixels
from tinyunet.data.units import micrometres

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
_KNOWN = {"Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c", "I": "?", "Q": "?"}  # ? for pages that nothing names
# The attributes of OME's first image; bounds keep a search through hostile text short.
_PIXELS = re.compile(r"<(?:\w{1,32}:)?Pixels\s([^<>]{0,8192})")
_SIZE = re.compile(r"""\bPhysicalSize([XYZ](?:Unit)?)=["']([^"'<>]{1,32})["']""")


def tiff_header(path: Path, axes: str = "") -> Header:
    """What `decode_tiff` will give (palettes counted as RGB), from tags alone.

    Args:
        path: The file.
        axes: Letters of the axes as declared, by which pages that nothing names are slices or channels.

    Raises:
        Unreadable: The file holds more than one image, or pages that may be slices or images of their own.
    """
    with TiffFile(path, _multifile=False) as tif:
        series, letters = only_series(tif, axes)
        *space, channels = _sizes(series, letters)
        dtype = "uint8" if series.dtype == bool else str(np.dtype(series.dtype).newbyteorder("="))
        if series.keyframe.photometric == PHOTOMETRIC.PALETTE:
            channels, dtype = 3, "uint8"
        if series.keyframe.photometric in _TO_RGB:
            channels = 3
        return Header(tuple(space), channels, dtype, _geometry(tif, len(space)))


def decode_tiff(path: Path, axes: str = "") -> tuple[Shaped[np.ndarray, "*space c"], UInt8[np.ndarray, "n 3"] | None]:
    """Pixels as stored, channels last, and the palette where they are indices into one.

    Channels may lie in each pixel, in planes (C, Y, X), or in pages that OME or ImageJ metadata name as channels; pages
    that these name as slices make a volume. Values are the stored ones whether 0 means black or white; 1 bit becomes 0
    and 255.

    Raises:
        Unreadable: As `tiff_header`, or compressed in a way that cannot be undone without loss.
    """
    with TiffFile(path, _multifile=False) as tif:
        series, letters = only_series(tif, axes)
        page = series.keyframe
        if not decodes_itself(page):
            return _decode_with_pillow(path, series, letters)
        stored = [size for size, letter in zip(series.shape, letters, strict=True) if letter]
        array = channels_last(series.asarray().reshape(stored), "".join(letters))
        if array.dtype == bool:
            array = array.astype(np.uint8) * np.uint8(255)
        return array, _palette(page) if page.photometric == PHOTOMETRIC.PALETTE else None


def decodes_itself(page: TiffPage) -> bool:
    """Whether tifffile alone decodes the pixels of a page; those of all others go through Pillow."""
    return page.compression in _COMPRESSIONS and page.predictor in _PREDICTORS and page.photometric not in _TO_RGB


def only_series(tif: TiffFile, axes: str) -> tuple[TiffPageSeries, list[str]]:
    """The one image of a file and what each of its axes is: a letter of zyxc, or "" for one that is a single page.

    Refused where there are several images, or where a part of it is missing.

    Args:
        tif: The open file.
        axes: Letters of the axes as declared.

    Raises:
        Unreadable: It is refused.
    """
    if not len(tif.pages):
        raise Unreadable("holds no image: it is damaged or cut off; copy or export it again.")
    if len(tif.series) != 1:
        raise Unreadable(f"holds {len(tif.series)} images of different kinds. {_ONE_PAGE}")
    series = tif.series[0]
    if series.axes.count("Y") != 1 or series.axes.count("X") != 1:
        raise Unreadable(f"has the axes {series.axes}, which are no image's. {_ONE_PAGE}")
    letters = _letters(series, axes)
    if "?" in letters:
        count = math.prod(size for axis, size in _axes_of(series) if axis not in "YXS")
        raise Unreadable(
            f"holds {count} pages (axes {series.axes}), which can mean one stack of slices or a series of images. "
            'For a stack set axes = "zyx" in dataset.toml; of a series save one image per file.'
        )
    # tifffile would fill what it cannot find with zeros
    if any(page is None for page in series.pages):
        raise Unreadable("lacks some of the pages that its metadata name; copy or export it again.")
    return series, letters


def _letters(series: TiffPageSeries, axes: str) -> list[str]:
    """What each axis is: a letter of zyxc, "" where it is a single page, "?" where neither file nor user says it."""
    long = [axis if size > 1 or axis in "YX" else "" for axis, size in _axes_of(series)]
    if "T" in long:
        raise Unreadable(
            f"is a time series of {series.shape[long.index('T')]} images (axes {series.axes}); save one image per "
            "file, or name its pages as slices (in ImageJ: Image, Properties)."
        )
    if series.axes.startswith("S") and "z" in axes and "c" not in axes:
        long[0] = "Z"  # three or four slices are taken for planes of colours by some writers
    letters = [_KNOWN.get(axis, "") if axis else "" for axis in long]
    named = [letter for letter in letters if letter not in ("", "?")]
    if any(axis and axis not in _KNOWN for axis in long) or len({*named}) < len(named):
        raise Unreadable(f"has the axes {series.axes}, of which only z, y, x and one of channels are read. {_ONE_PAGE}")
    free = [letter for letter in axes if letter in "zc" and letter not in named]
    if letters.count("?") == 1 and "z" in free:
        free = ["z"]  # one axis less than declared: without channels, as masks are
    if letters.count("?") == len(free):
        names = iter(free)
        letters = [next(names) if letter == "?" else letter for letter in letters]
    return letters


def _axes_of(series: TiffPageSeries) -> list[tuple[str, int]]:
    return list(zip(series.axes, series.shape, strict=True))


def _sizes(series: TiffPageSeries, letters: list[str]) -> tuple[int, ...]:
    """Pixels along each axis of space, and channels."""
    sizes = dict(zip(letters, series.shape, strict=True))
    return (*(sizes[letter] for letter in "zyx" if letter in sizes), sizes.get("c", 1))


def _geometry(tif: TiffFile, dimensions: int) -> Geometry | None:
    """The size of a pixel in micrometres, where OME or ImageJ metadata give it for every axis in a unit of length."""
    names = "ZYX"[-dimensions:]
    if tif.ome_metadata:
        pixels_tag = _PIXELS.search(tif.ome_metadata)
        found = dict(_SIZE.findall(pixels_tag[1] if pixels_tag else ""))
        sizes = [micrometres(found.get(name), found.get(f"{name}Unit", "um")) for name in names]
    elif tif.imagej_metadata:
        about, tags = tif.imagej_metadata, tif.pages.first.tags
        lengths = {
            "Z": about.get("spacing"),
            "Y": _per_unit(tags.valueof("YResolution")),
            "X": _per_unit(tags.valueof("XResolution")),
        }
        unit = about.get("unit")  # of all axes, unless those of y and z are given
        sizes = [micrometres(lengths[name], about.get(f"{name.lower()}unit", unit)) for name in names]
    else:
        return None
    known = tuple(size for size in sizes if size is not None)
    return Geometry(known) if len(known) == dimensions else None


def _per_unit(resolution: object) -> float | None:
    """The size of a pixel from pixels per unit, which TIFF stores as a fraction."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or not resolution[0]:
        return None
    return float(resolution[1] / resolution[0])


def _decode_with_pillow(
    path: Path, series: TiffPageSeries, letters: list[str]
) -> tuple[Shaped[np.ndarray, "*space c"], UInt8[np.ndarray, "n 3"] | None]:
    """Pixels through libtiff, refused where Pillow would shorten 16 bits to 8, drop a channel or turn the image."""
    page = series.keyframe
    with TiffImageFile(path) as image:
        array = pixels(image) if len(series.pages) == 1 else _stacked(image, series, letters)
        colours = palette(image)
    *space, channels = _sizes(series, letters)
    wanted = (*space, 3 if page.photometric in _TO_RGB else channels)
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


def _stacked(image: TiffImageFile, series: TiffPageSeries, letters: list[str]) -> Shaped[np.ndarray, "*space c"]:
    """The pixels of several pages; page by page, a shape that is refused, where channels do not lie in each pixel."""
    frames: list[np.ndarray] = []
    for page in series.pages:
        assert page is not None  # as `only_series` made sure of
        image.seek(page.index)
        frames.append(pixels(image))
    array = np.stack(frames)
    stored = [size for size, letter in zip(series.shape, letters, strict=True) if letter]
    in_order = series.axes.endswith(("YX", "YXS")) and frames[0].shape[:2] == series.keyframe.shape[:2]
    if not in_order or array.size != math.prod(stored):
        return array
    return channels_last(array.reshape(stored), "".join(letters))


def _palette(page: TiffPage) -> UInt8[np.ndarray, "n 3"]:
    """A TIFF colour map, which counts to 65535, as 8-bit colours; some writers count to 255 only."""
    colormap = page.colormap
    if colormap is None:
        raise Unreadable("lacks the palette that its pixels point into; save it as RGB or grey.")
    return (colormap if colormap.max() < 256 else colormap >> 8).astype(np.uint8).T
