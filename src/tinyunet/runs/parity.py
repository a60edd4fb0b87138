"""Does an export compute what its run does: both are given the same images, as one piece, and compared."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from tinyunet.runs.pipeline import pipeline_of
from tinyunet.runs.run import Run

TOLERANCE = 1e-4
"""The largest difference between a probability of the run and one of its export."""

LEAST_EQUAL = 0.999
"""The least part of the pixels with equal labels: where two classes are all but equally probable, they may differ."""

SIZES = {2: ((61, 83), (97, 45), (129, 157)), 3: ((9, 21, 31), (17, 33, 23), (11, 45, 27))}
"""Of images that are made up, by axes of space: odd, so that all of padding and cropping is needed."""

LARGEST = {2: ((511, 389), (255, 301), (383, 127)), 3: ((47, 63, 47), (33, 49, 35), (31, 25, 29))}
"""Of what is cut out of given images, at most."""


@dataclass(frozen=True)
class Comparison:
    """An image computed by a run and by its export.

    Attributes:
        shape: Its axes of space.
        difference: The largest between two probabilities, or between two values of the maps of objects.
        equal: The part of the pixels with equal labels, or most probable parts of objects.
    """

    shape: tuple[int, ...]
    difference: float
    equal: float


Exported = Callable[[Shaped[np.ndarray, "*space c"]], Mapping[str, np.ndarray]]
"""From the pixels of a file to results by name, channels last: `probabilities`, and what else the export gives."""


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
        return scale_probabilities(self.unscaled(image), self.run.temperature)

    def results(self, image: Shaped[np.ndarray, "*space c"]) -> dict[str, np.ndarray]:
        """All that an export may give: probabilities, labels as masks hold them or class ids, and maps of objects."""
        plain, pipeline = self.unscaled(image), pipeline_of(self.run)
        found = {"probabilities": scale_probabilities(plain, self.run.temperature)}
        found |= {name: plain[..., list(places)].sum(-1) for name, places in pipeline.maps.items()}
        if pipeline.values is not None:
            found["labels"] = np.array(pipeline.values)[plain.argmax(-1)]
        return found

    def unscaled(self, image: Shaped[np.ndarray, "*space c"]) -> Float32[np.ndarray, "*space k"]:
        """Probabilities before temperature scaling."""
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
        return np.asarray(mean[tuple(slice(size) for size in space)], np.float32)


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
        found.append(_compare(exported(image), whole.results(image)))
        progress(done, " × ".join(map(str, found[-1].shape)))
    return found


def _compare(theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray]) -> Comparison:
    """What an export gives against what the run gives; an export may give less."""
    difference = 0.0
    for name, values in theirs.items():
        if values.shape != ours[name].shape:
            raise ValueError(f"The export gives {name} of shape {values.shape}, and the run {ours[name].shape}.")
        if name != "labels":
            far = np.abs(values - ours[name]).max()
            difference = max(difference, float(far) if np.isfinite(far) else np.inf)
    labels = "labels" if "labels" in theirs else "probabilities"
    chosen = [each[labels] if labels == "labels" else each[labels].argmax(-1) for each in (theirs, ours)]
    return Comparison(chosen[1].shape, difference, float(np.mean(chosen[0] == chosen[1])))


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
