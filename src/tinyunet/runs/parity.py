"""Does an export compute what its run does: both are given the same images, as one piece, and compared."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped
from scipy import ndimage

from tinyunet.data.folder import open_folder
from tinyunet.data.normalise import normalise
from tinyunet.data.sample import sample_image
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.runs.build import build_model, build_probabilities
from tinyunet.runs.evaluate import choose_images
from tinyunet.runs.run import Run

TOLERANCE = 1e-4
"""The largest difference between a probability of the run and one of its export."""

SIZES = {2: ((61, 83), (97, 45), (129, 157)), 3: ((9, 21, 31), (17, 33, 23), (11, 45, 27))}
"""Of images that are made up, by axes of space: odd, so that all of padding and cropping is needed."""

LARGEST = {2: ((511, 389), (255, 301), (383, 127)), 3: ((47, 63, 47), (33, 49, 35), (31, 25, 29))}
"""Of what is cut out of given images, at most."""


@dataclass(frozen=True)
class Comparison:
    """An image computed by a run and by its export.

    Attributes:
        shape: Its axes of space.
        difference: The largest between two probabilities.
        equal: The part of the pixels with equal labels, or most probable parts of objects.
    """

    shape: tuple[int, ...]
    difference: float
    equal: float


Exported = Callable[[Shaped[np.ndarray, "*space c"]], Float32[np.ndarray, "*space k"]]
"""From the pixels of a file to probabilities."""


class Whole:
    """A run's probabilities with every image as one piece, computed by XLA alone from float32 pixels.

    Equal to `Run.probabilities` to rounding, except where tiles are blended: there this is what the tiles stand for.
    """

    def __init__(self, run: Run):
        self.run = run
        config = dataclasses.replace(run.config.model, dtype="float32")
        self.topologies = config.unet().topologies(run.dimensions)
        self.same = config.padding == "same"
        self.forward = build_probabilities(build_model(config, classes=len(run.classes)), kernels=False)

    def __call__(self, image: Shaped[np.ndarray, "*space c"]) -> Float32[np.ndarray, "*space k"]:
        """Probabilities of an image in the pixels of the training."""
        used = self.run.channels.apply(image, where="The image").astype(np.float32)  # as much as a file is given
        pixels = normalise(used, self.run.normalisation)
        space = pixels.shape[:-1]
        widths = []
        for axis, size in zip(self.topologies, space, strict=True):
            whole = axis.smallest_size(size)
            lost = (whole - (axis.output_size(whole) or 0)) // 2
            widths.append((lost, whole - size - lost))
        wide = np.pad(pixels, [*widths, (0, 0)], mode="edge" if self.same else "reflect")[np.newaxis]
        inside = np.ones((*wide.shape[:-1], 1), bool)
        members = [np.asarray(self.forward(each, wide, inside)[0]) for each in (self.run.variables, *self.run.others)]
        mean = sum(members[1:], start=members[0]) / np.float32(len(members))
        found = mean[tuple(slice(size) for size in space)]
        return scale_probabilities(found, self.run.temperature)


def compare(
    run: Run, exported: Exported, images: Sequence[np.ndarray], *, progress: Callable[[int, str], None]
) -> list[Comparison]:
    """Computes images twice.

    Args:
        run: Which computes them by JAX.
        exported: Which computes them otherwise.
        images: As files hold them, channels last.
        progress: Called after every image with how many are done, and its size.
    """
    whole, found = Whole(run), []
    for done, image in enumerate(images, start=1):
        theirs, ours = exported(image), whole(image)
        space = image.shape[:-1]
        if theirs.shape != ours.shape:
            raise ValueError(f"The export gives shape {theirs.shape} where the run gives {ours.shape}.")
        difference = float(np.abs(theirs - ours).max())
        equal = float(np.mean(theirs.argmax(-1) == ours.argmax(-1)))
        found.append(Comparison(space, difference if np.isfinite(theirs).all() else np.inf, equal))
        progress(done, " × ".join(map(str, space)))
    return found


def made_up_images(run: Run) -> list[Float32[np.ndarray, "*space c"]]:
    """Three images of odd sizes with structure at several scales, about as bright as those of the training."""
    mean, std = _brightness(run)
    return [made_up(shape, mean, std, seed=number) for number, shape in enumerate(SIZES[run.dimensions])]


def telling_images(run: Run) -> Iterator[Float32[np.ndarray, "*space c"]]:
    """Images that are made up with structure at one scale each, among which a network finds something in one."""
    mean, std = _brightness(run)
    shape = {2: (97, 129), 3: (31, 33, 35)}[run.dimensions]
    for seed, grain in itertools.product(range(3), (2.0, 3.0, 1.0, 6.0)):
        yield made_up(shape, mean, std, seed=seed, grains=(grain,))


def _brightness(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel; 128 and 40 where every image is normalised by itself."""
    if run.normalisation.kind == "dataset":
        return np.array(run.normalisation.mean), np.array(run.normalisation.std)
    return np.full(run.channels.used, 128.0), np.full(run.channels.used, 40.0)


def made_up(
    shape: tuple[int, ...], mean: np.ndarray, std: np.ndarray, *, seed: int, grains: Sequence[float] = (0.0, 1.5, 6.0)
) -> Float32[np.ndarray, "*space c"]:
    """Noise of about a mean and a standard deviation in each channel, in whole numbers where images hold such.

    Args:
        shape: Of its axes of space.
        mean: Of each channel.
        std: Of each channel.
        seed: Of the noise.
        grains: Standard deviations in pixels of the Gaussians by which layers of it are smoothed.
    """
    rng = np.random.default_rng(seed)
    noise = np.zeros((*shape, len(mean)))
    for grain in grains:
        layer = ndimage.gaussian_filter(rng.normal(size=noise.shape), (*(grain,) * len(shape), 0), mode="reflect")
        noise += layer / max(layer.std(), 1e-9)
    values = mean + std * noise / np.sqrt(len(grains))
    return (np.round(values) if std.max() > 4 else values).astype(np.float32)


def cut_out_images(run: Run, data: Path) -> list[Shaped[np.ndarray, "*space c"]]:
    """The middles of three test images of a data set, of odd sizes; the same image several times if there are fewer.

    Raises:
        DataError: There are none, or they have other axes or channels than the run's.
    """
    folder = open_folder(data, minimum_pairs=1)
    _, names = choose_images(run, folder, None)
    chosen = [sample for sample in folder.samples if sample.name in names]
    images = []
    for number, largest in enumerate(LARGEST[run.dimensions]):
        sample = chosen[number % len(chosen)]
        image = sample_image(sample)
        run.check_axes(image.ndim - 1, where=str(sample.image))
        used = run.channels.apply(image, where=str(sample.image))
        if not (run.channels.drop_alpha or run.channels.collapse_grey):
            image = used  # a file takes further channels only where those of the training had some
        sides = [_odd(min(have, most)) for have, most in zip(image.shape, largest, strict=False)]
        starts = [(have - side) // 2 for have, side in zip(image.shape, sides, strict=False)]
        images.append(image[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))])
    return images


def _odd(size: int) -> int:
    return size - 1 + size % 2 if size > 1 else 1
