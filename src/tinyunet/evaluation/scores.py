"""From probabilities and the truth, image by image, to everything the report says about a model."""

import functools
import operator
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy import ndimage

from tinyunet.errors import suggest
from tinyunet.evaluation.baseline import OTSU
from tinyunet.evaluation.boundary import HALF, RegionScores, best_common_threshold, mean_region_scores, region_scores
from tinyunet.evaluation.calibration import CalibrationCounts, TemperatureScores, calibration_counts, calibration_scores
from tinyunet.evaluation.checks import IGNORE, check_distributions, check_fits, check_labels
from tinyunet.evaluation.matching import ObjectCounts, ObjectScores, object_counts, object_scores
from tinyunet.evaluation.overlap import (
    OverlapCounts,
    dice_score,
    iou_score,
    overlap_counts,
    pixel_accuracy,
    precision,
    recall,
    skipping_mean,
)
from tinyunet.evaluation.result import (
    BaselineScores,
    BoundaryScores,
    Evaluation,
    ImageScores,
    InstanceScores,
    MeanScores,
    OverlapScores,
    ThresholdScores,
)
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.evaluation.threshold import ProbabilityHistogram, best_f1, f1_score, probability_histogram, roc_auc


class Instances(NamedTuple):
    """The objects of one image.

    Args:
        predicted: `(*space)`, ids of the objects that were found, 0 for none.
        true: `(*space)`, ids of the true objects, or below 0 for an ignored pixel.
    """

    predicted: Integer[np.ndarray, "..."]
    true: Integer[np.ndarray, "..."]


class Evaluator:
    """Collects the scores of images one at a time; of each only counts are kept, never its pixels.

    Args:
        classes: Names of the classes, in the order of their ids.
        boundary: The class that separates regions: adds their scores.
        temperature: What the probabilities are scaled by before they are scored; see `evaluation.temperature`.

    Raises:
        ValueError: No classes, a name twice, or a boundary that is none of them.

    Example:
        >>> evaluator = Evaluator(("background", "cell"))
        >>> evaluator.add("a", np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]]), np.array([[0, 1, 0]]))
        >>> evaluation = evaluator.result()
        >>> [round(dice, 3) for dice in evaluation.pooled.dice], evaluation.threshold.auc
        ([0.667, 0.667], 1.0)
    """

    def __init__(self, classes: tuple[str, ...], *, boundary: str | None = None, temperature: float = 1.0):
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f"`classes` must be one or more different names, got {classes}.")
        if boundary is not None and boundary not in classes:
            raise ValueError(f"`boundary` must be one of the classes, got {boundary!r}. {suggest(boundary, classes)}")
        self.classes = classes
        self.boundary = boundary
        self.temperature = temperature
        self._counts: dict[str, OverlapCounts] = {}
        self._baseline: dict[str, OverlapCounts] = {}
        self._regions: dict[str, tuple[RegionScores, ...]] = {}
        self._objects: dict[str, tuple[ObjectCounts, ObjectCounts, ObjectCounts | None]] = {}
        self._histogram: ProbabilityHistogram | None = None
        self._calibration: list[CalibrationCounts] | None = None

    @property
    def positive(self) -> str | None:
        """Of two classes the one that is looked for: the boundary, or else the second. `None` of more or fewer."""
        return (self.boundary or self.classes[1]) if len(self.classes) == 2 else None

    def add(
        self,
        name: str,
        probabilities: Float[np.ndarray, "..."],
        target: Integer[np.ndarray, "..."],
        baseline_labels: Integer[np.ndarray, "..."] | None = None,
        *,
        instances: Instances | None = None,
    ) -> None:
        """Scores one image.

        Args:
            name: A name that no other image has.
            probabilities: `(*space, k)`, each in [0, 1], summing up to 1 over the classes, not scaled yet; the
                predicted label is the most probable class. What is predicted on an ignored pixel does not matter.
            target: `(*space)`, class ids in [0, k), or -1 for an ignored pixel.
            baseline_labels: `(*space)`, what Otsu's threshold predicts; given for all images or for none.
            instances: The image's objects, found and true, where the second class is that of objects.

        Raises:
            ValueError: The name came before, a shape does not fit, a pixel's probabilities are none, a label is no
                class, or only some images have a baseline. The image then counts nowhere.
        """
        self._check(name, probabilities, target, baseline_labels)
        num_classes = len(self.classes)
        self._counts[name] = overlap_counts(probabilities.argmax(axis=-1), target, num_classes=num_classes)
        if baseline_labels is not None:
            self._baseline[name] = overlap_counts(baseline_labels, target, num_classes=num_classes)
        positive = None if self.positive is None else self.classes.index(self.positive)
        before = calibration_counts(probabilities, target, positive=positive)
        probabilities = scale_probabilities(probabilities, self.temperature)
        after = before if self.temperature == 1 else calibration_counts(probabilities, target, positive=positive)
        known = self._calibration
        self._calibration = [before, after] if known is None else [known[0] + before, known[1] + after]
        if positive is not None:
            histogram = probability_histogram(probabilities[..., positive], target, positive=positive)
            self._histogram = histogram if self._histogram is None else self._histogram + histogram
        if self.boundary is not None:
            boundary = self.classes.index(self.boundary)
            self._regions[name] = region_scores(probabilities[..., boundary], target, boundary=boundary)
        if instances is not None:
            predicted, true = instances
            plain = object_counts(ndimage.label(probabilities.argmax(axis=-1))[0], true)
            otsu = None if baseline_labels is None else object_counts(ndimage.label(baseline_labels)[0], true)
            self._objects[name] = object_counts(predicted, true), plain, otsu

    def result(self) -> Evaluation:
        """The scores of all images added so far.

        Raises:
            ValueError: None was added.
        """
        if not self._counts:
            raise ValueError("An evaluation needs at least one image: call `add` before `result`.")
        boundary = self._boundary_scores()
        images = tuple(self._image_scores(name, boundary) for name in self._counts)
        return Evaluation(
            classes=self.classes,
            positive=self.positive,
            images=images,
            pooled=_pooled(self._counts.values()),
            per_image_mean=_mean(images),
            threshold=None if self._histogram is None else _threshold_scores(self._histogram),
            boundary=boundary,
            baseline=_baseline_scores(self._baseline.values()) if self._baseline else None,
            objects=self._instance_scores(),
            calibration=self._temperature_scores(),
        )

    def _check(
        self,
        name: str,
        probabilities: Float[np.ndarray, "..."],
        target: Integer[np.ndarray, "..."],
        baseline_labels: Integer[np.ndarray, "..."] | None,
    ) -> None:
        """Finds all that can be wrong with an image before anything of it is counted."""
        k, taking_part = len(self.classes), target != IGNORE
        if name in self._counts:
            raise ValueError(f"`name` must be new, but {name!r} was added before.")
        if self._counts and (baseline_labels is None) == bool(self._baseline):
            others = "the images before have one" if self._baseline else "the images before have none"
            raise ValueError(f"`baseline_labels` must be given for all images or for none: {others}, not so {name!r}.")
        if probabilities.shape != (*target.shape, k):
            rule = f"the shape of `target` and one value for each of the {k} classes, {(*target.shape, k)}"
            raise ValueError(f"`probabilities` must have {rule}, got {probabilities.shape}.")
        check_distributions("probabilities", probabilities[taking_part])
        check_labels("target", target[taking_part], num_classes=k)
        if baseline_labels is not None:
            check_fits("baseline_labels", baseline_labels, target)
            check_labels("baseline_labels", baseline_labels[taking_part], num_classes=k)

    def _boundary_scores(self) -> BoundaryScores | None:
        if self.boundary is None:
            return None
        curve = mean_region_scores(list(self._regions.values()))
        return BoundaryScores(
            name=self.boundary, at_half=curve[HALF], best=curve[best_common_threshold(curve)], curve=curve
        )

    def _temperature_scores(self) -> TemperatureScores:
        assert self._calibration is not None  # an image was added
        before, after = map(calibration_scores, self._calibration)
        return TemperatureScores(temperature=self.temperature, before=before, after=after)

    def _instance_scores(self) -> InstanceScores | None:
        if not self._objects:
            return None
        found, plain, otsu = zip(*self._objects.values(), strict=True)
        with_otsu = [counts for counts in otsu if counts is not None]
        return InstanceScores(
            found=_merged(found), plain=_merged(plain), baseline=_merged(with_otsu) if with_otsu else None
        )

    def _image_scores(self, name: str, boundary: BoundaryScores | None) -> ImageScores:
        counts = self._counts[name]
        scores = ImageScores(name=name, pixels=counts.pixels, **_overlap_scores(counts))
        if name in self._objects:
            scores = replace(scores, objects=object_scores(self._objects[name][0]))
        if boundary is None:
            return scores
        regions = self._regions[name]
        return replace(scores, at_half=regions[HALF], best=regions[boundary.curve.index(boundary.best)])


