import inspect
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab
from skimage.segmentation import find_boundaries

from tinyunet.evaluation.overlay import (
    DIFFERENCE_COLORS,
    DifferenceColors,
    difference,
    outline,
    overlay,
)

COLORS = ["#000000", "#e69f00", "#0072b2"]

# Machado, Oliveira and Fernandes (2009), A physiologically-based model for simulation of color vision deficiency,
# table 1 at severity 1.0; they act on linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@st.composite
def label_pairs(draw, *, lowest_target=-1):
    h, w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    prediction = rng.integers(0, 3, (h, w)).astype(np.int32)
    target = rng.integers(lowest_target, 3, (h, w)).astype(np.int32)
    return rng.integers(0, 256, (h, w, 3)).astype(np.uint8), prediction, target


def test_outline_of_a_square_is_its_rim_and_the_pixels_around_it():
    labels = np.zeros((5, 5), int)
    labels[1:4, 1:4] = 2
    expected = [
        [0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 0],
    ]
    assert outline(labels).astype(int).tolist() == expected


@given(label_pairs())
def test_outline_agrees_with_scikit_image(pair):
    _, _, target = pair
    assert np.array_equal(outline(target), find_boundaries(target + 1, connectivity=1, mode="thick"))


def test_outline_of_a_volume_marks_both_sides_along_every_axis():
    labels = np.zeros((3, 1, 2), int)
    labels[2] = 1
    assert outline(labels)[:, 0, 0].tolist() == [False, True, True]


def test_overlay_tints_the_inside_and_draws_the_rim_in_full():
    image = np.full((4, 4, 3), 100, np.uint8)
    labels = np.zeros((4, 4), np.int32)
    labels[:, 1:] = 1
    shown = overlay(image, labels, COLORS, opacity=0.5)
    assert shown[0].tolist() == [[100, 100, 100], [230, 159, 0], [165, 130, 50], [165, 130, 50]]


def test_overlay_greys_what_takes_no_part():
    shown = overlay(np.zeros((1, 2, 3), np.uint8), np.array([[-1, 0]]), COLORS, opacity=0.5)
    assert shown[0].tolist() == [[110, 110, 110], [0, 0, 0]]


@given(label_pairs())
def test_overlay_leaves_the_background_and_its_arguments_as_they_are(pair):
    image, labels, _ = pair
    before = image.copy(), labels.copy()
    shown = overlay(image, labels, COLORS, background=2)
    assert np.array_equal(shown[labels == 2], image[labels == 2])
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


def test_overlay_with_no_opacity_shows_only_the_rims():
    image = np.full((3, 9, 3), 7, np.uint8)
    labels = np.repeat([[0, 1, 2]], 3, axis=1).repeat(3, axis=0)
    shown = overlay(image, labels, COLORS, opacity=0.0)
    changed = (shown != image).any(axis=2)
    assert np.array_equal(changed, outline(labels) & (labels != 0))


def test_difference_paints_each_kind_in_its_colour():
    black = np.zeros((1, 6, 3), np.uint8)
    prediction = np.array([[0, 1, 1, 1, 1, 0]])
    target = np.array([[1, 0, 1, 2, -1, 0]])
    shown = difference(black, prediction, target)[0].tolist()
    assert shown == [
        [184, 46, 15],  # 0.9 of missed
        [126, 111, 230],  # 0.9 of invented
        [0, 79, 58],  # 0.5 of right
        [230, 158, 0],  # 0.9 of confused
        [155, 155, 155],  # 0.7 of ignored
        [0, 0, 0],
    ]


def test_difference_can_be_about_the_first_class():
    black = np.zeros((1, 2, 3), np.uint8)
    shown = difference(black, np.array([[1, 0]]), np.array([[0, 0]]), background=1)[0].tolist()
    assert shown == [[184, 46, 15], [0, 79, 58]]


@given(label_pairs(lowest_target=0))
def test_difference_with_prediction_and_target_exchanged_exchanges_missed_and_invented(pair):
    image, prediction, target = pair
    one, other = difference(image, prediction, target), difference(image, target, prediction)
    same = (prediction == target) | ((prediction > 0) & (target > 0))
    assert np.array_equal(one[same], other[same])
    assert (one[~same] != other[~same]).any(axis=-1).all()


@given(label_pairs())
def test_pictures_turn_with_the_image(pair):
    image, prediction, target = pair
    turned = [np.rot90(part) for part in pair]
    assert np.array_equal(difference(*turned), np.rot90(difference(image, prediction, target)))
    assert np.array_equal(overlay(turned[0], turned[1], COLORS), np.rot90(overlay(image, prediction, COLORS)))


@pytest.mark.parametrize("deficiency", [None, *DEFICIENCIES])
def test_the_difference_colours_stay_apart_for_the_colour_blind(deficiency):
    colors = np.array([list(bytes.fromhex(color[1:])) for color in DIFFERENCE_COLORS]) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    if deficiency is not None:
        linear = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    seen = rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))
    # A difference of 2.3 is just noticeable (CIE 1976).
    nearest = min((np.linalg.norm(seen[i] - seen[j]), i, j) for i, j in combinations(range(len(seen)), 2))
    assert nearest[0] > 30, [DifferenceColors._fields[i] for i in nearest[1:]]


def test_overlay_refuses_a_label_without_a_colour():
    with pytest.raises(ValueError, match=r"`labels` must be in \[-1, 2\], one colour for each class, got 3\."):
        overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0, 3]]), COLORS)
    with pytest.raises(ValueError, match=r"`labels` must be in \[-1, 2\], one colour for each class, got -2\."):
        overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0, -2]]), COLORS)


@pytest.mark.parametrize("color", ["red", "#12345", "#1234567", "", "#gggggg"])
def test_overlay_refuses_what_is_no_colour(color):
    with pytest.raises(ValueError, match=f"A colour must look like '#e69f00', got '{color}'"):
        overlay(np.zeros((1, 1, 3), np.uint8), np.array([[0]]), [color])


def test_overlay_refuses_an_opacity_beyond_one():
    with pytest.raises(ValueError, match=r"`opacity` must be in \[0, 1\], got 1\.5\."):
        overlay(np.zeros((1, 1, 3), np.uint8), np.array([[0]]), COLORS, opacity=1.5)


def test_sizes_that_differ_are_refused():
    # Unwrapped, since in tests the annotations find this first.
    image, small = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 2), np.int32)
    with pytest.raises(ValueError, match=r"`labels` must be of the image's size \(2, 3\), got \(2, 2\)\."):
        inspect.unwrap(overlay)(image, small, COLORS)
    with pytest.raises(ValueError, match=r"`target` must be of the image's size \(2, 3\), got \(2, 2\)\."):
        inspect.unwrap(difference)(image, np.zeros((2, 3), np.int32), small)
