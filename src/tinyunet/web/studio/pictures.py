"""Images as a browser shows them: 8 bits of red, green and blue, whatever the files hold."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

THUMBNAIL = 160
"""The longest side of a thumbnail in pixels."""

_SAMPLE = 2**20  # so many pixels say how dark and how bright an image is


def as_rgb(image: Shaped[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image to look at.

    Bytes stay as they are. Of other values, those from the 0.2nd to the 99.8th percentile of all channels together
    become 0 to 255. One channel is grey; of two the third is black; of more than three the others are left out.

    Example:
        >>> as_rgb(np.array([[[0], [200]]], np.uint8)).tolist()
        [[[0, 0, 0], [200, 200, 200]]]
        >>> as_rgb(np.array([[[1000], [3000]]], np.uint16))[0, :, 0].tolist()
        [0, 255]
    """
    channels = image.shape[-1]
    kept = image[..., :1] if channels == 1 else image[..., :3]
    if kept.dtype != np.uint8:
        step = max(1, round((kept.shape[0] * kept.shape[1] / _SAMPLE) ** 0.5))
        low, high = np.percentile(kept[::step, ::step].astype(np.float32), (0.2, 99.8))
        span = float(high - low) or 1.0
        kept = np.rint((kept.astype(np.float32) - low) * (255 / span)).clip(0, 255).astype(np.uint8)
    if channels == 1:
        return np.repeat(kept, 3, axis=-1)
    return np.concatenate([kept, np.zeros_like(kept[..., :1])], axis=-1) if channels == 2 else kept


def png_of(image: Shaped[np.ndarray, "h w c"]) -> bytes:
    """The same as PNG."""
    return _encoded(Image.fromarray(as_rgb(image)))


def thumbnail_of(image: Shaped[np.ndarray, "h w c"]) -> bytes:
    """The same, at most `THUMBNAIL` pixels long."""
    step = max(1, max(image.shape[:2]) // (4 * THUMBNAIL))
    picture = Image.fromarray(as_rgb(image[::step, ::step]))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return _encoded(picture)


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class Shelf:
    """What was made last, up to a bound; several threads may ask.

    Args:
        max_bytes: Of all that is kept; the newest stays, however large.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What is kept under a name, or else what `make` gives."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        made = make()
        with self._lock:
            self._kept[name] = made
            while sum(map(len, self._kept.values())) > self.max_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return made
