"""Images as a browser shows them."""

import io

import numpy as np
from PIL import Image

from tinyunet.web.studio.pictures import THUMBNAIL, Shelf, as_rgb, png_of, thumbnail_of


def test_bytes_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_of(image)))), image)


def test_other_values_are_spread_over_what_a_screen_shows():
    ramp = np.linspace(100, 4000, 1001).astype(np.uint16).reshape(1, -1, 1)
    shown = as_rgb(ramp)
    assert (shown[0, 0, 0], shown[0, -1, 0]) == (0, 255)
    assert (np.diff(shown[0, :, 0].astype(int)) >= 0).all()
    assert as_rgb(np.full((2, 2, 1), 3.5, np.float32)).max() == 0


def test_any_number_of_channels_becomes_three():
    for channels in (1, 2, 3, 5):
        assert as_rgb(np.ones((2, 3, channels), np.uint8)).shape == (2, 3, 3)


def test_thumbnails_keep_their_proportions():
    assert Image.open(io.BytesIO(thumbnail_of(np.zeros((2000, 1000, 1), np.uint8)))).size == (THUMBNAIL // 2, THUMBNAIL)
    assert Image.open(io.BytesIO(thumbnail_of(np.zeros((1, 4000, 1), np.uint8)))).size == (THUMBNAIL, 1)


def test_a_shelf_keeps_what_was_used_last():
    shelf, made = Shelf(10), []

    def make(name):
        return lambda: made.append(name) or bytes(5)

    for name in "abacab":
        shelf.get(name, make(name))
    assert made == ["a", "b", "c", "b"]
    assert Shelf(1).get("a", lambda: b"large") == b"large"
