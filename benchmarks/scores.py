"""The scores that benchmarks show, picked out of an evaluation."""

from collections.abc import Mapping
from typing import Any

NAMES = (
    "Dice, all pixels",
    "Dice, mean of images",
    "F1 at 0.5",
    "best F1",
    "AUC",
    "adapted Rand F, best threshold",
    "adapted Rand F at 0.5",
    "variation of information, best threshold",
    "variation of information at 0.5",
    "objects, AP at 0.5",
    "objects, mean AP",
    "objects, AP at 0.5 of the foreground's pieces",
)


def pick(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """Scores by name; None for those that the data do not have.

    With two classes the Dice scores are the positive class's, otherwise the mean over the classes. The best threshold
    is the common one with the highest mean adapted Rand score, as in the evaluation itself.

    Args:
        evaluation: As `tinyunet evaluate --json` writes it.
    """
    threshold, boundary = evaluation["threshold"], evaluation["boundary"]
    best, half = (boundary["best"], boundary["at_half"]) if boundary else ({}, {})
    values = [
        *dice(evaluation, evaluation),
        *((threshold["f1_at_half"], threshold["best_f1"], threshold["auc"]) if threshold else (None,) * 3),
        best.get("rand_f"),
        half.get("rand_f"),
        best.get("voi"),
        half.get("voi"),
        *objects(evaluation["objects"]),
    ]
    return dict(zip(NAMES, values, strict=True))


def further(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """What depends on the data: Dice of each class where there are more than two, and the calibration.

    Args:
        evaluation: As `tinyunet evaluate --json` writes it.
    """
    found: dict[str, float | None] = {}
    if evaluation["positive"] is None:
        for name, score in zip(evaluation["classes"], evaluation["per_image_mean"]["dice"], strict=True):
            found[f"Dice of {name}, mean of images"] = score
    if calibration := evaluation["calibration"]:
        found["calibration error"] = calibration["after"]["error"]
        found["calibration error before scaling"] = calibration["before"]["error"]
    return found


def pick_baseline(evaluation: Mapping[str, Any]) -> dict[str, float | None]:
    """The same of Otsu's threshold, which gives labels and no probabilities: its F1 is its Dice score."""
    baseline = evaluation["baseline"]
    if not baseline:
        return dict.fromkeys(NAMES)
    pooled, mean = dice(baseline, evaluation)
    found = evaluation["objects"]
    ap = found and found["baseline"] and found["baseline"]["ap"][0]
    return {
        **dict.fromkeys(NAMES),
        NAMES[0]: pooled,
        NAMES[1]: mean,
        NAMES[2]: pooled,
        "objects, AP at 0.5": ap or None,
    }


def objects(scores: Mapping[str, Any] | None) -> tuple[float | None, ...]:
    """Of the objects found: AP at 0.5 and its mean over the thresholds; and AP at 0.5 without parting them."""
    if not scores:
        return (None,) * 3
    return scores["found"]["ap"][0], scores["found"]["mean_ap"], scores["plain"]["ap"][0]


def dice(scores: Mapping[str, Any], evaluation: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Dice of the positive class, else the mean over classes: of all pixels together, and as the mean of the images."""
    parts = scores["pooled"], scores["per_image_mean"]
    if evaluation["positive"] is None:
        return parts[0]["mean_dice"], parts[1]["mean_dice"]
    positive = evaluation["classes"].index(evaluation["positive"])
    return parts[0]["dice"][positive], parts[1]["dice"][positive]


def mean(values: list[float | None]) -> float | None:
    """The mean, or None if a value is missing."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(values) and present else None
