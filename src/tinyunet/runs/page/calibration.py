"""Whether probabilities mean what they say, before and after temperature scaling."""

import math

from tinyunet.evaluation.calibration import CalibrationScores
from tinyunet.evaluation.result import Evaluation
from tinyunet.runs.page.charts import Chart, Series, line_chart
from tinyunet.runs.page.tables import NOTHING, Cell, Column, Table, number_text, score_cell


def calibration_table(evaluation: Evaluation, images: str) -> Table | None:
    """Calibration error and loss; two rows where probabilities are scaled.

    Args:
        evaluation: The scores.
        images: What was scored, such as "6 test images".
    """
    scores = evaluation.calibration
    if scores is None:
        return None
    if scores.temperature == 1:
        rows = [("not scaled", scores.after)]
        note = "No temperature was fitted: the probabilities are those of the network."
    else:
        rows = [("before scaling", scores.before), ("after scaling", scores.after)]
        note = f"Scaled by the temperature {number_text(scores.temperature)}, fitted to the validation images: "
        note += "above 1 it makes the network more modest, below 1 surer. Labels stay the same."
    return Table(
        caption=f"Probability of {_subject(evaluation)}, pooled over the pixels of {images}",
        columns=(Column(head="Probabilities", words=True), Column(head="Calibration error"), Column(head="Loss")),
        rows=tuple((Cell(text=name), *_cells(side)) for name, side in rows),
        note=f"{note} Lower is better; the loss is in nats.",
    )


def calibration_chart(evaluation: Evaluation, images: str) -> Chart | None:
    """How often what is said is true at each probability of it, beside how often it should be."""
    scores = evaluation.calibration
    if scores is None or not scores.after.reliability:
        return None
    if scores.temperature == 1:
        measured = [_series("true", scores.after)]
    else:
        measured = [_series("before scaling", scores.before), _series("after scaling", scores.after)]
    right = Series(name="as said", points=((0.0, 0.0), (1.0, 1.0)))
    positive = evaluation.positive
    what = "the most probable class is right" if positive is None else f"pixels are {positive}"
    return line_chart(
        [*measured, right],
        title=f"How often {what}, pooled over {images}",
        x_label=f"probability of {_subject(evaluation)}",
        y_range=(0.0, 1.0),
    )


def _subject(evaluation: Evaluation) -> str:
    return evaluation.positive or "the most probable class"


def _cells(scores: CalibrationScores) -> tuple[Cell, Cell]:
    loss = f"{scores.loss:.3f}" if math.isfinite(scores.loss) else NOTHING
    return score_cell(scores.error), Cell(text=loss, value=scores.loss)


def _series(name: str, scores: CalibrationScores) -> Series:
    return Series(name=name, points=tuple((p, frequency) for p, frequency, _ in scores.reliability), dots=True)
