import numpy as np
import pytest

from tinyunet.evaluation.checks import check_distributions, check_fits, check_labels, check_probabilities


def test_what_is_right_passes():
    check_fits("prediction", np.zeros((2, 3)), np.zeros((2, 3), np.int32))
    check_labels("target", np.array([0, 1, 2], np.uint8), num_classes=3)
    check_probabilities("probability", np.array([0.0, 0.5, 1.0], np.float32))
    check_distributions("probabilities", np.array([[0.25, 0.75], [0.0, 1.0]], np.float32))


def test_no_pixels_pass():
    check_labels("target", np.zeros(0, np.int32), num_classes=1)
    check_probabilities("probability", np.zeros(0))
    check_distributions("probabilities", np.zeros((0, 2)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_passes(dtype):
    thirds = np.full((4, 3), 1 / 3).astype(dtype)
    check_distributions("probabilities", thirds)
    check_probabilities("probability", np.array([1.0005, -0.0005]).astype(dtype))


def test_other_shape_is_an_error_with_both_shapes():
    with pytest.raises(ValueError, match=r"^`prediction` must have the shape of `target`, \(3, 2\), got \(2, 3\)\.$"):
        check_fits("prediction", np.zeros((2, 3)), np.zeros((3, 2), np.int32))


@pytest.mark.parametrize("label", [-2, -1, 2, 255])
def test_label_of_no_class_is_an_error_with_the_label_and_how_often(label):
    expected = rf"^`target` must hold class ids in \[0, 2\), or -1 .* ignored, got {label} \(2 of 3 pixels\)\.$"
    with pytest.raises(ValueError, match=expected):
        check_labels("target", np.array([0, label, label]), num_classes=2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.2, -0.2, 1.002])
def test_value_that_is_no_probability_is_an_error(value):
    with pytest.raises(ValueError, match=rf"^`probability` must be in \[0, 1\], got {value} \(1 of 2 values\)\.$"):
        check_probabilities("probability", np.array([0.5, value]))
    with pytest.raises(ValueError, match=r"^`probabilities` must be in \[0, 1\], got "):
        check_distributions("probabilities", np.array([[0.5, value]]))


def test_sum_that_is_not_one_is_an_error_with_the_sum():
    expected = r"^`probabilities` must sum up to 1 over the classes, got a pixel with 0\.9 \(1 of 2 pixels\)\.$"
    with pytest.raises(ValueError, match=expected):
        check_distributions("probabilities", np.array([[0.5, 0.5], [0.5, 0.4]]))
