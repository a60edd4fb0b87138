"""The evaluation as tables: the scores of classes, thresholds, regions and single images."""

import math

from tinyunet.evaluation.boundary import RegionScores
from tinyunet.evaluation.matching import ObjectScores
from tinyunet.evaluation.result import Evaluation, ImageScores, MeanScores, OverlapScores
from tinyunet.runs.page.charts import Chart, Series, line_chart
from tinyunet.runs.page.tables import NOTHING, Cell, Column, Table, counted, percent_text, score_cell

_MOST_CLASS_COLUMNS = 8


def focus(evaluation: Evaluation) -> int | None:
    """The class the page is about, of two classes; None of more, where the mean over the classes stands for them."""
    return None if evaluation.positive is None else evaluation.classes.index(evaluation.positive)


def focal_dice(evaluation: Evaluation, scores: OverlapScores) -> float:
    """Dice score of the class the page is about, or the mean over the classes."""
    k = focus(evaluation)
    return scores.mean_dice if k is None else scores.dice[k]


def worst_first(evaluation: Evaluation) -> list[ImageScores]:
    """The images by rising score; those without one come last, equal ones by name."""
    key = {image.name: focal_dice(evaluation, image) for image in evaluation.images}
    return sorted(evaluation.images, key=lambda image: (math.isnan(key[image.name]), key[image.name], image.name))


def class_tables(evaluation: Evaluation, colors: dict[str, str], images: str) -> tuple[Table, Table]:
    """The scores of each class, pooled and as the mean over images, with the no-learning score beside.

    Args:
        evaluation: The scores.
        colors: The colour of each class that has one.
        images: What was scored, such as "6 test images".
    """
    baseline = evaluation.baseline
    pooled = _class_table(
        evaluation,
        evaluation.pooled,
        None if baseline is None else baseline.pooled,
        colors,
        caption=f"Pooled over {images}: every pixel counts the same",
    )
    mean = _class_table(
        evaluation,
        evaluation.per_image_mean,
        None if baseline is None else baseline.per_image_mean,
        colors,
        caption=f"Mean over {images}: every image counts the same",
    )
    return pooled, mean


def _class_table(
    evaluation: Evaluation,
    scores: OverlapScores,
    baseline: OverlapScores | None,
    colors: dict[str, str],
    *,
    caption: str,
) -> Table:
    heads = ["Dice", *([] if evaluation.baseline is None else [f"Dice, {evaluation.baseline.method}"])]
    heads += ["IoU", "Precision", "Recall"]
    numbers = [scores.dice, *([] if baseline is None else [baseline.dice]), scores.iou, scores.precision, scores.recall]
    rows = [
        (Cell(text=name, color=colors.get(name)), *(score_cell(column[k]) for column in numbers))
        for k, name in enumerate(evaluation.classes)
    ]
    means = [scores.mean_dice, *([] if baseline is None else [baseline.mean_dice])]
    empty = [Cell(text="")] * (len(heads) - len(means))
    rows.append((Cell(text="mean of the classes"), *map(score_cell, means), *empty))
    note = f"{percent_text(scores.accuracy)} of the pixels have the right class"
    note += ", on average over the images." if isinstance(scores, MeanScores) else "."
    if isinstance(scores, MeanScores) and any(scores.absent):
        skipped = (
            f"{name} in {counted(count, 'image')}"
            for name, count in zip(evaluation.classes, scores.absent, strict=True)
            if count
        )
        note += f" Neither there nor predicted, so without a score and skipped: {', '.join(skipped)}."
    columns = (Column(head="Class", words=True), *(Column(head=head) for head in heads))
    return Table(caption=caption, columns=columns, rows=tuple(rows), note=note)


def object_table(evaluation: Evaluation, images: str) -> Table | None:
    """How well single objects are found, beside taking the pieces of the foreground for objects."""
    objects = evaluation.objects
    if objects is None:
        return None
    rows = [("found", objects.found), ("pieces of the predicted foreground", objects.plain)]
    if objects.baseline is not None and evaluation.baseline is not None:
        rows.append((f"pieces of {evaluation.baseline.method}", objects.baseline))
    heads = ("AP at 0.5", "AP at 0.75", "Mean AP", "F1", "Precision", "Recall", "PQ", "AJI")
    return Table(
        caption=f"Objects, all {objects.found.true:,} of {images} together",
        columns=(
            Column(head="Objects", words=True),
            *(Column(head=head) for head in heads),
            Column(head="Number"),
            Column(head="Count error"),
        ),
        rows=tuple((Cell(text=name), *_object_cells(scores)) for name, scores in rows),
        note="AP at 0.5 is TP / (TP + FP + FN), where a found and a true object are a true positive if they share half "
        "of the pixels that either has; mean AP is its mean over the thresholds 0.5 to 0.95. The count error is the "
        "mean over images of how many objects too many or too few were found.",
    )


def _object_cells(scores: ObjectScores) -> tuple[Cell, ...]:
    ratios = (scores.ap[0], scores.ap[5], scores.mean_ap, scores.f1, scores.precision, scores.recall)
    cells = map(score_cell, (*ratios, scores.panoptic_quality, scores.aggregated_jaccard))
    number = Cell(text=f"{scores.predicted:,}", value=float(scores.predicted))
    return (*cells, number, Cell(text=f"{scores.count_error:.2f}", value=scores.count_error))