def _overlap_scores(counts: OverlapCounts) -> dict[str, Any]:
    """The fields of `OverlapScores`."""
    dice = dice_score(counts)
    return {
        "dice": tuple(dice.tolist()),
        "iou": tuple(iou_score(counts).tolist()),
        "precision": tuple(precision(counts).tolist()),
        "recall": tuple(recall(counts).tolist()),
        "accuracy": pixel_accuracy(counts),
        "mean_dice": skipping_mean(dice),
    }


def _merged(images: Collection[ObjectCounts]) -> ObjectScores:
    return object_scores(functools.reduce(operator.add, images))


def _pooled(images: Collection[OverlapCounts]) -> OverlapScores:
    return OverlapScores(**_overlap_scores(functools.reduce(operator.add, images)))


def _mean(images: Sequence[OverlapScores]) -> MeanScores:
    """The mean over images of every score, class by class, skipping those that do not exist."""
    means: dict[str, Any] = {}
    for field in fields(OverlapScores):
        values = np.array([getattr(scores, field.name) for scores in images])  # (n,) or (n, k)
        columns = tuple(skipping_mean(column) for column in values.reshape(len(images), -1).T)
        means[field.name] = columns if values.ndim == 2 else columns[0]
    absent = np.isnan([scores.dice for scores in images]).sum(axis=0)
    return MeanScores(**means, absent=tuple(absent.tolist()))


def _threshold_scores(histogram: ProbabilityHistogram) -> ThresholdScores:
    best, threshold = best_f1(histogram)
    return ThresholdScores(
        auc=roc_auc(histogram),
        f1_at_half=f1_score(histogram),
        best_f1=best,
        best_threshold=threshold,
    )


def _baseline_scores(counts: Collection[OverlapCounts]) -> BaselineScores:
    images = [OverlapScores(**_overlap_scores(image)) for image in counts]
    return BaselineScores(method=OTSU, pooled=_pooled(counts), per_image_mean=_mean(images))
