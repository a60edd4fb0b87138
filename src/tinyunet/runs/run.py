"""A trained network, ready to predict."""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import FlaxError
from flax.traverse_util import flatten_dict
from jaxtyping import Bool, Float, Float32, Int32, Shaped

from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation, normalise
from tinyunet.data.resample import resample_image, resampled_shape
from tinyunet.errors import CheckpointError, ConfigError, DataError
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.models.segmenter import Segmenter
from tinyunet.objects.decode import decode_objects
from tinyunet.prediction.augmented import predict_augmented
from tinyunet.prediction.predict import Progress, predict_labels, predict_probabilities
from tinyunet.prediction.tiles import TileSpec
from tinyunet.runs.build import LARGE_PIXELS, build_tiles, network_classes
from tinyunet.runs.config import Config
from tinyunet.runs.engine import Engine
from tinyunet.runs.folder import FOLDS, WEIGHTS, read_folds, read_run_config
from tinyunet.runs.weights import read_weights
from tinyunet.training.state import Variables


@dataclass(frozen=True)
class Run:
    """A run that has weights.

    Attributes:
        path: The run folder, or the single `model.safetensors` it was loaded from.
        config: How it was trained.
        variables: Parameters and batch statistics.
        others: Those of further networks of the same kind, as folds have; probabilities are the mean over all.
        temperature: What probabilities are scaled by, once all means are taken; see `tinyunet.evaluation.temperature`.
        runtime: What computes; see `tinyunet.runs.engine`.
    """

    path: Path
    config: Config
    variables: Variables
    others: tuple[Variables, ...] = ()
    temperature: float = 1.0
    runtime: str = "auto"

    @property
    def labelling(self) -> Labelling:
        """What the labels mean."""
        assert self.config.data.labelling is not None  # `load` has checked
        return self.config.data.labelling

    @property
    def classes(self) -> tuple[str, ...]:
        """What the network tells apart, in the order of its probabilities: the classes, or the parts of objects."""
        return network_classes(self.labelling)

    @property
    def finds_objects(self) -> bool:
        """Whether its labels are ids of objects."""
        return self.labelling.task == "instances"

    @property
    def channels(self) -> ChannelRule:
        """Which channels of an image are used."""
        assert self.config.data.channels is not None  # `load` has checked
        return self.config.data.channels

    @property
    def normalisation(self) -> Normalisation:
        """How values are normalised."""
        assert self.config.data.normalisation is not None  # `load` has checked
        return self.config.data.normalisation

    @cached_property
    def tiles(self) -> tuple[TileSpec, ...]:
        """How images are cut, along each axis of space."""
        return build_tiles(self.config.model, self.config.patch)

    def tiles_for(self, shape: tuple[int, ...]) -> tuple[TileSpec, ...]:
        """How an image of so many pixels is cut: a large one into larger tiles, of which less is thrown away."""
        return self._large_tiles if math.prod(shape) >= LARGE_PIXELS else self.tiles

    @cached_property
    def _large_tiles(self) -> tuple[TileSpec, ...]:
        return build_tiles(self.config.model, self.config.patch, large=True)

    @property
    def dimensions(self) -> int:
        """Axes of space of its images: 2, or 3 of volumes."""
        return len(self.config.patch)

    def predict(
        self,
        image: Shaped[np.ndarray, "*space_and_channels"],
        *,
        spacing: tuple[float, ...] = (),
        tta: bool = False,
        progress: Progress | None = None,
    ) -> Int32[np.ndarray, "*space"]:
        """Labels of an image of any size: class ids, in the order of `labelling.classes`, or ids of objects from 1.

        Args:
            image: Pixels as a file holds them, (h, w) or (h, w, c), of volumes (z, y, x) or (z, y, x, c); normalisation
                is part of the run.
            spacing: Size of a pixel along each axis of space, where it is known: a volume whose spacing is not that of
                the training is resampled to it, and the result back. Without it they are taken to be equal.
            tta: Test-time augmentation: the mean over the flips and turns of the training, up to eight times the work.
            progress: Called with the tiles done and the tiles in all.

        Raises:
            DataError: The image has other channels than those of the training.
            ConfigError: Test-time augmentation of a network that was trained with neither flips nor turns.
            CheckpointError: The weights are not those of the run's own configuration.
        """
        prepared, shape = self.prepare(image, spacing)
        if tta or self.finds_objects or prepared.shape[:-1] != shape:
            return self.decide(self._stitched(prepared, shape, tta=tta, progress=progress))
        tiles = self.tiles_for(prepared.shape[:-1])
        return predict_labels(self.forward, prepared, tiles, progress=progress)

    def decide(self, probabilities: Float[np.ndarray, "*space k"]) -> Int32[np.ndarray, "*space"]:
        """The labels that probabilities speak for: the most probable class, or the objects found in them."""
        if self.finds_objects:
            return decode_objects(probabilities, self.config.objects)
        return np.argmax(probabilities, axis=-1).astype(np.int32)

    def probabilities(
        self,
        image: Shaped[np.ndarray, "*space_and_channels"],
        *,
        spacing: tuple[float, ...] = (),
        tta: bool = False,
        progress: Progress | None = None,
        scaled: bool = True,
    ) -> Float32[np.ndarray, "*space k"]:
        """Probabilities of what the network tells apart, in the order of `classes`.

        Args:
            image: As for `predict`.
            spacing: As for `predict`.
            tta: As for `predict`.
            progress: As for `predict`.
            scaled: Whether by `temperature`, so that they mean what they say; the most probable class is the same.
        """
        found = self._stitched(*self.prepare(image, spacing), tta=tta, progress=progress)
        return scale_probabilities(found, self.temperature) if scaled else found

    def _stitched(
        self,
        prepared: Float32[np.ndarray, "*working c"],
        shape: tuple[int, ...],
        *,
        tta: bool,
        progress: Progress | None,
    ) -> Float32[np.ndarray, "*space k"]:
        """Probabilities as the network gives them, in the image's own pixels."""
        predict = self._augmented if tta else predict_probabilities
        tiles = self.tiles_for(prepared.shape[:-1])
        found = predict(self.forward, prepared, tiles, classes=len(self.classes), progress=progress)
        return found if found.shape[:-1] == shape else resample_image(found, shape)

    @property
    def _augmented(self) -> "partial[Float32[np.ndarray, '*space k']]":
        """The prediction averaged over the flips and turns that the network has learnt from."""
        flips, turns = self.config.augment.flips, self.config.augment.quarter_turns
        if not flips and not turns:
            raise ConfigError(
                "The run was trained with neither flips nor turns, so its network has learnt which direction is which; "
                "leave out --tta (tta=True)."
            )
        return partial(predict_augmented, flips=flips, turns=turns)

    def check_axes(self, axes: int, *, where: str) -> None:
        """Refuses images of other axes of space than those of the training.

        Args:
            axes: Of the image.
            where: The image, for the message.

        Raises:
            DataError: The run is one of volumes and the image is none, or the other way round.
        """
        kinds = {2: "images of two axes", 3: "volumes of three"}
        if axes != self.dimensions:
            raise DataError(
                f"{where} has {axes} axes of space, and the network was trained on {kinds[self.dimensions]}."
            )

    def working_shape(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, ...]:
        """Pixels along each axis at which an image is predicted: with the spacing of the training, if both have one."""
        wanted = self.config.data.spacing
        return resampled_shape(shape, spacing, wanted) if spacing and wanted else shape

    @cached_property
    def engine(self) -> Engine:
        """What computes."""
        members = (self.variables, *self.others)
        return Engine(self.config.model, len(self.classes), members, self.runtime)

    def forward(
        self, tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]
    ) -> Shaped[Any, "n *out k"]:
        """Probabilities of tiles: the mean over all networks, as they give it."""
        try:
            return self.engine(tiles, valid)
        except (AttributeError, FlaxError, TypeError, ValueError):
            # Whether the weights fit is asked only now: asking takes as long as compiling's first half.
            self.check_weights()
            raise

    def check_weights(self) -> None:
        """Refuses weights that are not those of the run's own configuration.

        Raises:
            CheckpointError: A tensor is missing, or has another shape; it is named.
        """
        for variables in (self.variables, *self.others):
            if misfit := _misfit(variables, self.engine.model, self.channels.used, self.dimensions):
                weights = self.path / WEIGHTS if self.path.is_dir() else self.path
                raise CheckpointError(f"{weights} does not fit its own configuration: {misfit}") from None

    def prepare(
        self, image: Shaped[np.ndarray, "*space_and_channels"], spacing: tuple[float, ...]
    ) -> tuple[Float32[np.ndarray, "*space c"], tuple[int, ...]]:
        """The image as the network sees it, and its shape as it is stored; arguments and errors as of `predict`."""
        pixels = image[..., np.newaxis] if image.ndim == self.dimensions else image
        if pixels.ndim != self.dimensions + 1:
            raise DataError(_WRONG_AXES[self.dimensions].format(shape=image.shape))
        shape = pixels.shape[:-1]
        pixels = self.channels.apply(pixels, where="The image")
        if (size := self.working_shape(shape, spacing)) != shape:
            pixels = resample_image(pixels, size)
        return normalise(pixels, self.normalisation), shape


