import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import scores as reference

from tinyunet.evaluation.boundary import THRESHOLDS
from tinyunet.evaluation.scores import Evaluator, Instances
from tinyunet.evaluation.temperature import scale_probabilities

CLASSES = ("background", "cell")


def probabilities_of(labels, *, k=2, confidence=0.9):
    """Each pixel's class has `confidence`, and the others share the rest."""
    others = (1 - confidence) / (k - 1)
    return (np.eye(k)[labels] * (confidence - others) + others).astype(np.float32)


def random_image(seed, *, k=2, shape=(12, 13)):
    """Probabilities that are right more often than not, and the truth with some ignored pixels."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, k, shape)
    logits = 2 * rng.normal(size=(*shape, k)) + 2 * np.eye(k)[target]
    odds = np.exp(logits)
    return (odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32), np.where(rng.random(shape) < 0.1, -1, target)


def evaluate(images, classes=CLASSES, *, boundary=None, temperature=1.0):
    evaluator = Evaluator(classes, boundary=boundary, temperature=temperature)
    for number, image in enumerate(images):
        evaluator.add(str(number), *image)
    return evaluator.result()


def test_two_images_by_hand():
    first = probabilities_of(np.array([[0, 1, 1]])), np.array([[0, 1, 0]])
    second = probabilities_of(np.array([[0]])), np.array([[0]])
    found = evaluate([first, second])
    assert [image.name for image in found.images] == ["0", "1"]
    assert [image.pixels for image in found.images] == [3, 1]
    assert found.images[0].dice == pytest.approx((2 / 3, 2 / 3))
    assert found.images[1].dice == pytest.approx((1, np.nan), nan_ok=True)
    assert found.pooled.dice == pytest.approx((4 / 5, 2 / 3))
    assert found.pooled.accuracy == 3 / 4
    assert found.pooled.mean_dice == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert found.per_image_mean.dice == pytest.approx((5 / 6, 2 / 3))  # the cell's mean is over one image
    assert found.per_image_mean.absent == (0, 1)
    assert found.per_image_mean.accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.per_image_mean.mean_dice == pytest.approx((2 / 3 + 1) / 2)
    assert found.positive == "cell"
    assert found.threshold.auc == pytest.approx((2 + 1 / 2 * 1) / 3)
    assert found.threshold.f1_at_half == pytest.approx(2 / 3)
    assert found.boundary is None
    assert found.baseline is None


@pytest.mark.parametrize(("seed", "shape"), [(0, (5, 30)), (1, (2, 7, 9)), (2, (40,))])
def test_pooled_scores_agree_with_the_definitions(seed, shape):
    images = [random_image(2 * seed), random_image(2 * seed + 1, shape=shape)]
    found = evaluate(images)
    labels = np.concatenate([probabilities.argmax(axis=-1).ravel() for probabilities, _ in images])
    cell = np.concatenate([probabilities[..., 1].ravel() for probabilities, _ in images])
    target = np.concatenate([target.ravel() for _, target in images])
    taking_part = target != -1
    truth = cell[taking_part], target[taking_part] == 1
    assert found.pooled.dice == pytest.approx([reference.dice_score(labels, target, k) for k in range(2)])
    assert found.threshold.auc == pytest.approx(reference.roc_auc(*truth), abs=1e-3)
    assert found.threshold.f1_at_half == pytest.approx(reference.f1_score(*truth, 0.5))
    assert found.threshold.best_f1 == pytest.approx(reference.f1_score(*truth, found.threshold.best_threshold))
    assert found.threshold.best_f1 >= found.threshold.f1_at_half


def test_boundary_scores_agree_with_the_definition_at_every_threshold():
    images = [random_image(0), random_image(1), random_image(2, shape=(3, 4, 8))]
    found = evaluate(images, ("membrane", "cell"), boundary="membrane").boundary
    for scores, threshold in zip(found.curve, THRESHOLDS, strict=True):
        f = [
            reference.adapted_rand(
                reference.regions((probabilities[..., 0] < threshold) & (target != -1)), reference.regions(target == 1)
            )[0]
            for probabilities, target in images
        ]
        assert scores.threshold == threshold
        assert scores.rand_f == pytest.approx(np.mean(f))
    assert found.name == "membrane"
    assert found.at_half.threshold == 0.5
    assert found.best.rand_f == max(scores.rand_f for scores in found.curve)


def test_objects_of_a_volume_touch_across_its_slices():
    objects = np.zeros((3, 4, 5), np.int32)
    objects[:2, 1, 1], objects[:, 3, 3] = 1, 2  # in the slices alone there are five pieces
    evaluator = Evaluator(CLASSES)
    target = np.minimum(objects, 1)
    evaluator.add("a", probabilities_of(target), target, target, instances=Instances(objects, objects))
    found = evaluator.result().objects
    assert [scores.predicted for scores in (found.found, found.plain, found.baseline)] == [2, 2, 2]
    assert [scores.mean_ap for scores in (found.found, found.plain, found.baseline)] == [1, 1, 1]


def test_images_are_scored_at_the_common_threshold():
    images = [random_image(seed) for seed in range(3)]
    hesitant = [
        (probabilities * [0.3, 1] + probabilities[..., :1] * [0, 0.7], target) for probabilities, target in images
    ]
    found = evaluate(hesitant, ("membrane", "cell"), boundary="membrane")
    assert found.boundary.best.threshold < 0.3
    assert {image.best.threshold for image in found.images} == {found.boundary.best.threshold}
    assert {image.at_half.threshold for image in found.images} == {0.5}
    assert np.mean([image.best.rand_f for image in found.images]) == pytest.approx(found.boundary.best.rand_f)


def test_the_positive_class_is_the_boundary_or_else_the_second():
    assert Evaluator(("membrane", "cell"), boundary="membrane").positive == "membrane"
    assert Evaluator(("cell", "membrane"), boundary="membrane").positive == "membrane"
    assert Evaluator(("background", "cell")).positive == "cell"
    assert Evaluator(("a", "b", "c"), boundary="b").positive is None
    assert Evaluator(("a",)).positive is None


def test_three_classes_have_overlap_and_boundary_but_no_threshold():
    found = evaluate([random_image(0, k=3)], ("a", "b", "c"), boundary="c")
    assert found.threshold is None
    assert found.boundary.name == "c"
    assert len(found.pooled.dice) == 3


@pytest.mark.parametrize("k", [2, 3])
def test_scaling_changes_calibration_and_no_label(k):
    classes = ("a", "b", "c")[:k]
    images = [random_image(seed, k=k) for seed in range(2)]
    plain, scaled = (evaluate(images, classes, temperature=temperature) for temperature in (1.0, 3.0))
    by_hand = evaluate([(scale_probabilities(p, 3.0), target) for p, target in images], classes)
    assert (scaled.pooled, scaled.images) == (plain.pooled, plain.images)
    assert plain.calibration.before == plain.calibration.after == scaled.calibration.before
    assert scaled.calibration.after == by_hand.calibration.after != scaled.calibration.before
    assert scaled.threshold == by_hand.threshold
    assert (plain.calibration.temperature, scaled.calibration.temperature) == (1, 3)


def test_a_class_that_is_only_predicted_is_not_absent():
    found = evaluate([(probabilities_of(np.array([[0, 1]])), np.array([[0, 0]]))])
    assert found.images[0].dice[1] == 0
    assert np.isnan(found.images[0].recall[1])
    assert found.per_image_mean.absent == (0, 0)


def test_baseline_is_scored_like_a_prediction():
    images = [random_image(seed) for seed in range(2)]
    evaluator = Evaluator(CLASSES)
    for number, (probabilities, target) in enumerate(images):
        evaluator.add(str(number), probabilities, target, probabilities.argmax(axis=-1))
    found = evaluator.result()
    assert found.baseline.method == "Otsu's threshold"
    assert found.baseline.pooled == found.pooled
    assert found.baseline.per_image_mean == found.per_image_mean


@given(st.integers(0, 100), st.permutations(range(3)))
def test_renaming_the_classes_renames_the_scores(seed, order):
    probabilities, target = random_image(seed, k=3)
    renamed = probabilities[..., order], np.array([*np.argsort(order), -1])[target]  # the last entry is what -1 finds
    scores = evaluate([(probabilities, target)], ("a", "b", "c"), boundary="a")
    names = tuple("abc"[k] for k in order)
    scores_renamed = evaluate([renamed], names, boundary="a")
    assert scores_renamed.classes == names
    assert scores_renamed.pooled.dice == tuple(scores.pooled.dice[k] for k in order)
    assert scores_renamed.boundary == scores.boundary


@given(st.integers(0, 100), st.integers(0, 1))
def test_flips_change_nothing(seed, axis):
    image = random_image(seed)
    flipped = [np.flip(array, axis) for array in image]
    scores, scores_flipped = (evaluate([one], boundary="cell") for one in (image, flipped))
    assert scores_flipped.pooled == scores.pooled
    assert scores_flipped.threshold == scores.threshold
    assert scores_flipped.boundary.best.rand_f == pytest.approx(scores.boundary.best.rand_f)


@given(st.integers(0, 100), st.integers(1, 11))
def test_an_image_cut_in_two_has_the_same_pooled_scores(seed, row):
    image = random_image(seed)
    whole = evaluate([image])
    cut = evaluate([[array[:row] for array in image], [array[row:] for array in image]])
    assert cut.pooled == whole.pooled
    assert cut.threshold == whole.threshold


@given(st.permutations(range(3)))
def test_order_of_the_images_does_not_matter(order):
    images = [random_image(seed) for seed in range(3)]
    first, second = evaluate(images), evaluate([images[index] for index in order])
    assert second.pooled == first.pooled
    assert second.threshold == first.threshold
    assert second.per_image_mean.dice == pytest.approx(first.per_image_mean.dice)


def test_what_is_predicted_on_ignored_pixels_does_not_matter():
    probabilities, target = random_image(0)
    changed = np.where((target == -1)[..., None], np.float32(np.nan), probabilities)
    assert evaluate([(changed, target)], boundary="cell") == evaluate([(probabilities, target)], boundary="cell")


def test_inputs_are_unchanged():
    probabilities, target = random_image(0)
    probabilities.flags.writeable = target.flags.writeable = False
    evaluate([(probabilities, target)], boundary="cell")


def test_more_images_may_come_after_a_result():
    evaluator = Evaluator(CLASSES)
    evaluator.add("a", *random_image(0))
    assert len(evaluator.result().images) == 1
    evaluator.add("b", *random_image(1))
    assert len(evaluator.result().images) == 2


def test_an_image_without_any_true_pixel_counts_nowhere():
    ignored = random_image(0)[0], np.full((12, 13), -1)
    found = evaluate([ignored, random_image(1)], boundary="cell")
    alone = evaluate([random_image(1)], boundary="cell")
    assert found.images[0].pixels == 0
    assert np.isnan([*found.images[0].dice, found.images[0].mean_dice, found.images[0].best.rand_f]).all()
    assert found.pooled == alone.pooled
    assert found.per_image_mean.dice == alone.per_image_mean.dice
    assert found.per_image_mean.absent == (1, 1)
    assert found.boundary == alone.boundary


def test_everything_ignored_has_no_scores():
    found = evaluate([(random_image(0)[0], np.full((12, 13), -1))], boundary="cell")
    assert np.isnan([*found.pooled.dice, found.pooled.accuracy, found.per_image_mean.mean_dice]).all()
    assert np.isnan([found.threshold.auc, found.threshold.best_f1, found.boundary.best.rand_f]).all()


def test_one_pixel_of_one_class():
    found = evaluate([(np.ones((1, 1, 1)), np.zeros((1, 1), int))], ("all",))
    assert found.pooled.dice == (1,)
    assert found.threshold is None


def test_three_dimensions():
    found = evaluate([random_image(0, shape=(4, 5, 6))], boundary="cell")
    assert found.images[0].pixels > 0
    assert 0 <= found.boundary.best.rand_f <= 1


@pytest.mark.parametrize("classes", [(), ("a", "a")])
def test_classes_must_be_different_names(classes):
    with pytest.raises(ValueError, match=r"^`classes` must be one or more different names, got \("):
        Evaluator(classes)


def test_unknown_boundary_is_an_error_that_lists_the_classes():
    expected = (
        r"^`boundary` must be one of the classes, got 'membrene'\. Did you mean 'membrane'\? Known: cell, membrane\.$"
    )
    with pytest.raises(ValueError, match=expected):
        Evaluator(("membrane", "cell"), boundary="membrene")


def test_a_name_twice_is_an_error():
    evaluator = Evaluator(CLASSES)
    evaluator.add("a", *random_image(0))
    with pytest.raises(ValueError, match=r"^`name` must be new, but 'a' was added before\.$"):
        evaluator.add("a", *random_image(1))


@pytest.mark.parametrize("shape", [(12, 13), (12, 13, 3), (13, 12, 2), (12, 13, 1)])
def test_probabilities_of_another_shape_are_an_error(shape):
    _, target = random_image(0)
    with pytest.raises(ValueError, match=r"^`probabilities` must have .* 2 classes, \(12, 13, 2\), got \(1"):
        Evaluator(CLASSES).add("a", np.full(shape, 0.5), target)


def test_logits_are_an_error():
    _, target = random_image(0)
    with pytest.raises(ValueError, match=r"^`probabilities` must be in \[0, 1\], got -3\.0 \("):
        Evaluator(CLASSES).add("a", np.full((12, 13, 2), -3.0), target)


def test_probabilities_that_do_not_sum_up_to_one_are_an_error():
    _, target = random_image(0)
    with pytest.raises(
        ValueError, match=r"^`probabilities` must sum up to 1 over the classes, got a pixel with 1\.6 \("
    ):
        Evaluator(CLASSES).add("a", np.full((12, 13, 2), 0.8), target)


def test_a_label_of_no_class_is_an_error():
    probabilities, target = random_image(0)
    with pytest.raises(ValueError, match=r"^`target` must hold class ids in \[0, 2\), .* got 254 \("):
        Evaluator(CLASSES).add("a", probabilities, np.abs(target) * 254)


@pytest.mark.parametrize(("first", "then"), [(True, "one"), (False, "none")])
def test_a_baseline_for_some_images_only_is_an_error(first, then):
    (one, target), (other, other_target) = random_image(0), random_image(1)
    evaluator = Evaluator(CLASSES)
    evaluator.add("a", one, target, np.abs(target) if first else None)
    expected = rf"^`baseline_labels` must be .* none: the images before have {then}, not so 'b'\.$"
    with pytest.raises(ValueError, match=expected):
        evaluator.add("b", other, other_target, None if first else np.abs(other_target))


def test_a_baseline_that_does_not_fit_is_an_error_that_names_it():
    probabilities, target = random_image(0)
    with pytest.raises(ValueError, match=r"^`baseline_labels` must hold class ids in \[0, 2\), .* got 7 \("):
        Evaluator(CLASSES).add("a", probabilities, target, np.full((12, 13), 7))
    with pytest.raises(
        ValueError, match=r"^`baseline_labels` must have the shape of `target`, \(12, 13\), got \(6, 13\)"
    ):
        Evaluator(CLASSES).add("a", probabilities, target, np.zeros((6, 13), int))


def test_an_image_with_an_error_counts_nowhere():
    probabilities, target = random_image(0)
    evaluator = Evaluator(CLASSES, boundary="cell")
    with pytest.raises(ValueError, match="baseline_labels"):
        evaluator.add("a", probabilities, target, np.full((12, 13), 7))
    with pytest.raises(ValueError, match="needs at least one image"):
        evaluator.result()
    evaluator.add("0", probabilities, target)
    assert evaluator.result() == evaluate([(probabilities, target)], boundary="cell")


def test_a_result_without_images_is_an_error():
    with pytest.raises(ValueError, match=r"^An evaluation needs at least one image: call `add` before `result`\.$"):
        Evaluator(CLASSES).result()
