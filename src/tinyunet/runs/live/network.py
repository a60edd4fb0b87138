"""The network of a live training: its programs, compiled once, its state, and what it says of images."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float32, UInt8

from tinyunet.prediction.bands import plan_bands
from tinyunet.prediction.batches import Forward, tile_outputs
from tinyunet.prediction.predict import predict_bands
from tinyunet.prediction.tiles import Grid, plan_grid
from tinyunet.prediction.uncertainty import normalised_entropy
from tinyunet.runs.build import LARGE_PIXELS, build_model, build_probabilities, build_tiles
from tinyunet.runs.config import Config
from tinyunet.training.loop import Done, run_steps
from tinyunet.training.optimiser import optimiser
from tinyunet.training.placement import Placement
from tinyunet.training.state import Variables, initial_state, initial_variables
from tinyunet.training.step import make_step

WARMUP_STEPS = 20
"""Over so many steps the learning rate rises after a start."""


class Prediction(NamedTuple):
    """What a network says of an image.

    Attributes:
        labels: Class of every pixel.
        doubt: How unsure it is: 0 certain, 255 all classes equally probable.
    """

    labels: UInt8[np.ndarray, "h w"]
    doubt: UInt8[np.ndarray, "h w"]


class Network:
    """A segmenter in training, for a fixed number of channels and of classes.

    Args:
        config: Model, sizes, augmentation, loss and optimiser.
        channels: Of the images.
        classes: What is told apart.
        start: Variables to go on with, of this configuration; a head of fewer classes gets rows for the new ones.
        step: Steps done before.
    """

    def __init__(self, config: Config, *, channels: int, classes: int, start: Variables | None = None, step: int = 0):
        self.config = config
        self.channels = channels
        self.classes = classes
        self.model = build_model(config.model, classes=classes)
        self._optimiser = optimiser(config.optimiser)
        patch = config.patch
        self._step = Placement(jax.local_devices()[:1]).compile(
            make_step(
                self.model,
                self._optimiser,
                patch=patch,
                loss_config=config.loss,
                augment_config=config.augment,
                ema_decay=config.optimiser.ema_decay,
            )
        )
        self._probabilities = build_probabilities(self.model)
        self._tiles = build_tiles(config.model, patch)
        self._large = build_tiles(config.model, patch, large=True)
        self._key = jax.random.PRNGKey(config.seed)
        fresh = initial_variables(
            self.model, config.seed, channels=channels, shape=tuple(axis.ladder[0] for axis in self._tiles)
        )
        self._begin(fresh if start is None else grown(start, fresh), step)

    def _begin(self, variables: Variables, step: int) -> None:
        state = initial_state(variables, self._optimiser)
        self.state = state._replace(step=jnp.asarray(step, jnp.int32))
        self.step = self._began = step

    @property
    def variables(self) -> Variables:
        """The averaged weights, which predict."""
        return dict(self.state.average)

    def host_variables(self) -> Variables:
        """A copy of them, which outlives the next step."""
        return jax.device_get(self.variables)

    def warm(self) -> None:
        """Compiles the step, by one whose result is thrown away."""
        window = self.config.batches.window_shape(2)
        batch = self.config.batches.batch
        nothing = {
            "images": np.zeros((batch, *window, self.channels), np.float32),
            "labels": np.full((batch, *window), -1, np.int32),
            "epoch": np.zeros(batch, np.int32),
            "number": np.zeros(batch, np.int32),
        }
        before, step = self.host_variables(), self.step
        for _ in self.train(iter([nothing])):
            pass
        self._begin(before, step)

    def rate(self, step: int) -> float:
        """The learning rate: it rises over the first steps after a start, and then stays."""
        return self.config.optimiser.learning_rate * min(1.0, (step - self._began + 1) / WARMUP_STEPS)

    def train(self, batches: Iterator[dict[str, Any]]) -> Iterator[Done]:
        """Goes through batches, step by step, until there are no more or nobody asks.

        Raises:
            TrainingError: It diverged.
        """
        for done in run_steps(self._step, self.state, batches, first=self.step, key=self._key, rate=self.rate):
            self.state, self.step = done.state, done.step
            yield done

    def grid(self, shape: tuple[int, int]) -> Grid:
        """The tiles in which an image of this shape is predicted."""
        large = shape[0] * shape[1] >= LARGE_PIXELS
        return plan_grid(shape, self._large if large else self._tiles)

    def predict(self, image: Float32[np.ndarray, "h w c"]) -> Prediction:
        """Labels and doubt of a normalised image, by the averaged weights."""
        grid = self.grid(image.shape[:-1])
        found = np.empty((*grid.shape, 2), np.uint8)
        bands = plan_bands(grid)
        for band, rows in predict_bands(
            self._forward, image, grid, bands, classes=self.classes, reduce=_labels_and_doubt
        ):
            found[band.start : band.stop] = rows
        return Prediction(np.ascontiguousarray(found[..., 0]), np.ascontiguousarray(found[..., 1]))

    def predict_tiles(
        self, image: Float32[np.ndarray, "h w c"], grid: Grid, number: int
    ) -> Iterator[tuple[tuple[slice, ...], UInt8[np.ndarray, "th tw 2"]]]:
        """The same of the tiles of one batch, which no others reach into.

        Args:
            image: Normalised.
            grid: Its tiles, not blended.
            number: The first tile of the batch.

        Yields:
            A part of the image with its labels and doubt.
        """
        numbers = range(number, min(number + grid.batch, len(grid)))
        for batch in tile_outputs(self._forward, image, grid, numbers, lambda _: True, classes=self.classes):
            for tile, output in batch:
                yield tile.destination, _labels_and_doubt(output[tile.source])

    @property
    def _forward(self) -> Forward:
        return partial(self._probabilities, self.variables)


def _labels_and_doubt(probabilities: Float32[np.ndarray, "*part k"]) -> UInt8[np.ndarray, "*part 2"]:
    """The most probable class and the entropy, a byte each."""
    doubt = np.rint(255 * normalised_entropy(probabilities)).clip(0, 255)
    return np.stack([np.argmax(probabilities, axis=-1), doubt], axis=-1).astype(np.uint8)


def grown(old: Variables, fresh: Variables) -> Variables:
    """Variables of a network in place of those of one with the same body and as many classes or more.

    Args:
        old: What was learnt.
        fresh: Initial ones, whose head keeps the rows of the classes that `old` does not know.

    Raises:
        ValueError: The bodies differ, or `old` knows more classes.
    """
    before, after = flatten_dict(old, sep="/"), flatten_dict(fresh, sep="/")
    for name, value in after.items():
        if name not in before:
            raise ValueError(f"`old` must have the tensors of `fresh`, got no {name}.")
        known = np.asarray(before[name])
        same = known.shape if "/head/" not in name else (*known.shape[:-1], value.shape[-1])
        if same != value.shape or known.shape[-1] > value.shape[-1]:
            raise ValueError(f"`old` must fit `fresh`, got {name} of shape {known.shape} for {value.shape}.")
        after[name] = jnp.asarray(value).at[..., : known.shape[-1]].set(known)
    return unflatten_dict(after, sep="/")
