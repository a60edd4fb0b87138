"""Score a run on images, or volumes, with masks."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyunet.cli.tables import table

if TYPE_CHECKING:
    from tinyunet.evaluation.result import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder or a model.safetensors")
    parser.add_argument("data", metavar="DATA", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--split", choices=("train", "val", "test", "all"), help="which images (default test)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the scores for programs")
    parser.add_argument(
        "--tta",
        action="store_true",
        help="average over the flips and turns of the training, up to eight: slower, a bit better",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluates and prints the scores."""
    from tinyunet.runs.evaluate import evaluate

    evaluation = evaluate(
        arguments.model,
        arguments.data,
        split=arguments.split,
        json_file=arguments.json,
        tta=arguments.tta,
        quiet=arguments.quiet,
    )
    print(score_text(evaluation))
    if arguments.model.is_dir():
        print(f"\nreport   {arguments.model / 'report.html'}")


def score_text(evaluation: "Evaluation") -> str:
    """All scores as tables, each under a line that says what it is the mean of."""
    count = len(evaluation.images)
    blocks = [
        (f"All pixels of {count} images together", evaluation.pooled),
        (f"Mean of the scores of {count} images", evaluation.per_image_mean),
    ]
    if evaluation.baseline is not None:
        method = f"No learning: {evaluation.baseline.method}"
        blocks += [
            (f"{method}, all pixels together", evaluation.baseline.pooled),
            (f"{method}, mean of the images", evaluation.baseline.per_image_mean),
        ]
    parts = []
    for title, scores in blocks:
        rows = [
            [name, scores.dice[k], scores.iou[k], scores.precision[k], scores.recall[k]]
            for k, name in enumerate(evaluation.classes)
        ]
        rows.append(["mean", scores.mean_dice, None, None, None])
        parts.append(
            f"{title} (pixel accuracy {scores.accuracy:.3f})\n"
            + table(["class", "Dice", "IoU", "precision", "recall"], rows)
        )
    if evaluation.objects is not None:
        objects = evaluation.objects
        compared = [("found", objects.found), ("pieces of the predicted foreground", objects.plain)]
        if objects.baseline is not None and evaluation.baseline is not None:
            compared.append((f"pieces of {evaluation.baseline.method}", objects.baseline))
        rows = [
            [name, s.ap[0], s.mean_ap, s.f1, s.panoptic_quality, s.aggregated_jaccard, s.count_error, s.predicted]
            for name, s in compared
        ]
        header = ["objects", "AP 0.5", "mean AP", "F1", "PQ", "AJI", "count error", "number"]
        parts.append(f"{objects.found.true} objects, those of all images together\n" + table(header, rows))
    if evaluation.threshold is not None:
        t = evaluation.threshold
        parts.append(
            f"Probability of {evaluation.positive}, all pixels together\n"
            f"AUC {t.auc:.4f}   F1 at 0.5 {t.f1_at_half:.3f}   best F1 {t.best_f1:.3f} at {t.best_threshold:.3f}"
        )
    if evaluation.calibration is not None:
        c = evaluation.calibration
        sides = [("before scaling", c.before), (f"after scaling, temperature {c.temperature:.4g}", c.after)]
        if c.temperature == 1:
            sides = [("not scaled", c.after)]
        subject = evaluation.positive or "the most probable class"
        parts.append(
            f"Does the probability of {subject} mean what it says, all pixels together\n"
            + table(["probabilities", "calibration error", "loss"], [[name, s.error, s.loss] for name, s in sides])
        )
    if evaluation.boundary is not None:
        rows = [
            [f"{r.threshold:.2f} ({which})", r.rand_f, r.rand_precision, r.rand_recall, r.voi_split, r.voi_merge]
            for which, r in (("default", evaluation.boundary.at_half), ("best", evaluation.boundary.best))
        ]
        header = ["threshold", "adapted Rand F", "precision", "recall", "VOI split", "VOI merge"]
        parts.append(f"Regions that {evaluation.boundary.name} parts, mean of the images\n" + table(header, rows))
    return "\n\n".join(parts)