def threshold_table(evaluation: Evaluation, images: str) -> Table | None:
    """How well the probability of the positive class separates its pixels from the rest."""
    scores = evaluation.threshold
    if scores is None:
        return None
    heads = ("AUC", "F1 at 0.5", "Best F1", "reached at")
    row = (scores.auc, scores.f1_at_half, scores.best_f1, scores.best_threshold)
    return Table(
        caption=f"Probability of {evaluation.positive}, pooled over the pixels of {images}",
        columns=(Column(head="Class", words=True), *(Column(head=head) for head in heads)),
        rows=((Cell(text=evaluation.positive or ""), *map(score_cell, row)),),
        note="The best threshold was found on these very images, so the best F1 is a little too good.",
    )


def region_table(evaluation: Evaluation, images: str) -> Table | None:
    """How well the boundary class parts the images into regions."""
    boundary = evaluation.boundary
    if boundary is None:
        return None
    heads = ("Adapted Rand F", "Precision", "Recall", "VOI split", "VOI merge", "VOI")
    return Table(
        caption=f"Regions between {boundary.name}, mean over {images}",
        columns=(Column(head=f"{boundary.name} from", words=True), *(Column(head=head) for head in heads)),
        rows=(
            (Cell(text="probability 0.5"), *_region_cells(boundary.at_half)),
            (Cell(text=f"probability {boundary.best.threshold:g}, the best"), *_region_cells(boundary.best)),
        ),
        note="Variation of information (VOI) is in bits, and lower is better. The best threshold was found on these "
        "very images.",
    )


def _region_cells(scores: RegionScores) -> tuple[Cell, ...]:
    rand = (scores.rand_f, scores.rand_precision, scores.rand_recall)
    bits = (scores.voi_split, scores.voi_merge, scores.voi)
    return (*map(score_cell, rand), *map(_bits_cell, bits))


def _bits_cell(bits: float) -> Cell:
    return Cell(text=f"{bits:.3f}" if math.isfinite(bits) else NOTHING, value=bits)


def region_charts(evaluation: Evaluation, images: str) -> tuple[Chart, ...]:
    """Adapted Rand and variation of information against the threshold."""
    if evaluation.boundary is None:
        return ()
    curve = evaluation.boundary.curve
    best = evaluation.boundary.best.threshold
    x_label = f"threshold on the probability of {evaluation.boundary.name}"
    rand = Series(name="Rand F", points=tuple((at.threshold, at.rand_f) for at in curve), dots=True)
    bits = (
        Series(name="split", points=tuple((at.threshold, at.voi_split) for at in curve), dots=True),
        Series(name="merge", points=tuple((at.threshold, at.voi_merge) for at in curve), dots=True),
    )
    mark = (best, "best")
    charts = (
        line_chart([rand], title=f"Adapted Rand F, mean over {images}", x_label=x_label, y_range=(0.0, 1.0), mark=mark),
        line_chart(bits, title=f"Variation of information in bits, mean over {images}", x_label=x_label, mark=mark),
    )
    return tuple(chart for chart in charts if chart is not None)


def image_table(evaluation: Evaluation) -> Table:
    """The scores of each image, the worst first."""
    k = focus(evaluation)
    if k is None:
        heads = ["Mean Dice", *evaluation.classes[:_MOST_CLASS_COLUMNS]]
        note = "Each row holds the scores of one image alone: the mean Dice of its classes, and the Dice of each."
        note += " Of the classes, the first eight have a column." * (len(evaluation.classes) > _MOST_CLASS_COLUMNS)
    else:
        heads = [f"Dice of {evaluation.classes[k]}", "IoU", "Precision", "Recall"]
        note = "Each row holds the scores of one image alone."
    heads.append("Right pixels")
    if evaluation.objects is not None:
        heads += ["AP at 0.5", "Objects", "Found"]
    if evaluation.boundary is not None:
        heads += ["Rand F", "VOI split", "VOI merge"]
        note += f" Regions are those at the threshold {evaluation.boundary.best.threshold:g}."
    columns = [Column(head=head, bars=i == 0) for i, head in enumerate(heads)]
    return Table(
        caption="Scores of each image, the worst first",
        columns=(Column(head="Image", words=True), *columns, Column(head="Pixels")),
        rows=tuple(_image_row(evaluation, image) for image in worst_first(evaluation)),
        sortable=True,
        note=note,
    )


def _image_row(evaluation: Evaluation, image: ImageScores) -> tuple[Cell, ...]:
    k = focus(evaluation)
    if k is None:
        numbers = [image.mean_dice, *image.dice[:_MOST_CLASS_COLUMNS]]
    else:
        numbers = [image.dice[k], image.iou[k], image.precision[k], image.recall[k]]
    cells = [*map(score_cell, numbers), Cell(text=percent_text(image.accuracy), value=image.accuracy)]
    if image.objects is not None:
        counts = (image.objects.true, image.objects.predicted)
        cells += [score_cell(image.objects.ap[0]), *(Cell(text=f"{n:,}", value=float(n)) for n in counts)]
    if image.best is not None:
        cells += [score_cell(image.best.rand_f), _bits_cell(image.best.voi_split), _bits_cell(image.best.voi_merge)]
    return (Cell(text=image.name), *cells, Cell(text=f"{image.pixels:,}", value=float(image.pixels)))
