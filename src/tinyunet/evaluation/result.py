"""What an evaluation found, as plain values that go to JSON and come back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from tinyunet.evaluation.boundary import RegionScores
from tinyunet.evaluation.calibration import CalibrationScores, TemperatureScores
from tinyunet.evaluation.matching import ObjectScores


@dataclass(frozen=True, kw_only=True)
class OverlapScores:
    """Overlap of predicted and true labels; `nan` is a score that does not exist, see `evaluation.overlap`.

    Args:
        dice: Dice score of each class.
        iou: Intersection over union of each class.
        precision: Precision of each class.
        recall: Recall of each class.
        accuracy: The part of the pixels whose class is right.
        mean_dice: Mean of `dice` over the classes that have one.
    """

    dice: tuple[float, ...]
    iou: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    accuracy: float
    mean_dice: float


@dataclass(frozen=True, kw_only=True)
class MeanScores(OverlapScores):
    """Mean over images of each score, skipping the images without it.

    Args:
        absent: For each class, the number of images without a Dice score: neither predicted nor true.
    """

    absent: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ImageScores(OverlapScores):
    """Scores of one image.

    Args:
        name: The image's name, as it was added.
        pixels: Pixels that took part.
        at_half: Its regions where the boundary probability is cut at 0.5; `None` without a boundary class.
        best: The same at the best common threshold.
        objects: Its objects; `None` where only classes are told apart.
    """

    name: str
    pixels: int
    at_half: RegionScores | None = None
    best: RegionScores | None = None
    objects: ObjectScores | None = None


@dataclass(frozen=True, kw_only=True)
class ThresholdScores:
    """How well the positive class's probability separates its pixels, over all images; see `evaluation.threshold`.

    Args:
        auc: Area under the receiver operating characteristic.
        f1_at_half: F1 score where the class is predicted from a probability of 0.5.
        best_f1: The highest F1 score of any threshold.
        best_threshold: The threshold that reaches it.
    """

    auc: float
    f1_at_half: float
    best_f1: float
    best_threshold: float


@dataclass(frozen=True, kw_only=True)
class BoundaryScores:
    """How well the boundary class parts images into regions, as means over images; see `evaluation.boundary`.

    Args:
        name: The boundary class.
        at_half: Where its probability is cut at 0.5.
        best: Where it is cut at the threshold with the best mean adapted Rand score.
        curve: At every threshold.
    """

    name: str
    at_half: RegionScores
    best: RegionScores
    curve: tuple[RegionScores, ...]


@dataclass(frozen=True, kw_only=True)
class BaselineScores:
    """The score of a method that learns nothing, on the same images.

    Args:
        method: What it is called.
        pooled: Over all pixels of all images.
        per_image_mean: The mean of the images' scores.
    """

    method: str
    pooled: OverlapScores
    per_image_mean: MeanScores


@dataclass(frozen=True, kw_only=True)
class InstanceScores:
    """How well single objects are found, all objects of all images together; see `evaluation.matching`.

    Args:
        found: The objects that were found.
        plain: The connected pieces of the predicted foreground taken for objects, to tell what decoding adds.
        baseline: The connected pieces of what Otsu's threshold marks; `None` if no baseline was given.
    """

    found: ObjectScores
    plain: ObjectScores
    baseline: ObjectScores | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that was measured on a set of images.

    Args:
        classes: Names of the classes, in the order of their ids.
        positive: The class that `threshold` is about; `None` if there are not two classes.
        images: Scores of each image, in the order they were added.
        pooled: Scores over all pixels of all images: large images and classes count more.
        per_image_mean: The mean of the images' scores: every image counts the same.
        threshold: Separation by probability; `None` if there are not two classes.
        boundary: Scores of regions; `None` without a boundary class.
        baseline: The no-learning figure; `None` if none was given.
        objects: Scores of single objects; `None` where only classes are told apart.
        calibration: Whether probabilities mean what they say, those of `positive`, or without it of the most probable
            class; `None` where it was not looked at.
    """

    classes: tuple[str, ...]
    positive: str | None
    images: tuple[ImageScores, ...]
    pooled: OverlapScores
    per_image_mean: MeanScores
    threshold: ThresholdScores | None
    boundary: BoundaryScores | None
    baseline: BaselineScores | None
    objects: InstanceScores | None = None
    calibration: TemperatureScores | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON has it: lists for tuples, `None` for `nan`, `boundary.class` for the boundary's name."""
        result = _to_json(self)
        if result["boundary"] is not None:
            result["boundary"] = {"class": result["boundary"].pop("name"), **result["boundary"]}
        return result

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Evaluation":
        """Reads back what `to_dict` wrote; keys that it does not write are skipped.

        Raises:
            ValueError: A key is missing, with its name.
        """
        # Files of before there was temperature scaling do not have it.
        _require(values, [field.name for field in fields(cls) if field.name != "calibration"], of="An evaluation")
        boundary, baseline, objects = values["boundary"], values["baseline"], values["objects"]
        return cls(
            classes=tuple(values["classes"]),
            positive=values["positive"],
            images=tuple(_image(image) for image in values["images"]),
            pooled=_from_json(OverlapScores, values["pooled"]),
            per_image_mean=_from_json(MeanScores, values["per_image_mean"]),
            threshold=values["threshold"] and _from_json(ThresholdScores, values["threshold"]),
            boundary=boundary and _boundary(boundary),
            baseline=baseline and _baseline(baseline),
            objects=objects and _objects(objects),
            calibration=values.get("calibration") and _calibration(values["calibration"]),
        )