_WRONG_AXES = {
    2: "An image must be (h, w) or (h, w, c) for a network trained on images, got shape {shape}.",
    3: "A volume must be (z, y, x) or (z, y, x, c) for a network trained on volumes, got shape {shape}.",
}


def load(path: str | Path, *, runtime: str = "auto") -> Run:
    """A trained network from its run folder or its `model.safetensors`.

    Args:
        path: The folder or the file.
        runtime: What computes: `native` for the kernels of tinyunet-native, `onnx` for ONNX Runtime, `jax` for XLA
            alone; `auto` takes the first of them that is installed, once it has agreed with XLA within 1e-4 on the
            first tile.

    Raises:
        ConfigError: The runtime is not known or not installed.
        CheckpointError: There is none, it is damaged, foreign, or made by a newer version.

    Example:
        >>> load("no/such/run")
        Traceback (most recent call last):
        ...
        tinyunet.errors.CheckpointError: There is no run at no/such/run; runs are made by `tinyunet train`.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"There is no run at {path}; runs are made by `tinyunet train`.")
    if (path / FOLDS).is_file():
        return _load_folds(path, runtime)
    if path.is_dir():
        # A folder says itself what it is; its weights may have been copied in from elsewhere.
        read_run_config(path)
    variables, config, temperature, others = read_weights(path / WEIGHTS if path.is_dir() else path)
    if None in (config.data.labelling, config.data.channels, config.data.normalisation):
        raise CheckpointError(f"{path} does not say what its labels, channels and values mean; it cannot be used.")
    return _ready(Run(path, config, variables, others, temperature, runtime))


def _load_folds(path: Path, runtime: str) -> Run:
    """The networks of all folds as one run.

    Its temperature is the geometric mean of theirs. Each was fitted to images which that network has not learnt from;
    there are none left that all of them have not, except for the test images, which are for scoring.
    """
    folds = [load(path / name) for name in read_folds(path)["folds"]]
    first, *others = folds
    temperature = math.exp(sum(math.log(run.temperature) for run in folds) / len(folds))
    variables = tuple(run.variables for run in others)
    return _ready(Run(path, read_run_config(path), first.variables, variables, temperature, runtime))


def _ready(run: Run) -> Run:
    """The same run, whose engine has not refused what is asked for."""
    assert run.engine is not None
    return run


def _misfit(variables: Variables, model: Segmenter, channels: int, dimensions: int) -> str | None:
    """The first tensor that a model wants and the variables do not hold in its shape; None if all fit."""
    shape = tuple(topology.smallest_size(1) for topology in model.unet.topologies(dimensions))
    image = jax.ShapeDtypeStruct((1, *shape, channels), jnp.float32)
    wanted = jax.eval_shape(model.init, jax.random.PRNGKey(0), image)
    found = flatten_dict(variables, sep="/")
    for name, tensor in flatten_dict(wanted, sep="/").items():
        if name not in found:
            return f"{name} of shape {tensor.shape} is missing. {_COPY_AGAIN}"
        if jnp.shape(found[name]) != tensor.shape:
            return f"{name} must have shape {tensor.shape}, got {jnp.shape(found[name])}. {_COPY_AGAIN}"
    return None


_COPY_AGAIN = "Copy it again from the training that made it, or train anew."
