import inspect

import numpy as np
import pytest

from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import difference, overlay, tints
from tinyunet.evaluation.panel import PANEL_GAP, PANEL_TILES, panel, view
from tinyunet.evaluation.planes import PLANE_GAP, centre_of, planes, side_by_side

COLORS = ["#000000", "#e69f00", "#0072b2"]


def test_a_class_too_dark_to_be_seen_is_tinted_orange():
    assert tints(["#000000", "#101030", "#0072b2"]) == ("#000000", "#e69f00", "#0072b2")
    image, labels = np.zeros((3, 3, 1), np.uint8), np.zeros((3, 3), np.int32)
    shown = panel(image, labels, labels, ["#000000", "#56b4e9"], background=1)
    assert shown[0, 3 + PANEL_GAP].tolist() == [169, 140, 77]  # 0.4 of orange over mid-grey


def test_panel_puts_four_tiles_side_by_side_with_white_gaps():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(5, 7, 1)).astype(np.float32)
    prediction, target = rng.integers(0, 3, (5, 7)), rng.integers(-1, 3, (5, 7))
    shown = panel(image, prediction, target, COLORS)
    assert len(PANEL_TILES) == 4
    assert shown.shape == (5, 4 * 7 + 3 * PANEL_GAP, 3)
    display = to_display(image)
    tiles = [shown[:, start : start + 7] for start in range(0, shown.shape[1], 7 + PANEL_GAP)]
    assert np.array_equal(tiles[0], display)
    assert np.array_equal(tiles[1], overlay(display, target, COLORS))
    assert np.array_equal(tiles[2], overlay(display, prediction, COLORS))
    assert np.array_equal(tiles[3], difference(display, prediction, target))
    assert (shown[:, 7 : 7 + PANEL_GAP] == 255).all()


@pytest.mark.parametrize("size", [(16, 16), (17, 9), (1, 33), (8, 8)])
def test_panel_shrinks_large_images_by_a_whole_factor(size):
    labels = np.zeros(size, np.int32)
    shown = panel(np.zeros((*size, 1), np.uint8), labels, labels, COLORS, longest_side=8)
    factor = -(-max(size) // 8)
    h, w = -(-size[0] // factor), -(-size[1] // factor)
    assert shown.shape == (h, 4 * w + 3 * PANEL_GAP, 3)
    assert max(h, w) <= 8
    assert (shown[:, :w] == 128).all()


def test_panel_of_one_pixel_where_everything_is_ignored():
    shown = panel(np.zeros((1, 1, 1)), np.array([[0]]), np.array([[-1]]), COLORS)
    assert shown.shape == (1, 4 + 3 * PANEL_GAP, 3)


def test_panel_refuses_tiles_without_a_side():
    with pytest.raises(ValueError, match=r"`longest_side` must be at least 1, got 0\."):
        panel(np.zeros((1, 1, 1)), np.zeros((1, 1), int), np.zeros((1, 1), int), COLORS, longest_side=0)


def random_volume(size=(6, 7, 8), seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(*size, 1)), rng.integers(0, 3, size), rng.integers(-1, 3, size)


@pytest.mark.parametrize("upward", [False, True])
def test_a_volume_is_shown_as_three_slices_in_each_tile(upward):
    image, prediction, target = random_volume()
    options = {"spacing": (2, 1, 1), "upward": upward}
    shown = panel(image, prediction, target, COLORS, **options)
    centre = centre_of(np.where(target == 0, prediction, target))
    slices = [planes(values, centre, **options) for values in (to_display(image), prediction, target)]
    tiles = [
        side_by_side(slices[0]),
        side_by_side([overlay(picture, true, COLORS) for picture, _, true in zip(*slices, strict=True)]),
        side_by_side([overlay(picture, predicted, COLORS) for picture, predicted, _ in zip(*slices, strict=True)]),
        side_by_side([difference(*each) for each in zip(*slices, strict=True)]),
    ]
    assert np.array_equal(shown, side_by_side(tiles, fill=255, gap=PANEL_GAP))
    assert tiles[0].shape[1] >= 400


@pytest.mark.parametrize(("size", "longest_side"), [((10, 200, 300), 100), ((90, 30, 20), 64), ((9, 9, 9), 1)])
def test_a_large_volume_is_shrunk_by_a_whole_factor(size, longest_side):
    image, prediction, target = random_volume(size)
    shown = panel(image, prediction, target, COLORS, longest_side=longest_side)
    width = (shown.shape[1] - 3 * PANEL_GAP) // 4
    assert shown.shape[1] == 4 * width + 3 * PANEL_GAP
    assert shown.shape[0] <= longest_side
    assert width <= max(2 * longest_side, 3) + 2 + 2 * PLANE_GAP  # each slice may be rounded up


def test_a_view_of_an_image_is_its_overlay_and_of_a_volume_that_of_its_slices():
    image, labels, _ = random_volume()
    flat = view(image[0], labels[0], ["#000000", "#101010", "#0072b2"], background=2)
    assert np.array_equal(
        flat, overlay(to_display(image[0]), labels[0], ["#e69f00", "#e69f00", "#0072b2"], background=2)
    )
    pairs = zip(*(planes(values, centre_of(labels)) for values in (to_display(image), labels)), strict=True)
    assert np.array_equal(view(image, labels, COLORS), side_by_side([overlay(*pair, COLORS) for pair in pairs]))


def test_labels_of_another_size_are_refused():
    image, labels = np.zeros((2, 3, 4, 1)), np.zeros((2, 3, 3), int)
    # Unwrapped, since in tests the annotations find this first.
    with pytest.raises(ValueError, match=r"^`labels` must be of the image's size \(2, 3, 4\), got \(2, 3, 3\)\.$"):
        inspect.unwrap(view)(image, labels, COLORS)
    with pytest.raises(ValueError, match=r"^`prediction` must be of the image's size \(2, 3, 4\), got \(2, 3, 3\)\.$"):
        inspect.unwrap(panel)(image, labels, labels, COLORS)
