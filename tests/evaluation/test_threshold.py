import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import scores as reference

from tinyunet.evaluation.threshold import EDGES, best_f1, f1_score, probability_histogram, roc_auc


@st.composite
def probabilities_and_targets(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=8))
    probability = draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    return probability, draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, 1)))


def same(one, other):
    return np.array_equal(one.inside, other.inside) and np.array_equal(one.outside, other.outside)


def histogram(probability, target, positive=1):
    return probability_histogram(np.array(probability), np.array(target), positive=positive)


def network_output(seed, *, sharpness):
    """Probabilities of 3000 pixels as a network gives them, a tenth of them positive."""
    rng = np.random.default_rng(seed)
    target = (rng.random(3000) < 0.1).astype(np.int32)
    logits = sharpness * (rng.normal(size=3000) + 2 * target - 1)
    return (1 / (1 + np.exp(-logits))).astype(np.float32), target


def test_five_pixels_by_hand():
    counts = histogram([0.9, 0.5, 0.3, 0.7, 0.1], [1, 1, 1, 0, 0])
    assert roc_auc(counts) == pytest.approx(4 / 6)  # of six pairs, 0.5 and 0.3 against 0.7 are the wrong way round
    assert f1_score(counts) == pytest.approx(2 * 2 / (3 + 3))
    assert f1_score(counts, threshold=0.3) == pytest.approx(2 * 3 / (4 + 3))
    assert best_f1(counts) == pytest.approx((6 / 7, 0.3))


def test_equal_probabilities_are_chance():
    assert roc_auc(histogram([0.3, 0.3, 0.3], [1, 0, 0])) == 0.5


@given(probabilities_and_targets(), st.integers(1, 999))
def test_f1_agrees_with_the_definition_at_every_thousandth(images, thousandths):
    probability, target = images
    taking_part = target != -1
    expected = reference.f1_score(probability[taking_part], target[taking_part] == 1, thousandths / 1000)
    counts = probability_histogram(probability, target, positive=1)
    np.testing.assert_allclose(f1_score(counts, threshold=thousandths / 1000), expected)


@given(probabilities_and_targets())
def test_best_f1_is_the_best_of_all_edges(images):
    probability, target = images
    taking_part = target != -1
    is_positive = target[taking_part] == 1
    score, threshold = best_f1(probability_histogram(probability, target, positive=1))
    if not is_positive.any():
        assert np.isnan(score)
        assert np.isnan(threshold)
        return
    every = [reference.f1_score(probability[taking_part], is_positive, edge) for edge in EDGES]
    assert score == pytest.approx(max(every))
    assert score == pytest.approx(reference.f1_score(probability[taking_part], is_positive, threshold))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sharpness", [0.3, 1, 3, 10])
def test_auc_agrees_with_the_rank_statistic_however_confident_the_network(seed, sharpness):
    probability, target = network_output(seed, sharpness=sharpness)
    exact = reference.roc_auc(probability, target == 1)
    assert roc_auc(probability_histogram(probability, target, positive=1)) == pytest.approx(exact, abs=1e-3)


@given(probabilities_and_targets())
def test_auc_is_off_by_at_most_half_the_pairs_that_share_a_bin(images):
    probability, target = images
    taking_part = target != -1
    counts = probability_histogram(probability, target, positive=1)
    exact = reference.roc_auc(probability[taking_part], target[taking_part] == 1)
    if np.isnan(exact):
        assert np.isnan(roc_auc(counts))
        return
    sharing = np.sum(counts.inside * counts.outside) / (counts.inside.sum() * counts.outside.sum())
    assert abs(roc_auc(counts) - exact) <= sharing / 2 + 1e-12


@given(probabilities_and_targets())
def test_the_other_class_has_the_same_auc(images):
    probability, target = images
    probability = np.round(probability.astype(float) * 100) / 100 * 0.98 + 0.0105  # in the middle of a bin
    positive = probability_histogram(probability, target, positive=1)
    negative = probability_histogram(1 - probability, target, positive=0)
    np.testing.assert_allclose(roc_auc(positive), roc_auc(negative), atol=1e-12)


@given(probabilities_and_targets(), st.integers(1, 4))
def test_histograms_of_the_pieces_add_up_to_that_of_the_whole(images, pieces):
    parts = zip(*(np.array_split(image, pieces) for image in images), strict=True)
    first, *rest = [probability_histogram(*part, positive=1) for part in parts]
    for part in rest:
        first = first + part
    assert same(first, probability_histogram(*images, positive=1))


@given(probabilities_and_targets())
def test_flips_change_nothing(images):
    flipped = probability_histogram(*(np.flip(image, 0) for image in images), positive=1)
    assert same(flipped, probability_histogram(*images, positive=1))


def test_the_edges_are_increasing_and_hold_every_thousandth():
    assert np.all(np.diff(EDGES) > 0)
    assert EDGES[0] > 0
    assert EDGES[-1] < 1
    assert set((np.arange(1, 1000) / 1000).tolist()) <= set(EDGES.tolist())


def test_every_probability_has_its_bin():
    values = [0.0, 1e-30, EDGES[0], EDGES[-1], 1.0]
    assert np.flatnonzero(histogram(values, [1] * 5).inside).tolist() == [0, 1, EDGES.size]


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    assert same(histogram([0.2, np.nan], [1, -1]), histogram([0.2, 7.0], [1, -1]))


def test_of_equal_thresholds_the_one_nearest_to_half_is_best():
    assert best_f1(histogram([0.9, 0.1], [1, 0])) == (1, 0.5)
    assert best_f1(histogram([0.4, 0.1], [1, 0])) == (1, 0.4)


def test_a_missing_class_has_no_scores():
    nothing = histogram([0.2, 0.8], [-1, -1])
    only_negative = histogram([0.2, 0.8], [0, 0])
    only_positive = histogram([0.2, 0.8], [1, 1])
    assert np.isnan([roc_auc(nothing), roc_auc(only_negative), roc_auc(only_positive)]).all()
    assert np.isnan([*best_f1(nothing), *best_f1(only_negative)]).all()
    assert np.isnan(f1_score(nothing))
    assert f1_score(only_negative) == 0
    assert np.isnan(f1_score(only_negative, threshold=0.9))
    assert f1_score(only_positive) == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_probability_of_a_half_is_positive_in_every_type(dtype):
    counts = probability_histogram(np.array([0.5], dtype), np.array([1]), positive=1)
    assert f1_score(counts) == 1


def test_inputs_are_unchanged():
    probability, target = np.array([0.3, 0.9]), np.array([0, 1])
    probability.flags.writeable = target.flags.writeable = False
    probability_histogram(probability, target, positive=1)


def test_other_shape_is_an_error():
    with pytest.raises(ValueError, match=r"^`probability` must have the shape of `target`, \(3,\), got \(2,\)\.$"):
        histogram([0.1, 0.2], [0, 1, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 3.2])
def test_value_that_is_no_probability_is_an_error(value):
    with pytest.raises(ValueError, match=rf"^`probability` must be in \[0, 1\], got {value} \(1 of 2 values\)\.$"):
        histogram([0.1, value], [0, 1])


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 0.5001])
def test_threshold_between_the_bins_is_an_error(threshold):
    expected = rf"^`threshold` must be a whole number of thousandths in \(0, 1\), got {threshold}\.$"
    with pytest.raises(ValueError, match=expected):
        f1_score(histogram([0.1, 0.2], [0, 1]), threshold=threshold)
