from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from reference import scores as reference
from skimage.measure import label
from skimage.metrics import adapted_rand_error, variation_of_information

from tinyunet.evaluation.boundary import (
    HALF,
    THRESHOLDS,
    RegionScores,
    best_common_threshold,
    cell_regions,
    mean_region_scores,
    region_scores,
)

NAN = float("nan")


@st.composite
def probabilities_and_targets(draw):
    """Class 0 is the boundary, 1 and 2 are two kinds of cell."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=5))
    probability = draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    return probability, draw(hnp.arrays(np.int32, shape, elements=st.integers(-1, 2)))


def scores(probability, target, thresholds=(0.5,)):
    return np.array([astuple(one) for one in region_scores(probability, target, boundary=0, thresholds=thresholds)])


def at(threshold, rand_f, **others):
    return replace(RegionScores(threshold, rand_f, rand_f, rand_f, 0.0, 0.0), **others)


def test_a_gap_in_the_membrane_merges_two_cells():
    target = np.array([[1, 1, 0, 1, 1]])
    probability = np.array([[0.1, 0.1, 0.3, 0.1, 0.1]])
    merged, parted = region_scores(probability, target, boundary=0, thresholds=[0.5, 0.3])
    assert astuple(merged) == pytest.approx((0.5, 2 * 2 / (6 + 2), 2 / 6, 1, 0, 1))
    assert astuple(parted) == (0.3, 1, 1, 1, 0, 0)  # 0.3 is boundary at a threshold of 0.3
    assert merged.voi == 1


def test_thresholds_are_the_twentieths():
    np.testing.assert_allclose(THRESHOLDS, np.arange(0.05, 0.96, 0.05))
    assert THRESHOLDS[HALF] == 0.5


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)))
def test_regions_agree_with_a_flood_fill(interior):
    np.testing.assert_array_equal(cell_regions(interior), reference.regions(interior))


def test_regions_touch_at_faces_in_three_dimensions():
    interior = np.zeros((2, 2, 2), bool)
    interior[0, 0, 0] = interior[1, 0, 0] = interior[0, 1, 1] = True
    assert cell_regions(interior).max() == 2


@given(probabilities_and_targets(), st.sampled_from(THRESHOLDS))
def test_scores_agree_with_the_definition(images, threshold):
    probability, target = images
    true_regions = reference.regions((target != 0) & (target != -1))
    regions = reference.regions((probability < threshold) & (target != -1))
    expected = (
        *reference.adapted_rand(regions, true_regions),
        *reference.variation_of_information(regions, true_regions),
    )
    np.testing.assert_allclose(scores(probability, target, [threshold])[0, 1:], expected, atol=1e-12)


def test_scores_agree_with_scikit_image_at_every_threshold():
    rng = np.random.default_rng(0)
    target = (rng.random((40, 40)) < 0.7).astype(np.int32)
    probability = np.clip(1 - target + rng.normal(scale=0.3, size=target.shape), 0, 1)
    true_regions = label(target == 1, connectivity=1)
    for threshold, ours in zip(THRESHOLDS, region_scores(probability, target, boundary=0), strict=True):
        regions = label(probability < threshold, connectivity=1)
        error, *_ = adapted_rand_error(true_regions, regions, ignore_labels=(0,))
        information = variation_of_information(true_regions, regions, ignore_labels=(0,))
        assert ours.threshold == threshold
        np.testing.assert_allclose([ours.rand_f, ours.voi_split, ours.voi_merge], [1 - error, *information], atol=1e-12)


@given(probabilities_and_targets())
def test_which_class_a_cell_has_does_not_matter(images):
    probability, target = images
    exchanged = np.array([0, 2, 1, -1])[target]  # the last entry is what -1 finds
    merged = np.minimum(target, 1)
    np.testing.assert_array_equal(scores(probability, exchanged), scores(probability, target))
    np.testing.assert_array_equal(scores(probability, merged), scores(probability, target))


@given(probabilities_and_targets(), st.integers(0, 1))
def test_flips_change_nothing(images, axis):
    flipped = [np.flip(image, axis) for image in images]
    np.testing.assert_allclose(scores(*flipped), scores(*images), atol=1e-12)


@given(probabilities_and_targets(), st.floats(0, 1, width=32))
def test_what_is_predicted_on_ignored_pixels_does_not_matter(images, other):
    probability, target = images
    changed = np.where(target == -1, np.float32(other), probability)
    np.testing.assert_array_equal(scores(changed, target), scores(probability, target))


def test_inputs_are_unchanged():
    probability, target = np.array([[0.3, 0.9]]), np.array([[1, -1]])
    probability.flags.writeable = target.flags.writeable = False
    region_scores(probability, target, boundary=0)


@pytest.mark.parametrize("label", [0, -1])
def test_no_true_region_has_no_scores(label):
    assert np.isnan(scores(np.full((3, 3), 0.2), np.full((3, 3), label))[0, 1:]).all()


def test_one_pixel_has_no_pairs():
    assert scores(np.array([[0.2]]), np.array([[1]]))[0].tolist() == pytest.approx(
        [0.5, NAN, NAN, NAN, 0, 0], nan_ok=True
    )


def test_everything_predicted_as_boundary_is_one_region():
    target = np.array([[1, 1, 0, 1, 1]])
    (ours,) = region_scores(np.ones((1, 5)), target, boundary=0, thresholds=[0.5])
    assert (ours.rand_recall, ours.voi_merge) == (1, 1)


def test_mean_is_taken_at_each_threshold_and_skips_images_without_a_score():
    means = mean_region_scores([[at(0.1, 1.0), at(0.2, NAN)], [at(0.1, 0.5, voi_split=1.0), at(0.2, NAN)]])
    assert means[0] == at(0.1, 0.75, voi_split=0.5)
    assert np.isnan(means[1].rand_f)
    assert means[1].threshold == 0.2
    assert mean_region_scores([[at(0.1, 1.0)], [at(0.1, NAN)]]) == (at(0.1, 1.0),)


def test_best_common_threshold_is_that_of_the_best_mean_and_not_of_the_best_image():
    images = [[at(0.1, 1.0), at(0.2, 0.8)], [at(0.1, 0.2), at(0.2, 0.6)]]
    assert best_common_threshold(mean_region_scores(images)) == 1


def test_among_equal_thresholds_the_one_nearest_to_half_is_best():
    assert best_common_threshold([at(0.2, 0.7), at(0.4, 0.7), at(0.8, 0.7), at(0.5, 0.6)]) == 1
    assert best_common_threshold([at(0.2, NAN), at(0.4, NAN), at(0.8, NAN)]) == 1
    assert best_common_threshold([at(0.5, NAN), at(0.9, 0.0)]) == 1


def test_other_shape_is_an_error():
    with pytest.raises(ValueError, match=r"^`probability` must have the shape of `target`, \(3, 2\), got \(2, 3\)\.$"):
        region_scores(np.zeros((2, 3)), np.zeros((3, 2), int), boundary=0)


def test_mean_of_no_images_is_an_error():
    with pytest.raises(ValueError, match=r"^`images` must hold the scores of at least one image, got none\.$"):
        mean_region_scores([])
