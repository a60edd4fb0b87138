"""What is painted in one go: a rectangle of an image, sent as PNG."""

import io
import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tinyunet.runs.live.canvas import UNCHANGED, UNPAINTED
from tinyunet.web.uploads import UploadError

MAX_BYTES = 2**25
"""Of a stroke as it is sent: 4096² pixels as they come."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Stroke:
    """A stroke that fits its image.

    Args:
        corner: Its first row and column.
        pixels: Class ids, `UNPAINTED` where it erases, `UNCHANGED` where it leaves all as it is.
        identity: By which it is known when it comes a second time, or "".
    """

    corner: tuple[int, int]
    pixels: UInt8[np.ndarray, "h w"]
    identity: str = ""


def read_stroke(
    content: bytes,
    *,
    box: tuple[int, int, int, int],
    image: tuple[int, int],
    classes: int,
    identity: str | None = None,
) -> Stroke:
    """Reads a stroke, of which nothing is believed.

    Args:
        content: A PNG with 8 bits of grey for each pixel.
        box: Left, top, width and height, as they are claimed.
        image: Height and width of the image.
        classes: How many classes there are.
        identity: At most 64 letters and digits.

    Raises:
        UploadError: It is no such PNG, of another size, reaches beyond the image, or holds what is no class.
    """
    left, top, width, height = box
    if min(left, top) < 0 or min(width, height) < 1 or top + height > image[0] or left + width > image[1]:
        raise UploadError(
            422,
            f"The stroke must lie inside the image of {image[1]} × {image[0]} pixels, got x={left}, y={top}, "
            f"width={width}, height={height}.",
        )
    if identity is not None and not _ID.fullmatch(identity):
        raise UploadError(422, "`X-Stroke-Id` must be 1 to 64 letters, digits, - and _.")
    pixels = read_labels(content, shape=(height, width))
    values = np.flatnonzero(np.bincount(pixels.reshape(-1), minlength=256))
    unknown = [value for value in values.tolist() if value >= classes and value not in (UNCHANGED, UNPAINTED)]
    if unknown:
        raise UploadError(
            422,
            f"The stroke holds {unknown[0]}, which is no class: there are 0 to {classes - 1}, {UNCHANGED} for "
            f"unchanged and {UNPAINTED} for erased.",
        )
    return Stroke((top, left), pixels, identity or "")


def read_labels(content: bytes, *, shape: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """The pixels of a PNG with 8 bits of grey for each.

    Args:
        content: The PNG.
        shape: Height and width that it must have; they are looked at before anything is decoded.

    Raises:
        UploadError: It is none.
    """
    if not content:
        raise UploadError(400, "The stroke is empty: send a PNG as the body.")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.size != shape[::-1]:
                raise UploadError(
                    422,
                    f"The stroke must be {shape[1]} × {shape[0]} pixels as its box says, got "
                    f"{picture.size[0]} × {picture.size[1]}.",
                )
            if picture.mode != "L":
                raise UploadError(422, "The stroke must be a PNG with 8 bits of grey for each pixel.")
            return np.array(picture)
    except UploadError:
        raise
    except Exception as error:  # a hostile file may meet any exception there is
        raise UploadError(422, f"The stroke is no PNG that can be read: {type(error).__name__}.") from None


def labels_png(labels: UInt8[np.ndarray, "h w"]) -> bytes:
    """Class ids as PNG, 8 bits of grey for each pixel.

    Example:
        >>> read_labels(labels_png(np.array([[1, 255]], np.uint8)), shape=(1, 2)).tolist()
        [[1, 255]]
    """
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
