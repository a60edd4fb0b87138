"""Windows cut from labelled images, batch after batch, in an order that depends on the seed alone."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from tinyunet.data.labelling import IGNORE
from tinyunet.errors import ConfigError

Read = Callable[[int], tuple[Float32[np.ndarray, "h w c"], Int[np.ndarray, "h w"]]]
"""From the position of an image to its normalised pixels and its labels."""


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    """What one step sees.

    Attributes:
        patch: Height and width of a patch in pixels.
        margin: Pixels of context cut on every side of a patch, for the warp of the augmentation to draw from.
        batch: Patches in a step, at least 1.
        rare_share: Share of the patches that are centred on a pixel of a class other than the commonest, in [0, 1].

    Raises:
        ConfigError: A value out of its range.

    References:
        Isensee et al. (2021), nnU-Net, supplementary note 4: a third of the patches is forced to hold foreground.
    """

    patch: int = 256
    margin: int = 32
    batch: int = 2
    rare_share: float = 0.33

    def __post_init__(self) -> None:
        for name, least in (("patch", 8), ("margin", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"`batches.{name}` must be at least {least}, got {getattr(self, name)}.")
        if not 0 <= self.rare_share <= 1:
            raise ConfigError(f"`batches.rare_share` must be in [0, 1], got {self.rare_share}.")

    @property
    def window(self) -> int:
        """Height and width of what is cut: the patch and its margins."""
        return self.patch + 2 * self.margin


@dataclasses.dataclass(frozen=True)
class Sampler:
    """The window of every sample of a training, as a pure function of the sample's number.

    Sample n is number i = n mod N of epoch e = n div N, N being the number of all visits; an epoch goes through a
    permutation of the visits drawn from (seed, e), and what is cut out is drawn from (seed, e, i).

    Args:
        visits: How often an epoch comes to each image, at least once; see `visits_of`.
        read: Reads one of them; called from several threads.
        config: Sizes and the share of forced patches.
        seed: Of the order and the positions, at least 0.
        common: The class id that `rare_share` does not look for.
    """

    visits: tuple[int, ...]
    read: Read
    config: BatchConfig
    seed: int
    common: int = 0

    def __call__(self, n: int) -> dict[str, Any]:
        """The window of sample n, with its labels, its epoch and its number in it."""
        epoch, index = divmod(int(n), sum(self.visits))
        places = np.repeat(np.arange(len(self.visits)), self.visits)
        order = np.random.default_rng((self.seed, epoch)).permutation(places)
        rng = np.random.default_rng((self.seed, epoch, index))
        image, labels = self.read(int(order[index]))
        start = self._corner(rng, labels)
        window = [
            mirrored(s - self.config.margin, self.config.window, size)
            for s, size in zip(start, labels.shape, strict=True)
        ]
        cut = np.ix_(*window)
        return {
            "images": np.ascontiguousarray(image[cut]),
            "labels": labels[cut].astype(np.int32),
            "epoch": np.int32(epoch),
            "number": np.int32(index),
        }

    def _corner(self, rng: np.random.Generator, labels: Int[np.ndarray, "h w"]) -> list[int]:
        """First row and column of the patch: anywhere inside, or around a pixel of a rarer class."""
        patch = self.config.patch
        room = [max(0, size - patch) for size in labels.shape]
        start = [int(rng.integers(r + 1)) for r in room]
        forced = rng.random() < self.config.rare_share
        if forced and (rare := [k for k in np.unique(labels) if k not in (self.common, IGNORE)]):
            pixels = np.flatnonzero(labels == rng.choice(rare))
            centre = np.unravel_index(pixels[rng.integers(len(pixels))], labels.shape)
            start = [int(np.clip(c - patch // 2, 0, r)) for c, r in zip(centre, room, strict=True)]
        # An image smaller than the patch lies in its middle, mirrored all around.
        return [s - max(0, patch - size) // 2 for s, size in zip(start, labels.shape, strict=True)]


def visits_of(shape: tuple[int, ...], *, patch: int) -> int:
    """How often an epoch comes to an image: the geometric mean of its sides in patches, at least once.

        visits = max(1, round(sqrt(h w) / patch))

    Once for every image would neglect most of a large one, once for every patch would neglect the small ones.

    Example:
        >>> [visits_of(shape, patch=256) for shape in ((100, 100), (256, 320), (520, 696), (1040, 1388))]
        [1, 1, 2, 5]
    """
    return max(1, round(math.sqrt(math.prod(shape)) / patch))


def mirrored(start: int, count: int, size: int) -> Int[np.ndarray, " n"]:
    """Positions start … start + count - 1, those outside [0, size) mirrored about the border pixels.

    Example:
        >>> mirrored(-2, 6, 3)
        array([2, 1, 0, 1, 2, 1])
        >>> mirrored(-1, 3, 1)
        array([0, 0, 0])
    """
    period = max(1, 2 * size - 2)
    position = np.arange(start, start + count) % period
    return np.minimum(position, period - position)


def batches(sampler: Sampler, *, first: int, last: int, threads: int = 2) -> Iterator[dict[str, Any]]:
    """The batches of steps first … last - 1, read ahead by threads.

    A batch depends on its number alone, so a training that goes on at step `first` sees what an uninterrupted one
    would have seen.

    Args:
        sampler: Gives the samples.
        first: Number of the first step, from 0.
        last: Number after that of the last step.
        threads: Threads that read; they also keep up to eight batches ready.

    Returns:
        Dictionaries of `images`, `labels`, `epoch` and `number`, each with a leading axis of the batch's size.
    """
    import grain

    size = sampler.config.batch
    samples = grain.MapDataset.range(first * size, last * size).map(sampler)
    return iter(samples.batch(size).to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=8)))