def _image(values: Mapping[str, Any]) -> ImageScores:
    regions = {key: values.get(key) and _from_json(RegionScores, values[key]) for key in ("at_half", "best")}
    objects = values.get("objects") and _from_json(ObjectScores, values["objects"])
    return _from_json(ImageScores, values, **regions, objects=objects)


def _objects(values: Mapping[str, Any]) -> InstanceScores:
    _require(values, [field.name for field in fields(InstanceScores)], of="InstanceScores")
    return InstanceScores(**{name: scores and _from_json(ObjectScores, scores) for name, scores in values.items()})


def _calibration(values: Mapping[str, Any]) -> TemperatureScores:
    _require(values, [field.name for field in fields(TemperatureScores)], of="TemperatureScores")
    sides = {side: _from_json(CalibrationScores, values[side]) for side in ("before", "after")}
    return TemperatureScores(temperature=values["temperature"], **sides)


def _boundary(values: Mapping[str, Any]) -> BoundaryScores:
    _require(values, ["class", "at_half", "best", "curve"], of="BoundaryScores")
    return BoundaryScores(
        name=values["class"],
        at_half=_from_json(RegionScores, values["at_half"]),
        best=_from_json(RegionScores, values["best"]),
        curve=tuple(_from_json(RegionScores, point) for point in values["curve"]),
    )


def _baseline(values: Mapping[str, Any]) -> BaselineScores:
    _require(values, ["method", "pooled", "per_image_mean"], of="BaselineScores")
    return BaselineScores(
        method=values["method"],
        pooled=_from_json(OverlapScores, values["pooled"]),
        per_image_mean=_from_json(MeanScores, values["per_image_mean"]),
    )


def _to_json(value: Any) -> Any:
    """Dictionaries, lists, strings and numbers; a region's `voi` is written too, for those who plot the file."""
    if is_dataclass(value):
        derived = {"voi": value.voi} if isinstance(value, RegionScores) else {}
        plain = {field.name: getattr(value, field.name) for field in fields(value)} | derived
        return {key: _to_json(entry) for key, entry in plain.items()}
    if isinstance(value, tuple):
        return [_to_json(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _from_json(kind: type, values: Mapping[str, Any], **known: Any) -> Any:
    """A dataclass of numbers and tuples of them, `None` read as `nan`; what is `known` is taken as it is."""
    names = [field.name for field in fields(kind) if field.name not in known]
    _require(values, names, of=kind.__name__)
    return kind(**{name: _number(values[name]) for name in names}, **known)


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_number(entry) for entry in value)
    return float("nan") if value is None else value


def _require(values: Mapping[str, Any], names: list[str], *, of: str) -> None:
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{of} must have {', '.join(map(repr, names))}; missing: {', '.join(map(repr, missing))}.")
