"""Windows cut from labelled images, batch after batch, in an order that depends on the seed alone."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from tinyunet.data.labelling import IGNORE
from tinyunet.errors import ConfigError

Read = Callable[[int], tuple[Float32[np.ndarray, "*space c"], Int[np.ndarray, "*space"]]]
"""From the position of an image to its normalised pixels and its labels."""


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    """What one step sees.

    Attributes:
        patch: Height and width, or depth, height and width of a patch in pixels; one number stands for all.
        margin: Pixels of context cut on both sides of a patch along each axis, for the warp of the augmentation to draw
            from; one number stands for all axes.
        batch: Patches in a step, at least 1.
        rare_share: Share of the patches that are centred on a pixel of a class other than the commonest, in [0, 1].

    Raises:
        ConfigError: A value out of its range.

    References:
        Isensee et al. (2021), nnU-Net, supplementary note 4: a third of the patches is forced to hold foreground.
    """

    patch: tuple[int, ...] = (256,)
    margin: tuple[int, ...] = (32,)
    batch: int = 2
    rare_share: float = 0.33

    def __post_init__(self) -> None:
        for name, least in (("patch", 1), ("margin", 0)):
            entries = getattr(self, name)
            if not 1 <= len(entries) <= 3:
                raise ConfigError(f"`batches.{name}` must have 1 to 3 entries, got {list(entries)}.")
            if min(entries) < least:
                raise ConfigError(f"`batches.{name}` must be at least {least}, got {_shown(entries)}.")
        # A stack may have few slices; but along no axis at all there would be nothing to see.
        if max(self.patch) < 8:
            raise ConfigError(f"`batches.patch` must be at least 8 along its longest axis, got {_shown(self.patch)}.")
        if self.batch < 1:
            raise ConfigError(f"`batches.batch` must be at least 1, got {self.batch}.")
        if not 0 <= self.rare_share <= 1:
            raise ConfigError(f"`batches.rare_share` must be in [0, 1], got {self.rare_share}.")

    def patch_shape(self, axes: int) -> tuple[int, ...]:
        """Size of a patch along each axis.

        Args:
            axes: Number of axes of the images.

        Raises:
            ConfigError: `patch` has neither one entry nor `axes`.

        Example:
            >>> BatchConfig(patch=(64,)).patch_shape(3), BatchConfig(patch=(16, 64, 64)).patch_shape(3)
            ((64, 64, 64), (16, 64, 64))
        """
        return _for_axes("patch", self.patch, axes)

    def margin_shape(self, axes: int) -> tuple[int, ...]:
        """Context on either side of a patch along each axis; like `patch_shape`."""
        return _for_axes("margin", self.margin, axes)

    def window_shape(self, axes: int) -> tuple[int, ...]:
        """Size of what is cut, the patch and its margins, along each axis; like `patch_shape`.

        Example:
            >>> BatchConfig(patch=(16, 64, 64), margin=(8,)).window_shape(3)
            (32, 80, 80)
        """
        return tuple(p + 2 * m for p, m in zip(self.patch_shape(axes), self.margin_shape(axes), strict=True))


def _shown(entries: tuple[int, ...]) -> str:
    """As one would write it in a configuration."""
    return str(entries[0] if len(entries) == 1 else list(entries))


def _for_axes(name: str, entries: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One entry for each axis."""
    if len(entries) not in (1, axes):
        raise ConfigError(
            f"`batches.{name}` has {len(entries)} entries, {_shown(entries)}, but the images have {axes} axes: "
            f"give 1 entry or {axes}."
        )
    return entries * axes if len(entries) == 1 else entries


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
        margin, window = self.config.margin_shape(labels.ndim), self.config.window_shape(labels.ndim)
        cut = np.ix_(
            *(mirrored(s - m, w, size) for s, m, w, size in zip(start, margin, window, labels.shape, strict=True))
        )
        return {
            "images": np.ascontiguousarray(image[cut]),
            "labels": labels[cut].astype(np.int32),
            "epoch": np.int32(epoch),
            "number": np.int32(index),
        }

    def _corner(self, rng: np.random.Generator, labels: Int[np.ndarray, "*space"]) -> list[int]:
        """Where the patch begins along each axis: anywhere inside, or around a pixel of a rarer class."""
        patch = self.config.patch_shape(labels.ndim)
        room = [max(0, size - p) for size, p in zip(labels.shape, patch, strict=True)]
        start = [int(rng.integers(r + 1)) for r in room]
        forced = rng.random() < self.config.rare_share
        if forced and (rare := [k for k in np.unique(labels) if k not in (self.common, IGNORE)]):
            pixels = np.flatnonzero(labels == rng.choice(rare))
            centre = np.unravel_index(pixels[rng.integers(len(pixels))], labels.shape)
            start = [int(np.clip(c - p // 2, 0, r)) for c, p, r in zip(centre, patch, room, strict=True)]
        # An image smaller than the patch lies in its middle, mirrored all around.
        return [s - max(0, p - size) // 2 for s, p, size in zip(start, patch, labels.shape, strict=True)]


def visits_of(shape: tuple[int, ...], *, patch: tuple[int, ...]) -> int:
    """How often an epoch comes to an image: the geometric mean of its sides in patches, at least once.

        visits = max(1, round((prod_a size_a / patch_a)^(1/n)))

    Once for every image would neglect most of a large one, once for every patch would neglect the small ones.

    Example:
        >>> [visits_of(shape, patch=(256, 256)) for shape in ((100, 100), (256, 320), (520, 696), (1040, 1388))]
        [1, 1, 2, 5]
    """
    return max(1, round((math.prod(shape) / math.prod(patch)) ** (1 / len(shape))))


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


def batches(
    sampler: Sampler, *, first: int, last: int, rows: range | None = None, threads: int = 2
) -> Iterator[dict[str, Any]]:
    """The batches of steps first … last - 1, or the same rows of each, read ahead by threads.

    A batch depends on its number alone, so a training that goes on at step `first` sees what an uninterrupted one
    would have seen.

    Args:
        sampler: Gives the samples.
        first: Number of the first step, from 0.
        last: Number after that of the last step.
        rows: Which samples of a batch are made, where several processes share it; None: all.
        threads: Threads that read; they also keep up to eight batches ready.

    Returns:
        Dictionaries of `images`, `labels`, `epoch` and `number`, each with a leading axis of the batch's size, or
        that of the rows.
    """
    import grain

    size = sampler.config.batch
    rows = range(size) if rows is None else rows

    def sample(n: int) -> dict[str, Any]:
        step, row = divmod(n, len(rows))
        return sampler(step * size + rows[row])

    samples = grain.MapDataset.range(first * len(rows), last * len(rows)).map(sample)
    return iter(
        samples.batch(len(rows)).to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=8))
    )
