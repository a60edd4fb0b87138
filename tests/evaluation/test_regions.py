import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import scores as reference
from skimage import metrics

from tinyunet.evaluation.regions import RegionOverlap, adapted_rand, region_overlap, variation_of_information


@st.composite
def partitions(draw, lowest_target=0):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=5))
    prediction = draw(hnp.arrays(np.int32, shape, elements=st.integers(0, 4)))
    return prediction, draw(hnp.arrays(np.int32, shape, elements=st.integers(lowest_target, 4)))


def scores(prediction, target):
    overlap = region_overlap(prediction, target)
    return (*adapted_rand(overlap), *variation_of_information(overlap))


def test_one_region_split_in_two_by_hand():
    f, precision, recall, split, merge = scores(np.array([1, 1, 2, 2]), np.array([7, 7, 7, 7]))
    assert precision == 1  # both pairs that are joined belong together
    assert recall == pytest.approx(2 / 6)  # of six pairs
    assert f == pytest.approx(2 * 2 / (2 + 6))
    assert (split, merge) == (1, 0)  # one bit says which half


def test_two_regions_merged_by_hand():
    f, precision, recall, split, merge = scores(np.array([7, 7, 7, 7]), np.array([1, 1, 2, 2]))
    assert precision == pytest.approx(2 / 6)
    assert recall == 1
    assert f == pytest.approx(1 / 2)
    assert (split, merge) == (0, 1)


def test_predicted_boundary_inside_a_region_is_a_region():
    assert scores(np.array([1, 1, 0, 0]), np.array([1, 1, 1, 1])) == scores(
        np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1])
    )


@given(partitions())
def test_scores_agree_with_the_definition_over_pairs_and_pixels(images):
    expected = (*reference.adapted_rand(*images), *reference.variation_of_information(*images))
    np.testing.assert_allclose(scores(*images), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_scikit_image(seed):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 6, (30, 30))
    prediction = np.where(rng.random((30, 30)) < 0.7, target, rng.integers(0, 9, (30, 30)))
    # scikit-image returns precision and recall in the other order than it says (its issue 6485).
    error, recall, precision = metrics.adapted_rand_error(target, prediction, ignore_labels=(0,))
    split, merge = metrics.variation_of_information(target, prediction, ignore_labels=(0,))
    np.testing.assert_allclose(scores(prediction, target), [1 - error, precision, recall, split, merge], atol=1e-12)


@given(partitions(), st.permutations(range(5)), st.permutations(range(1, 5)))
def test_numbering_does_not_matter(images, new_predicted, new_true):
    prediction, target = images
    renumbered = np.array(new_predicted)[prediction], np.array([0, *new_true])[target]
    np.testing.assert_allclose(scores(*renumbered), scores(*images), atol=1e-12)


@given(partitions(), st.integers(0, 1))
def test_flips_change_nothing(images, axis):
    flipped = [np.flip(image, axis % image.ndim) for image in images]
    np.testing.assert_allclose(scores(*flipped), scores(*images), atol=1e-12)


@given(partitions(lowest_target=1))
def test_splits_and_merges_trade_places_with_prediction_and_truth(images):
    prediction, target = images
    f, precision, recall, split, merge = scores(prediction + 1, target)
    np.testing.assert_allclose(scores(target, prediction + 1), [f, recall, precision, merge, split], atol=1e-12)


@given(partitions())
def test_scores_are_in_range_or_nan(images):
    f, precision, recall, split, merge = scores(*images)
    assert all(np.isnan(score) or 0 <= score <= 1 for score in (f, precision, recall))
    assert all(np.isnan(score) or score >= 0 for score in (split, merge))


@given(partitions())
def test_the_truth_itself_is_perfect(images):
    _, target = images
    assert all(score == 1 or np.isnan(score) for score in scores(target, target)[:3])
    assert all(score == 0 or np.isnan(score) for score in scores(target, target)[3:])


@given(partitions(), st.integers(0, 4))
def test_what_is_predicted_on_the_true_boundary_does_not_matter(images, label):
    prediction, target = images
    changed = np.where(target == 0, label, prediction)
    np.testing.assert_array_equal(scores(changed, target), scores(prediction, target))


def test_ids_of_a_small_type_do_not_overflow():
    prediction, target = np.array([0, 1, 2], np.uint8), np.array([250, 250, 255], np.uint8)
    assert region_overlap(prediction, target).joint.tolist() == [1, 1, 1]
    assert variation_of_information(region_overlap(prediction, target)) == pytest.approx((2 / 3, 0))


def test_rounding_never_makes_an_entropy_negative():
    sizes = np.random.default_rng(0).integers(1, 1000, (50, 20))
    for one in sizes:  # the same regions, counted in another order
        split, merge = variation_of_information(RegionOverlap(joint=one, prediction=one[::-1], target=np.sort(one)))
        assert split >= 0
        assert merge >= 0
        assert split + merge < 1e-12


def test_large_regions_do_not_overflow():
    sizes = np.array([3_000_000_000])
    assert adapted_rand(RegionOverlap(joint=sizes, prediction=sizes, target=sizes)) == (1, 1, 1)


def test_no_true_region_has_no_scores():
    assert np.isnan(scores(np.array([1, 2]), np.array([0, 0]))).all()


def test_one_pixel_has_no_pairs_but_no_entropy_either():
    *rand, split, merge = scores(np.array([[1]]), np.array([[1]]))
    assert np.isnan(rand).all()
    assert (split, merge) == (0, 0)


def test_other_shape_is_an_error():
    with pytest.raises(ValueError, match=r"^`prediction` must have the shape of `target`, \(3,\), got \(2,\)\.$"):
        region_overlap(np.array([1, 1]), np.array([1, 1, 1]))
