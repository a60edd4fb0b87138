import dataclasses

import numpy as np
import pytest

from tinyunet.evaluation.scores import Evaluator
from tinyunet.runs.page.calibration import calibration_chart, calibration_table


def evaluate(*, temperature, classes=("background", "cell")):
    """Eight of ten pixels are right where the network says nine."""
    evaluator = Evaluator(classes, temperature=temperature)
    k = len(classes)
    sure = 0.1 / (k - 1) + (0.9 - 0.1 / (k - 1)) * np.eye(k)[np.ones(10, int)]
    evaluator.add("a", sure, np.array([1] * 8 + [0] * 2))
    return evaluator.result()


SCALED = evaluate(temperature=np.log(9) / np.log(4))  # odds of 9 to 1 become 4 to 1


def texts(row):
    return [cell.text for cell in row]


def test_before_and_after_stand_in_two_rows():
    table = calibration_table(SCALED, "1 test image")
    assert table.caption == "Probability of cell, pooled over the pixels of 1 test image"
    assert [column.head for column in table.columns] == ["Probabilities", "Calibration error", "Loss"]
    before, after = (-0.8 * np.log(p) - 0.2 * np.log(1 - p) for p in (0.9, 0.8))
    assert texts(table.rows[0])[::2] == ["before scaling", f"{before:.3f}"]
    assert texts(table.rows[1])[::2] == ["after scaling", f"{after:.3f}"]
    assert [row[1].value for row in table.rows] == pytest.approx([0.1, 0.0], abs=1e-3)
    assert table.note.startswith("Scaled by the temperature 1.585, fitted to the validation images: ")


def test_without_a_temperature_there_is_one_row_and_one_curve():
    plain = evaluate(temperature=1.0)
    (row,) = calibration_table(plain, "1 test image").rows
    assert row[0].text == "not scaled"
    assert "No temperature was fitted" in calibration_table(plain, "1 test image").note
    assert [curve.name for curve in calibration_chart(plain, "1 test image").curves] == ["true", "as said"]


def test_both_curves_are_named_beside_the_right_one():
    chart = calibration_chart(SCALED, "3 test images")
    assert chart.title == "How often pixels are cell, pooled over 3 test images"
    assert chart.x_label == "probability of cell"
    assert [curve.name for curve in chart.curves] == ["before scaling", "after scaling", "as said"]


def test_of_more_classes_the_most_probable_is_shown():
    found = evaluate(temperature=2.0, classes=("a", "b", "c"))
    assert calibration_table(found, "1 test image").caption.startswith("Probability of the most probable class, pooled")
    assert calibration_chart(found, "1 test image").title.startswith("How often the most probable class is right, ")


def test_where_it_was_not_looked_at_there_is_nothing():
    old = dataclasses.replace(SCALED, calibration=None)
    assert calibration_table(old, "1 test image") is None
    assert calibration_chart(old, "1 test image") is None
    evaluator = Evaluator(("background", "cell"))
    evaluator.add("a", np.full((2, 2), 0.5), np.array([-1, -1]))
    table = calibration_table(evaluator.result(), "1 test image")
    assert texts(table.rows[0])[1:] == ["–", "–"]
    assert calibration_chart(evaluator.result(), "1 test image") is None
