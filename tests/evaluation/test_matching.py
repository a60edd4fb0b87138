import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import objects as naive
from scipy.optimize import linear_sum_assignment
from skimage.metrics import contingency_table

from tinyunet.evaluation.matching import THRESHOLDS, aligned, object_counts, object_scores


@st.composite
def instance_pairs(draw):
    shape = draw(st.lists(st.integers(1, 6), min_size=2, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def blocks(lowest):
        image = np.zeros(shape, np.int32)
        for number in rng.choice([1, 2, 3, 9, lowest], rng.integers(0, 6)):
            corner = rng.integers(0, shape)
            image[tuple(slice(i, i + rng.integers(1, 5)) for i in corner)] = number
        return image

    return blocks(1), blocks(-1)


def scores(prediction, target):
    return object_scores(object_counts(np.array(prediction), np.array(target)))


def test_three_objects_by_hand():
    # 1 covers 5 by 2 of 3 pixels (IoU 2/3), 2 is invented, 7 is missed.
    found = scores([[1, 1, 0, 2, 0]], [[5, 5, 5, 0, 7]])
    assert found.ap[:4] == (1 / 3,) * 4
    assert found.ap[4:] == (0,) * 6
    assert found.mean_ap == pytest.approx(4 / 30)
    assert (found.f1, found.precision, found.recall) == (0.5, 0.5, 0.5)
    assert found.panoptic_quality == pytest.approx((2 / 3) / 2)
    assert found.aggregated_jaccard == pytest.approx(2 / (3 + 1 + 1))
    assert (found.count_error, found.predicted, found.true) == (0, 2, 2)


def test_an_intersection_over_union_of_exactly_the_threshold_matches():
    assert object_counts(np.array([1, 0]), np.array([1, 1])).matched.tolist() == [1, *[0] * 9]
    nineteen = np.array([1] * 19 + [0])
    assert object_counts(nineteen, np.ones(20, int)).matched.tolist() == [1] * 10


@pytest.mark.parametrize("flip", [False, True])
def test_of_two_halves_only_one_matches(flip):
    halves, whole = np.array([1, 1, 2, 2]), np.array([3, 3, 3, 3])
    counts = object_counts(*((whole, halves) if flip else (halves, whole)))
    assert counts.matched[0] == 1
    assert counts.iou == 0.5


@given(instance_pairs())
def test_counts_agree_with_trying_every_pair(pair):
    prediction, target = pair
    counts = object_counts(prediction, target)
    assert counts.matched.tolist() == [naive.matches(prediction, target, t) for t in THRESHOLDS]
    assert counts.predicted == len(np.unique(prediction[(prediction > 0) & (target >= 0)]))
    assert counts.true == len(np.unique(target[target > 0]))


@given(instance_pairs())
def test_the_aggregated_jaccard_index_agrees_with_the_paper(pair):
    counts = object_counts(*pair)
    ties = [(t, i / u) for _, t, i, u in naive.pairs(*pair)]
    if len(set(ties)) == len(ties):  # of two equally good objects either may be taken
        assert (counts.shared, counts.joined) == naive.aggregated_jaccard(*pair)


@given(instance_pairs())
def test_scores_stay_in_their_ranges_and_do_not_depend_on_numbers(pair):
    prediction, target = pair
    found = scores(prediction, target)
    for value in (*found.ap, found.mean_ap, found.f1, found.panoptic_quality, found.aggregated_jaccard):
        assert np.isnan(value) or 0 <= value <= 1
    assert all(a >= b for a, b in zip(found.ap, found.ap[1:], strict=False) if not np.isnan(a))
    other = scores(np.where(prediction > 0, 50 - prediction, 0), np.where(target > 0, 7 * target, target))
    np.testing.assert_equal((other.ap, other.f1), (found.ap, found.f1))  # nan equals nan


@given(instance_pairs())
def test_true_objects_as_prediction_are_perfect(pair):
    target = pair[1]
    found = scores(np.maximum(target, 0), target)
    if (target > 0).any():
        assert found.ap == (1,) * 10
        assert (found.panoptic_quality, found.aggregated_jaccard, found.count_error) == (1, 1, 0)


@given(instance_pairs())
def test_scores_agree_with_those_made_of_the_table_of_overlaps_of_scikit_image(pair):
    prediction, target = pair[0], np.maximum(pair[1], 0)
    table = contingency_table(prediction, target).toarray()
    shared = table[1:, 1:]
    true, found = (np.delete(table.sum(axis=axis), 0) for axis in (0, 1))
    true, found, shared = true[true > 0], found[found > 0], shared[found > 0][:, true > 0]
    iou = shared / (found[:, np.newaxis] + true - shared)
    ours = scores(prediction, target)
    for threshold, ap in zip(THRESHOLDS, ours.ap, strict=True):
        rows, columns = linear_sum_assignment(-(iou >= threshold - 1e-9).astype(int))
        tp = int((iou[rows, columns] >= threshold - 1e-9).sum())
        assert np.isnan(ap) if not len(true) + len(found) else ap == tp / (len(true) + len(found) - tp)
    if len(true) + len(found):
        matched = linear_sum_assignment(-np.where(iou >= 0.5, iou, 0))
        quality = np.where(iou >= 0.5, iou, 0)[matched].sum() / ((len(true) + len(found)) / 2)
        assert ours.panoptic_quality == pytest.approx(quality)
        assert ours.f1 == pytest.approx((iou[matched] >= 0.5).sum() / ((len(true) + len(found)) / 2))
    assert ours.count_error == abs(len(true) - len(found))


@given(st.lists(instance_pairs(), min_size=1, max_size=4))
def test_counts_of_images_add_up(pairs):
    counts = [object_counts(*pair) for pair in pairs]
    total = sum(counts[1:], start=counts[0])
    assert total.matched.tolist() == np.sum([one.matched for one in counts], axis=0).tolist()
    assert total.images == len(pairs)
    found = object_scores(total)
    assert found.count_error == np.mean([abs(one.predicted - one.true) for one in counts])


def test_what_takes_no_part_is_cut_off():
    assert object_counts(np.array([1, 1, 2]), np.array([4, -1, -1])).matched.tolist() == [1] * 10
    assert object_counts(np.array([1, 1, 2]), np.array([4, -1, -1])).predicted == 1


def test_without_objects_there_is_no_score():
    found = scores([[0, 0]], [[0, 0]])
    assert np.isnan([found.f1, found.mean_ap, *found.ap, found.panoptic_quality, found.aggregated_jaccard]).all()
    assert found.count_error == 0


def test_other_sizes_are_refused():
    message = "`prediction` must have the shape of `target`, (2,), got (3,)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        object_counts(np.zeros(3, int), np.zeros(2, int))


@given(instance_pairs())
def test_aligned_objects_have_one_id_where_they_match_and_the_counts_stay(pair):
    prediction, target = pair
    found, truth = aligned(prediction, target)
    before, after = object_counts(prediction, target), object_counts(found, truth)
    assert (after.matched.tolist(), after.shared, after.joined) == (
        before.matched.tolist(),
        before.shared,
        before.joined,
    )
    assert len(np.intersect1d(found[found > 0], truth[truth > 0])) == before.matched[0]
    np.testing.assert_array_equal(found > 0, prediction > 0)
    np.testing.assert_array_equal(np.sign(truth), np.sign(target))
    assert np.unique(truth[truth > 0]).tolist() == list(range(1, before.true + 1))
