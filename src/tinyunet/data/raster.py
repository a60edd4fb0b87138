"""PNG, JPEG and BMP to arrays, through Pillow, without its silent losses."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from tinyunet.data.header import Header, Unreadable

# The classes are opened directly, not through `PIL.Image.open`: no other decoder of Pillow's can be reached by a
# hostile file, and the bound on the number of pixels is ours (`header.MAX_PIXELS`), not a global of Pillow's that
# refuses honest images above 179 megapixels and prints a warning above 89.
_CLASSES: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
}
SIGNATURES = tuple(_CLASSES)

# What a mode becomes: (channels, dtype). Indices become the RGB colours of their palette, CMYK becomes RGB.
_MODES = {
    "1": (1, "uint8"),
    "L": (1, "uint8"),
    "LA": (2, "uint8"),
    "P": (3, "uint8"),
    "PA": (3, "uint8"),
    "RGB": (3, "uint8"),
    "RGBA": (4, "uint8"),
    "CMYK": (3, "uint8"),
    "YCbCr": (3, "uint8"),
    "I;16": (1, "uint16"),
    "I;16B": (1, "uint16"),
    "I": (1, "int32"),
    "F": (1, "float32"),
}
# 16-bit PNGs of several channels, of which Pillow keeps the upper bytes only:
# its raw mode -> (channels, the raw mode that keeps the lower bytes instead).
_WIDE = {"RGB;16B": (3, "RGB;16L"), "RGBA;16B": (4, "RGBA;16L"), "LA;16B": (2, "")}


def raster_header(path: Path, axes: str = "") -> Header:
    """What `decode_raster` will give them, from the file's header alone.

    Raises:
        Unreadable: The file is an animation, or of a kind of pixel that is not known.
    """
    with _open(path) as image:
        channels, dtype = _layout(image)
        height, width = (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)
        return Header((height, width), channels, dtype)


def decode_raster(path: Path, axes: str = "") -> tuple[Shaped[np.ndarray, "h w c"], UInt8[np.ndarray, "n 3"] | None]:
    """Pixels as stored, and the palette where they are indices into one.

    1 bit becomes 0 and 255; 2 and 4 bits are spread over 0 to 255 as every viewer does; 16 bits stay 16 bits. A JPEG
    photograph is turned upright as its EXIF orientation says, because that is how its mask was drawn.

    Raises:
        Unreadable: The file is an animation, or of a kind of pixel that is not known.
    """
    with _open(path) as image:
        _layout(image)
        if _raw_mode(image) in _WIDE:
            return _decode_wide(path, image), None
        return upright(pixels(image), _orientation(image)), palette(image)


def pixels(image: Image) -> Shaped[np.ndarray, "h w c"]:
    """The pixels of a Pillow image, channels last; indices stay indices, CMYK and YCbCr become RGB."""
    if image.mode in ("CMYK", "YCbCr"):
        image = image.convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    array = np.asarray(image)
    array = array.astype(array.dtype.newbyteorder("="))
    if image.mode == "PA":
        array = array[..., :1]
    return array if array.ndim == 3 else array[..., None]


def palette(image: Image) -> UInt8[np.ndarray, "n 3"] | None:
    """The RGB colours that the indices of a Pillow image stand for, or None where its pixels are no indices."""
    if image.mode not in ("P", "PA"):
        return None
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)


def upright(array: Shaped[np.ndarray, "h w c"], orientation: int) -> Shaped[np.ndarray, "_ _ c"]:
    """Turn and mirror an array as an EXIF orientation says.

    Args:
        array: Pixels as stored.
        orientation: 1 to 8; where the stored first row and column belong.

    Returns:
        Pixels as shown; height and width are exchanged from orientation 5 on.

    Example:
        >>> upright(np.array([[[1], [2]]]), 6)[..., 0].tolist()
        [[1], [2]]

    References:
        CIPA DC-008 (Exif 2.32), section 4.6.4, tag 0x0112.
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _open(path: Path) -> ImageFile:
    with path.open("rb") as file:
        start = file.read(8)
    for signature, kind in _CLASSES.items():
        if start.startswith(signature):
            return kind(path)
    raise Unreadable("is no PNG, JPEG or BMP file.")


def _layout(image: ImageFile) -> tuple[int, str]:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise Unreadable(f"is an animation of {frames} frames; save one frame per file.")
    if _raw_mode(image) in _WIDE:
        return _WIDE[_raw_mode(image)][0], "uint16"
    if image.mode not in _MODES:
        raise Unreadable(f"has pixels of the kind {image.mode!r}; save it as 8-bit or 16-bit grey or RGB.")
    return _MODES[image.mode]


def _raw_mode(image: ImageFile) -> str:
    """How the bytes of a PNG's pixels are laid out; "" for what has no such name."""
    args = image.tile[0].args if image.tile else ""
    return args if isinstance(args, str) else ""


def _orientation(image: ImageFile) -> int:
    """The EXIF orientation of a JPEG; 1, upright, where there is none or it makes no sense."""
    if not isinstance(image, JpegImageFile):
        return 1  # a PNG may carry it behind its pixels, so that the header alone would not tell
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # damaged metadata must not make good pixels unreadable
        return 1
    return orientation if orientation in range(1, 9) else 1


def _decode_wide(path: Path, image: ImageFile) -> Shaped[np.ndarray, "h w c"]:
    """A 16-bit PNG of several channels: its bytes, decoded so that none is lost, put together in pairs."""
    raw_mode = _raw_mode(image)
    channels, low_mode = _WIDE[raw_mode]
    if channels == 2:
        # Four bytes for each pixel, as in 8-bit RGBA: grey high, grey low, alpha high, alpha low.
        image.tile = [image.tile[0]._replace(args="RGBA")]
        both = np.asarray(image).astype(np.uint16)
        return both[..., ::2] << 8 | both[..., 1::2]
    with _open(path) as again:
        again.tile = [again.tile[0]._replace(args=low_mode)]
        return np.asarray(image).astype(np.uint16) << 8 | np.asarray(again)
