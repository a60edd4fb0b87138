"""What a live training shows: the newest prediction of each image, what is looked at first."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from tinyunet.prediction.tiles import Grid
from tinyunet.runs.live.canvas import UNPAINTED
from tinyunet.runs.live.gallery import Gallery, Picture
from tinyunet.runs.live.network import Network

PART_SECONDS = 1.0
"""A large image is shown again after so long, as far as it is done…"""

PACKING_SHARE = 0.2
"""…but so rarely that packing it takes at most this part of the time."""

View = tuple[slice, slice]
"""Rows and columns that are seen of an image."""


@dataclass(frozen=True)
class Shown:
    """A prediction of an image, as PNG.

    Attributes:
        version: Of the weights; of several, the oldest. 0 while a part has not been predicted yet.
        number: Counts what was shown of the image: another one has other pictures.
        labels: Class ids, 8 bits a pixel; 255 where nothing has been predicted.
        doubt: 0 certain … 255.
        mean_doubt: Mean of the same, in [0, 1].
        agreeing: Painted pixels that are labelled as painted.
        painted: Painted pixels that have been predicted.
    """

    version: int
    number: int
    labels: bytes
    doubt: bytes
    mean_doubt: float
    agreeing: int
    painted: int


class Showing:
    """The predictions of all images.

    Args:
        gallery: The images.
        on_shown: Called whenever there is something new to see.

    Attributes:
        focus: The image that is looked at; None for none.
        view: The part of it that is seen; None for all.
    """

    def __init__(self, gallery: Gallery, *, on_shown: Callable[[], None] = lambda: None):
        self.gallery = gallery
        self.on_shown = on_shown
        self.focus: str | None = None
        self.view: View | None = None
        self._shown: dict[str, Shown] = {}
        self._ages: dict[str, list[int]] = {}

    def __getitem__(self, name: str) -> Shown:
        return self._shown[name]

    def get(self, name: str) -> Shown | None:
        """The newest prediction of an image."""
        return self._shown.get(name)

    def forget(self, name: str) -> None:
        """Drops the prediction of an image that has gone."""
        self._shown.pop(name, None)
        self._ages.pop(name, None)

    def agreement(self) -> float | None:
        """Share of the painted pixels that are labelled as painted, over all images that were predicted."""
        learnt = [self._shown.get(picture.name) for picture in self.gallery.pictures if picture.learns]
        painted = sum(one.painted for one in learnt if one is not None)
        return sum(one.agreeing for one in learnt if one is not None) / painted if painted else None

    def stale(self, version: int) -> str | None:
        """The image that wants a prediction most: the one looked at, else the one predicted by the oldest weights."""
        names = [picture.name for picture in self.gallery.pictures]
        found = {name: self._shown[name].version if name in self._shown else 0 for name in names}
        wanting = [name for name in names if found[name] < version]
        return min(wanting, key=lambda name: (name != self.focus, found[name]), default=None)

    def predict(
        self,
        network: Network,
        name: str,
        version: int,
        *,
        seconds: float = np.inf,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Predicts an image, as far as the time reaches.

        An image of one tile is predicted at once. Of a larger one, the tiles in view come first, of these the ones that
        were predicted by the oldest weights, and of these the ones nearest to the middle; it is shown again and again
        while they are computed.

        Args:
            network: With the weights.
            name: Of the image; one that is not there any more is left.
            version: Of the weights.
            seconds: After which no further tile is begun.
            stop: Asked after each tile; where it says so, the rest stays as it is.
        """
        try:
            picture, prepared = self.gallery[name], self.gallery.prepared(name)
        except KeyError:  # removed since
            return
        grid = network.grid(picture.shape)
        if grid.blend or len(grid) <= grid.batch:
            found = network.predict(prepared)
            self._show(picture, version, found.labels, found.doubt)
            return
        began = told = time.monotonic()
        labels, doubt = self._known(picture)
        batches = range(0, len(grid), grid.batch)
        ages = self._ages.setdefault(name, [0] * len(batches))
        wanting = [i for i in range(len(batches)) if ages[i] < version]
        wanting.sort(key=lambda i: self._place(grid, batches[i], name, ages[i]))
        for i in wanting:
            for place, values in network.predict_tiles(prepared, grid, batches[i]):
                labels[place], doubt[place] = values[..., 0], values[..., 1]
            ages[i] = version
            now = time.monotonic()
            if i == wanting[-1] or now - began > seconds or stop():
                break
            if now - told > PART_SECONDS:
                self._show(picture, min(ages), labels, doubt)
                packed = time.monotonic()
                told = max(packed, packed + (packed - now) / PACKING_SHARE - PART_SECONDS)
        self._show(picture, min(ages), labels, doubt)

    def _place(self, grid: Grid, number: int, name: str, age: int) -> tuple[bool, int, float]:
        """Where a tile comes in the order: whether it is out of view, its age, how far it is from what is looked at."""
        core = grid.tile(number).destination
        seen = self.view if name == self.focus else None
        view = seen or tuple(slice(0, side) for side in grid.shape)
        outside = any(a.stop <= b.start or b.stop <= a.start for a, b in zip(core, view, strict=True))
        middles = ((a.start + a.stop - b.start - b.stop) / 2 for a, b in zip(core, view, strict=True))
        return outside, age, sum(d * d for d in middles)

    def _known(self, picture: Picture) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
        """Labels and doubt as they were shown last, to be written into."""
        before = self._shown.get(picture.name)
        if before is None:
            self._ages.pop(picture.name, None)
            return np.full(picture.shape, UNPAINTED, np.uint8), np.zeros(picture.shape, np.uint8)
        labels, doubt = (np.array(Image.open(io.BytesIO(file))) for file in (before.labels, before.doubt))
        return labels, doubt

    def _show(
        self, picture: Picture, version: int, labels: UInt8[np.ndarray, "h w"], doubt: UInt8[np.ndarray, "h w"]
    ) -> None:
        """Packs a prediction, with what paint says of it."""
        before, paint = self._shown.get(picture.name), picture.canvas.labels
        predicted = labels != UNPAINTED
        painted = (paint != UNPAINTED) & predicted
        shown = Shown(
            version=version,
            number=1 if before is None else before.number + 1,
            labels=_png(labels),
            doubt=_png(doubt),
            mean_doubt=float(doubt[predicted].mean()) / 255,
            agreeing=int((painted & (labels == paint)).sum()),
            painted=int(painted.sum()),
        )
        if picture.name in self.gallery:
            self._shown[picture.name] = shown
        self.on_shown()


def _png(grey: UInt8[np.ndarray, "h w"]) -> bytes:
    """A picture as PNG, packed quickly rather than tightly."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
