import functools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import scores as reference
from skimage.metrics import contingency_table

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

K = 3
SCORES = [dice_score, iou_score, precision, recall]


@st.composite
def predictions_and_targets(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    prediction = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, K - 1)))
    return prediction, draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, K - 1)))


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("tp", "fp", "fn"))


def test_six_pixels_by_hand():
    prediction = np.array([[0, 0, 1], [1, 2, 2]])
    target = np.array([[0, 1, 1], [1, 2, -1]])
    counts = overlap_counts(prediction, target, num_classes=3)
    assert counts.tp.tolist() == [1, 2, 1]
    assert counts.fp.tolist() == [1, 0, 0]
    assert counts.fn.tolist() == [0, 1, 0]
    assert (counts.pixels, counts.correct) == (5, 4)
    np.testing.assert_allclose(dice_score(counts), [2 / 3, 4 / 5, 1])
    np.testing.assert_allclose(iou_score(counts), [1 / 2, 2 / 3, 1])
    np.testing.assert_allclose(precision(counts), [1 / 2, 1, 1])
    np.testing.assert_allclose(recall(counts), [1, 2 / 3, 1])
    assert pixel_accuracy(counts) == 4 / 5


@given(predictions_and_targets())
def test_counts_and_dice_agree_with_the_definition(images):
    prediction, target = images
    counts = overlap_counts(prediction, target, num_classes=K)
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == reference.overlap_counts(*images, K)
    expected = [reference.dice_score(*images, class_id) for class_id in range(K)]
    np.testing.assert_allclose(dice_score(counts), expected)


def test_counts_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    prediction, target = rng.integers(0, K, (2, 20, 20))
    table = contingency_table(target, prediction, sparse_type="array").toarray()
    counts = overlap_counts(prediction, target, num_classes=K)
    np.testing.assert_array_equal(counts.tp, table.diagonal())
    np.testing.assert_array_equal(counts.fp, table.sum(axis=0) - table.diagonal())
    np.testing.assert_array_equal(counts.fn, table.sum(axis=1) - table.diagonal())


@given(predictions_and_targets(), st.permutations(range(K)))
def test_renaming_the_classes_renames_the_counts(images, order):
    prediction, target = images
    new = np.array([*order, -1])  # the last entry is what -1 finds
    counts = overlap_counts(prediction, target, num_classes=K)
    renamed = overlap_counts(new[prediction], new[target], num_classes=K)
    assert same(OverlapCounts(tp=renamed.tp[order], fp=renamed.fp[order], fn=renamed.fn[order]), counts)


@given(predictions_and_targets(), st.integers(0, 2))
def test_flips_change_nothing(images, axis):
    prediction, target = images
    axis %= prediction.ndim
    flipped = overlap_counts(np.flip(prediction, axis), np.flip(target, axis), num_classes=K)
    assert same(flipped, overlap_counts(prediction, target, num_classes=K))


@given(predictions_and_targets(), st.integers(1, 4))
def test_counts_of_the_pieces_add_up_to_the_counts_of_the_whole(images, pieces):
    parts = zip(*(np.array_split(image, pieces) for image in images), strict=True)
    merged = functools.reduce(operator.add, (overlap_counts(*part, num_classes=K) for part in parts))
    assert same(merged, overlap_counts(*images, num_classes=K))


@given(predictions_and_targets())
def test_prediction_and_truth_trade_places(images):
    prediction, target = images
    target = np.abs(target)
    counts = overlap_counts(prediction, target, num_classes=K)
    traded = overlap_counts(target, prediction, num_classes=K)
    np.testing.assert_array_equal(dice_score(counts), dice_score(traded))
    np.testing.assert_array_equal(precision(counts), recall(traded))


@given(predictions_and_targets())
def test_scores_are_in_range_or_nan(images):
    counts = overlap_counts(*images, num_classes=K)
    for score in (*SCORES, lambda counts: np.array([pixel_accuracy(counts)])):
        values = score(counts)
        assert np.all(np.isnan(values) | ((values >= 0) & (values <= 1)))


