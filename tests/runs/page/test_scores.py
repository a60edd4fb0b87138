import math

import numpy as np

from tinyunet.evaluation.scores import Evaluator, Instances
from tinyunet.runs.page.scores import (
    class_tables,
    focal_dice,
    focus,
    image_table,
    object_table,
    region_charts,
    region_table,
    threshold_table,
    worst_first,
)


def evaluate(targets, predictions, *, classes=("background", "cell"), boundary=None, baselines=None):
    """The evaluation of labels that are taken to be nearly sure."""
    evaluator = Evaluator(classes, boundary=boundary)
    for i, (target, prediction) in enumerate(zip(targets, predictions, strict=True)):
        k = len(classes)
        sure = 0.1 / k + 0.9 * np.eye(k)[np.array(prediction)]
        evaluator.add(f"image {i}", sure, np.array(target), None if baselines is None else np.array(baselines[i]))
    return evaluator.result()


TWO = evaluate(
    [[[0, 0, 1, 1]], [[0, 0, 0, 0]], [[0, 1, 1, 1]]],
    [[[0, 1, 1, 1]], [[0, 0, 0, 0]], [[0, 1, 1, 1]]],
    baselines=[[[1, 1, 1, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 0]]],
)
THREE = evaluate([[[0, 1, 2, 2]]], [[[0, 1, 1, 2]]], classes=("a", "b", "c"))
CUT = evaluate(
    [[[1, 0, 1], [1, 0, 1], [1, 0, 1]]],
    [[[1, 0, 1], [1, 1, 1], [1, 0, 1]]],
    classes=("membrane", "inside"),
    boundary="membrane",
)


def texts(row):
    return [cell.text for cell in row]


def test_of_two_classes_one_is_looked_for_and_of_more_none():
    assert (focus(TWO), focus(CUT), focus(THREE)) == (1, 0, None)
    assert focal_dice(TWO, TWO.pooled) == 10 / 11  # 5 found rightly, 1 too many, none missed
    assert focal_dice(THREE, THREE.pooled) == THREE.pooled.mean_dice


def test_images_come_worst_first_and_those_without_a_score_last():
    assert [image.name for image in worst_first(TWO)] == ["image 0", "image 2", "image 1"]
    assert math.isnan(focal_dice(TWO, worst_first(TWO)[-1]))


def test_class_tables_hold_the_scores_and_the_baseline_beside():
    pooled, mean = class_tables(TWO, {"cell": "#e69f00"}, "3 test images")
    assert [column.head for column in pooled.columns] == [
        "Class", "Dice", "Dice, Otsu's threshold", "IoU", "Precision", "Recall",
    ]  # fmt: skip
    # Otsu: 2 of 5 found, 2 too many, 3 missed: 4 / 9.
    assert texts(pooled.rows[1]) == ["cell", "0.909", "0.444", "0.833", "0.833", "1.000"]
    assert pooled.rows[1][0].color == "#e69f00"
    assert pooled.caption == "Pooled over 3 test images: every pixel counts the same"
    assert pooled.note == "91.7 % of the pixels have the right class."
    # Mean of 0.8 and 1: the image without cells is skipped.
    assert texts(mean.rows[1])[:2] == ["cell", "0.900"]
    assert mean.note.endswith("Neither there nor predicted, so without a score and skipped: cell in 1 image.")


def test_class_tables_without_a_baseline_have_no_column_for_it():
    pooled, _ = class_tables(THREE, {}, "1 test image")
    assert [column.head for column in pooled.columns] == ["Class", "Dice", "IoU", "Precision", "Recall"]
    assert texts(pooled.rows[-1]) == ["mean of the classes", "0.778", "", "", ""]
    assert all(len(row) == len(pooled.columns) for row in pooled.rows)


def test_thresholds_are_about_two_classes():
    table = threshold_table(TWO, "3 test images")
    assert table.caption == "Probability of cell, pooled over the pixels of 3 test images"
    assert texts(table.rows[0])[:3] == ["cell", "0.929", "0.909"]  # AUC: 6 of 7 rest pixels lie lower, 1 is equal
    assert threshold_table(THREE, "1 test image") is None


def test_regions_are_about_a_boundary_class():
    table = region_table(CUT, "1 test image")
    assert [row[0].text for row in table.rows] == [
        "probability 0.5",
        f"probability {CUT.boundary.best.threshold:g}, the best",
    ]
    assert texts(table.rows[0])[1] == f"{CUT.boundary.at_half.rand_f:.3f}"
    assert all(len(row) == len(table.columns) for row in table.rows)
    rand, bits = region_charts(CUT, "1 test image")
    assert [curve.name for curve in bits.curves] == ["split", "merge"]
    assert "Rand" in rand.title
    assert region_table(TWO, "3 test images") is None
    assert region_charts(TWO, "3 test images") == ()


def test_the_image_table_has_a_row_for_each_image():
    table = image_table(TWO)
    assert table.sortable
    assert texts(table.rows[0]) == ["image 0", "0.800", "0.667", "0.667", "1.000", "75.0 %", "4"]
    assert texts(table.rows[-1])[:2] == ["image 1", "–"]
    for evaluation in (TWO, THREE, CUT):
        table = image_table(evaluation)
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_image_table_shows_the_classes_of_many_and_the_regions_of_a_boundary():
    assert [column.head for column in image_table(THREE).columns][1:5] == ["Mean Dice", "a", "b", "c"]
    assert [column.head for column in image_table(CUT).columns][-4:] == ["Rand F", "VOI split", "VOI merge", "Pixels"]


def with_objects(*, baseline):
    evaluator = Evaluator(("background", "object"))
    found, true = np.array([[1, 1, 0, 2, 0]]), np.array([[5, 5, 5, 0, 7]])
    sure = np.eye(2)[np.minimum(found, 1)]
    otsu = np.ones_like(true) if baseline else None
    evaluator.add("a", sure, np.minimum(true, 1), otsu, instances=Instances(found, true))
    return evaluator.result()


def test_objects_stand_beside_the_pieces_of_the_foreground():
    table = object_table(with_objects(baseline=True), "1 test image")
    assert table.caption == "Objects, all 2 of 1 test image together"
    assert texts(table.rows[0]) == [
        "found", "0.333", "0.000", "0.133", "0.500", "0.500", "0.500", "0.333", "0.400", "2", "0.00",
    ]  # fmt: skip
    assert [row[0].text for row in table.rows[1:]] == [
        "pieces of the predicted foreground",
        "pieces of Otsu's threshold",
    ]
    assert len(object_table(with_objects(baseline=False), "1 test image").rows) == 2
    assert object_table(TWO, "3 test images") is None


def test_the_table_of_images_counts_objects_where_there_are_any():
    table = image_table(with_objects(baseline=False))
    assert [column.head for column in table.columns][-4:] == ["AP at 0.5", "Objects", "Found", "Pixels"]
    assert texts(table.rows[0])[-4:] == ["0.333", "2", "2", "5"]
