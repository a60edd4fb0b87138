"""Which parts of which images a step sees: windows around paint, new paint more often."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tinyunet.data.batches import BatchConfig, mirrored
from tinyunet.data.labelling import IGNORE
from tinyunet.runs.live.canvas import BLOCK, Canvas
from tinyunet.runs.live.gallery import Gallery, Picture

NEWS = 4.0
"""How many times as often a block that was just painted is looked at, beyond once."""

NEWS_STEPS = 150.0
"""After so many steps, half of that is left."""


class Patches:
    """Draws the batch of a step from what is painted at that moment.

    A sample is a class, an image with paint of that class, and a block of 16 pixels with such paint in it; each class,
    each image and each block is as likely as the others, but for weights

        w = 1 + NEWS 2^(-s / NEWS_STEPS)

    of images and blocks that were painted last s steps ago. The patch lies around that block, off its middle by up to a
    quarter of its own size, inside the image as far as that reaches.

    Args:
        gallery: The images.
        config: Sizes.
        seed: Of what is drawn.
    """

    def __init__(self, gallery: Gallery, config: BatchConfig, *, seed: int):
        self.gallery = gallery
        self.config = config
        self.seed = seed

    def __call__(self, step: int, *, classes: int) -> dict[str, Any] | None:
        """The windows of a step with their labels; None where nothing is painted.

        Args:
            step: Its number, from 0: with the seed, the root of what is drawn.
            classes: Labels from here on are taken for unpainted: the network does not know them yet.
        """
        rng = np.random.default_rng((self.seed, step))
        pictures = [picture for picture in self.gallery.pictures if picture.learns and picture.canvas.painted]
        by_class = _by_class(pictures, classes)
        if not by_class:
            return None
        samples = [self._sample(rng, by_class, step, classes) for _ in range(self.config.batch)]
        return {
            "images": np.stack([image for image, _ in samples]),
            "labels": np.stack([labels for _, labels in samples]),
            "epoch": np.full(len(samples), step, np.int32),
            "number": np.arange(len(samples), dtype=np.int32),
        }

    def _sample(
        self, rng: np.random.Generator, by_class: dict[int, list[Picture]], step: int, classes: int
    ) -> tuple[Float[np.ndarray, "h w c"], Int[np.ndarray, "h w"]]:
        """One window and its labels."""
        k = int(rng.choice(list(by_class)))
        pictures = by_class[k]
        news = np.array([_newest(picture.canvas, k) for picture in pictures])
        picture = pictures[_drawn(rng, _weights(news, step))]
        blocks = np.argwhere(picture.canvas.counts[k] > 0)
        if not len(blocks):  # erased since
            blocks = np.argwhere(np.ones_like(picture.canvas.painted_at, bool))
        block = blocks[_drawn(rng, _weights(picture.canvas.painted_at[tuple(blocks.T)], step))]
        rows, columns = (
            self._positions(rng, int(b) * BLOCK + BLOCK // 2, side, axis)
            for axis, (b, side) in enumerate(zip(block, picture.shape, strict=True))
        )
        labels = picture.canvas.cut(rows, columns).astype(np.int32)
        return self.gallery.window(picture.name, rows, columns), np.where(labels < classes, labels, IGNORE)

    def _positions(self, rng: np.random.Generator, centre: int, side: int, axis: int) -> Int[np.ndarray, " n"]:
        """Rows or columns of a window around a pixel, mirrored where they lie outside."""
        patch = self.config.patch_shape(2)[axis]
        margin, window = self.config.margin_shape(2)[axis], self.config.window_shape(2)[axis]
        start = centre - patch // 2 + int(rng.integers(-patch // 4, patch // 4 + 1))
        # An image smaller than the patch lies in its middle.
        start = int(np.clip(start, 0, side - patch)) if side >= patch else -((patch - side) // 2)
        return mirrored(start - margin, window, side)


def _by_class(pictures: list[Picture], classes: int) -> dict[int, list[Picture]]:
    """The images that hold paint of each class."""
    found: dict[int, list[Picture]] = {}
    for picture in pictures:
        for k in picture.canvas.classes:
            if k < classes:
                found.setdefault(k, []).append(picture)
    return dict(sorted(found.items()))


def _newest(canvas: Canvas, k: int) -> float:
    """When paint of a class was last put on."""
    return float(np.max(canvas.painted_at, where=canvas.counts[k] > 0, initial=-np.inf))


def _weights(painted_at: Float[np.ndarray, " n"], step: int) -> Float[np.ndarray, " n"]:
    return 1 + NEWS * np.exp2(-np.maximum(0.0, step - painted_at) / NEWS_STEPS)


def _drawn(rng: np.random.Generator, weights: Float[np.ndarray, " n"]) -> int:
    """A place, with a probability in proportion to its weight."""
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right").clip(max=len(weights) - 1))