@given(predictions_and_targets(), st.integers(0, K - 1))
def test_what_is_predicted_on_ignored_pixels_does_not_matter(images, label):
    prediction, target = images
    changed = np.where(target == -1, label - 5, prediction)
    assert same(overlap_counts(changed, target, num_classes=K), overlap_counts(*images, num_classes=K))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_any_integer_type_counts_in_int64(dtype):
    labels = np.ones((20, 20), dtype)
    counts = overlap_counts(labels, labels, num_classes=2)
    assert counts.tp.dtype == counts.fp.dtype == counts.fn.dtype == np.int64
    assert counts.tp.tolist() == [0, 400]


def test_inputs_are_unchanged():
    prediction, target = np.array([0, 1, 1]), np.array([0, 0, -1])
    prediction.flags.writeable = target.flags.writeable = False
    overlap_counts(prediction, target, num_classes=2)


def test_a_class_that_is_nowhere_has_no_score():
    counts = overlap_counts(np.array([0, 0]), np.array([0, 0]), num_classes=2)
    for score in SCORES:
        np.testing.assert_array_equal(score(counts), [1, np.nan])


def test_a_class_that_is_only_predicted_scores_zero_and_has_no_recall():
    counts = overlap_counts(np.array([0, 1]), np.array([0, 0]), num_classes=2)
    assert dice_score(counts)[1] == iou_score(counts)[1] == precision(counts)[1] == 0
    assert np.isnan(recall(counts)[1])


def test_a_class_that_is_missed_scores_zero_and_has_no_precision():
    counts = overlap_counts(np.array([0, 0]), np.array([0, 1]), num_classes=2)
    assert dice_score(counts)[1] == iou_score(counts)[1] == recall(counts)[1] == 0
    assert np.isnan(precision(counts)[1])


@pytest.mark.parametrize("shape", [(0,), (4, 4)])
def test_nothing_to_score_is_nan(shape):
    counts = overlap_counts(np.zeros(shape, int), np.full(shape, -1), num_classes=2)
    assert counts.pixels == 0
    assert np.isnan(pixel_accuracy(counts))
    for score in SCORES:
        assert np.all(np.isnan(score(counts)))


def test_one_pixel_of_one_class():
    counts = overlap_counts(np.zeros((1, 1), int), np.zeros((1, 1), int), num_classes=1)
    assert dice_score(counts).tolist() == [1]
    assert pixel_accuracy(counts) == 1


def test_mean_skips_what_does_not_exist():
    assert skipping_mean(np.array([1.0, np.nan, 0.0])) == 0.5
    assert np.isnan(skipping_mean(np.array([np.nan])))
    assert np.isnan(skipping_mean(np.zeros(0)))


def test_other_shape_is_an_error():
    with pytest.raises(ValueError, match=r"^`prediction` must have the shape of `target`, \(3,\), got \(2,\)\.$"):
        overlap_counts(np.zeros(2, int), np.zeros(3, int), num_classes=1)


@pytest.mark.parametrize(
    ("prediction", "target", "argument", "label"),
    [([2, 0], [0, 0], "prediction", 2), ([-1, 0], [0, 0], "prediction", -1), ([0, 0], [255, 0], "target", 255)],
)
def test_label_of_no_class_is_an_error(prediction, target, argument, label):
    expected = rf"^`{argument}` must hold class ids in \[0, 2\), .*, got {label} \(1 of 2 pixels\)\.$"
    with pytest.raises(ValueError, match=expected):
        overlap_counts(np.array(prediction), np.array(target), num_classes=2)


def test_counts_of_different_classes_do_not_add():
    one = overlap_counts(np.array([0]), np.array([0]), num_classes=1)
    two = overlap_counts(np.array([0]), np.array([0]), num_classes=2)
    with pytest.raises(ValueError, match=r"^Counts of 1 classes cannot be added to counts of 2\.$"):
        one + two
