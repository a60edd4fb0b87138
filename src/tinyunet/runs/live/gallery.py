"""The images of a live training: pixels as long as memory allows, paint always."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Shaped

from tinyunet.data.normalise import Normalisation, measure, normalise
from tinyunet.runs.live.canvas import Canvas

ReadPixels = Callable[[], Shaped[np.ndarray, "h w c"]]
"""Reads an image, with the channels that are used."""


@dataclass(frozen=True)
class Picture:
    """One image.

    Args:
        name: By which it is known.
        read: Its pixels.
        canvas: Its paint.
        learns: Whether the paint is learnt from; not that of images which are kept for a test.
    """

    name: str
    read: ReadPixels
    canvas: Canvas
    learns: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.canvas.shape


class Gallery:
    """Images by name; those that were used last are kept in memory.

    Several threads may use it at once.

    Args:
        max_bytes: Of pixels that are kept, one image at least.
    """

    def __init__(self, *, max_bytes: int):
        self.max_bytes = max_bytes
        self._pictures: dict[str, Picture] = {}
        self._kept: OrderedDict[str, tuple[Shaped[np.ndarray, "h w c"], Normalisation]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Picture:
        return self._pictures[name]

    def __contains__(self, name: str) -> bool:
        return name in self._pictures

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def pictures(self) -> list[Picture]:
        """All images, in the order in which they came."""
        with self._lock:
            return list(self._pictures.values())

    def add(self, picture: Picture) -> None:
        """Takes an image in, or another one of that name instead."""
        with self._lock:
            self._pictures[picture.name] = picture
            self._kept.pop(picture.name, None)

    def remove(self, name: str) -> None:
        """Forgets an image."""
        with self._lock:
            self._pictures.pop(name, None)
            self._kept.pop(name, None)

    def prepared(self, name: str) -> Float32[np.ndarray, "h w c"]:
        """A whole image as the network sees it: mean 0 and standard deviation 1 in each channel."""
        pixels, normalisation = self._pixels(name)
        return normalise(pixels, normalisation)

    def window(
        self, name: str, rows: Int[np.ndarray, " n"], columns: Int[np.ndarray, " m"]
    ) -> Float32[np.ndarray, "n m c"]:
        """The same of some rows and columns alone."""
        pixels, normalisation = self._pixels(name)
        return normalise(pixels[np.ix_(rows, columns)], normalisation)

    def _pixels(self, name: str) -> tuple[Shaped[np.ndarray, "h w c"], Normalisation]:
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            picture = self._pictures[name]
        pixels = picture.read()
        item = pixels, measure(pixels)
        with self._lock:
            if name in self._pictures:
                self._kept[name] = item
            while sum(kept.nbytes for kept, _ in self._kept.values()) > self.max_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return item
