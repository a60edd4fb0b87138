"""Scoring weights on whole validation images while training."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer

from tinyunet.data.store import ImageStore
from tinyunet.evaluation.overlap import OverlapCounts, dice_score, overlap_counts
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_grid
from tinyunet.runs.build import Probabilities
from tinyunet.training.state import Variables


class Validation(NamedTuple):
    """How weights do on the validation images.

    Attributes:
        loss: Mean cross-entropy of the labelled pixels, in nats.
        dice: Dice score of each class over all pixels, `nan` where a class does not occur.
        score: Mean of `dice` over the classes that occur; what the best weights are chosen by.
        predicted: Number of pixels given to each class.
    """

    loss: float
    dice: Float[np.ndarray, " k"]
    score: float
    predicted: tuple[int, ...]


class Validator:
    """Predicts whole images and scores them.

    Args:
        probabilities: The compiled network.
        tiles: How images are cut.
        store: The validation images.
        classes: Number of classes.
    """

    def __init__(
        self, probabilities: Probabilities, tiles: TileSpec | Sequence[TileSpec], store: ImageStore, *, classes: int
    ):
        self.probabilities = probabilities
        self.tiles = tiles
        self.store = store
        self.classes = classes

    def __call__(self, variables: Variables) -> Validation:
        """Scores these variables."""
        return self._score(variables, range(len(self.store)))

    def measure(self, variables: Variables) -> float:
        """About how many seconds a validation takes, by a few of its images.

        Compiles what it needs on the way: of the images whose tiles have one size, which are those of one program,
        the largest is predicted twice, and its second time stands for all their pixels.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for position in range(len(self.store)):
            tile = plan_grid(self.store.shape(position), self.tiles).tile_shape
            groups.setdefault(tile, []).append(position)
        seconds = 0.0
        for positions in groups.values():
            pixels = [math.prod(self.store.shape(position)) for position in positions]
            largest = positions[pixels.index(max(pixels))]
            self._score(variables, [largest])
            began = time.monotonic()
            self._score(variables, [largest])
            seconds += (time.monotonic() - began) * sum(pixels) / max(pixels)
        return seconds

    def predictions(
        self, variables: Variables, positions: Iterable[int] | None = None
    ) -> Iterator[tuple[Float[np.ndarray, "*space k"], Integer[np.ndarray, "*space"]]]:
        """Probabilities and labels of one image after the other; of all, if no positions are given."""

        def forward(tiles: np.ndarray, valid: np.ndarray) -> Array:
            return self.probabilities(variables, tiles, valid)

        for position in range(len(self.store)) if positions is None else positions:
            image, labels = self.store(position)
            yield predict_probabilities(forward, image, self.tiles, classes=self.classes), labels

    def _score(self, variables: Variables, positions: Iterable[int]) -> Validation:
        merged: OverlapCounts | None = None
        surprise, pixels = 0.0, 0
        predicted = np.zeros(self.classes, np.int64)
        for probabilities, labels in self.predictions(variables, positions):
            choice = np.argmax(probabilities, axis=-1)
            predicted += np.bincount(choice.ravel(), minlength=self.classes)
            counts = overlap_counts(choice, labels, num_classes=self.classes)
            merged = counts if merged is None else merged + counts
            known = labels >= 0
            truth = np.take_along_axis(probabilities, np.maximum(labels, 0)[..., None].astype(np.int64), -1)[..., 0]
            surprise -= float(np.sum(np.log(np.maximum(truth[known], 1e-12)), dtype=np.float64))
            pixels += int(known.sum())
        assert merged is not None  # a split has at least one validation image
        dice = dice_score(merged)
        score = float(np.nanmean(dice)) if not np.all(np.isnan(dice)) else 0.0
        return Validation(surprise / max(1, pixels), dice, score, tuple(int(n) for n in predicted))


def collapsed(validation: Validation) -> int | None:
    """The class given to every pixel although the truth holds others, or None: what a collapsed network does."""
    given = np.flatnonzero(validation.predicted)
    return int(given[0]) if len(given) == 1 and np.sum(~np.isnan(validation.dice)) > 1 else None
