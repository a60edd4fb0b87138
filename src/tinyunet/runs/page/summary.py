"""The top of the page: the result in one sentence, a few numbers, and what to know before believing them."""

import math
from typing import Any

from tinyunet.evaluation.result import Evaluation, InstanceScores
from tinyunet.runs.page.record import RunRecord
from tinyunet.runs.page.scores import focal_dice, focus, worst_first
from tinyunet.runs.page.tables import Fact, counted, duration_text, percent_text, score_text

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_FEW_IMAGES = 5  # below this many, one image more or less moves the score
_REASONS = {
    "time": "its time was over",
    "stopped": "it was stopped",
    "diverged": "its loss was no longer a number",
}


def images_text(record: RunRecord) -> str:
    """What was scored, such as "6 test images".

    Args:
        record: A run with an evaluation.
    """
    split = record.evaluated or ""
    return counted(len(record.evaluation.images) if record.evaluation else 0, f"{_SPLITS.get(split, split)} image")


def headline(record: RunRecord) -> str:
    """The result in one sentence."""
    evaluation = record.evaluation
    if evaluation is None:
        return _headline_without_scores(record)
    where = f"On {images_text(record)}"
    if evaluation.objects is not None:
        return _object_headline(evaluation.objects, where)
    dice = focal_dice(evaluation, evaluation.pooled)
    if math.isnan(dice):
        return f"On {images_text(record)} there is no {_what(evaluation)}, and none is found: nothing can be scored."
    if evaluation.positive is None:
        sentence = f"{where} it tells {_what(evaluation)} apart with a mean Dice of"
    else:
        sentence = f"{where} it finds {_what(evaluation)} with Dice"
    sentence += f" {score_text(dice, digits=2)} (0 to 1, higher is better)"
    if evaluation.baseline is None:
        return f"{sentence}."
    plain = focal_dice(evaluation, evaluation.baseline.pooled)
    return f"{sentence}; thresholding alone reaches {score_text(plain, digits=2)}."


def _object_headline(objects: InstanceScores, where: str) -> str:
    found = objects.found
    if math.isnan(found.ap[0]):
        return f"{where} there is no object, and none is found: nothing can be scored."
    return (
        f"{where} it finds {percent_text(found.recall)} of the {counted(found.true, 'object')}, and "
        f"{percent_text(found.precision)} of what it finds are objects: average precision at an overlap of one half "
        f"{score_text(found.ap[0], digits=2)} (0 to 1, higher is better)."
    )


def _headline_without_scores(record: RunRecord) -> str:
    best = best_validation(record)
    if best is None:
        return "Not evaluated yet, and nothing was validated in training: there is no result to report."
    reached = f"a mean Dice of {score_text(best['score'], digits=2)} (0 to 1, higher is better)"
    return f"Not evaluated yet. In training, the validation images reached {reached}."


def _what(evaluation: Evaluation) -> str:
    """What is looked for, in words."""
    if evaluation.positive is None:
        return counted(len(evaluation.classes), "class", "classes")
    return "the foreground" if evaluation.positive == "foreground" else evaluation.positive


def best_validation(record: RunRecord) -> dict[str, Any] | None:
    """The validation whose weights were chosen: the last one that was called the best."""
    return next((line for line in reversed(record.of("validate")) if line["best"]), None)


def key_facts(record: RunRecord) -> tuple[Fact, ...]:
    """The few numbers below the headline."""
    evaluation, end = record.evaluation, record.last("end")
    facts = []
    if evaluation is not None:
        if evaluation.objects is not None:
            objects = evaluation.objects
            of = f"of {counted(objects.found.true, 'object')}, all together"
            facts.append(Fact("AP at 0.5", score_text(objects.found.ap[0]), of))
            pieces = "taking pieces of the predicted foreground for objects"
            facts.append(Fact("Without parting", score_text(objects.plain.ap[0]), pieces))
        title = "Mean Dice of the classes" if focus(evaluation) is None else f"Dice of {_what(evaluation)}"
        pooled, mean = focal_dice(evaluation, evaluation.pooled), focal_dice(evaluation, evaluation.per_image_mean)
        facts.append(Fact(title, score_text(pooled), f"pooled: all pixels of {images_text(record)} together"))
        facts.append(Fact("Mean over images", score_text(mean), "of each image’s own score"))
        worst = worst_first(evaluation)[0]
        if len(evaluation.images) > 1:
            facts.append(Fact("Worst image", score_text(focal_dice(evaluation, worst)), worst.name))
        if evaluation.baseline is not None:
            plain = focal_dice(evaluation, evaluation.baseline.pooled)
            facts.append(Fact("Without learning", score_text(plain), f"{evaluation.baseline.method}, pooled too"))
    if end is not None:
        facts.append(Fact("Training", duration_text(end["seconds"]), counted(end["step"], "step")))
    return tuple(facts)


def cautions(record: RunRecord) -> tuple[str, ...]:
    """What to know before believing the headline, one sentence or two each."""
    return (*_score_cautions(record), *_training_cautions(record))


def _score_cautions(record: RunRecord) -> list[str]:
    evaluation = record.evaluation
    if evaluation is None:
        return ["There are no scores yet. “tinyunet evaluate RUN DATA” makes them, and this page anew."]
    found = []
    if record.evaluated == "train":
        found.append("The model was trained on these very images: the scores say little about new ones.")
    if record.evaluated == "val":
        found.append("These images chose the weights during training: the scores are a little too good.")
    if len(evaluation.images) < _FEW_IMAGES:
        found.append(f"With only {images_text(record)}, others could well score differently.")
    if evaluation.baseline is not None:
        plain = focal_dice(evaluation, evaluation.baseline.pooled)
        if plain >= focal_dice(evaluation, evaluation.pooled):
            found.append(f"{evaluation.baseline.method}, which learns nothing, does as well or better on these images.")
    return found


def _training_cautions(record: RunRecord) -> list[str]:
    end = record.last("end")
    if end is None and record.events:
        return ["The training has not ended: it is still running or was interrupted. This is how far it came."]
    if end is not None and end["reason"] != "finished":
        why = _REASONS.get(end["reason"], "it was interrupted")
        return [f"The training ended early, at step {end['step']:,}, because {why}."]
    return []
