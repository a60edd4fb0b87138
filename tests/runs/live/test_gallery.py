"""The images of a live training."""

import numpy as np
import pytest

from tinyunet.data.normalise import Normalisation, normalise
from tinyunet.runs.live.canvas import Canvas
from tinyunet.runs.live.gallery import Gallery, Picture


def picture(name, *, reads, side=8):
    image = np.random.default_rng(ord(name)).integers(0, 255, (side, side, 1), np.uint8)

    def read():
        reads.append(name)
        return image

    return Picture(name, read, Canvas((side, side))), image


def test_windows_are_parts_of_the_whole_normalised_image():
    gallery = Gallery(max_bytes=2**20)
    one, image = picture("a", reads=[])
    gallery.add(one)
    whole = gallery.prepared("a")
    assert np.array_equal(whole, normalise(image, Normalisation("image")))
    rows, columns = np.array([1, 0, 5]), np.array([7, 7])
    assert np.array_equal(gallery.window("a", rows, columns), whole[np.ix_(rows, columns)])


def test_images_used_last_are_kept_within_the_bound():
    reads = []
    gallery = Gallery(max_bytes=2 * 64)
    for name in "abc":
        gallery.add(picture(name, reads=reads)[0])
    for name in ("a", "b", "a", "c", "a", "b"):
        gallery.prepared(name)
    assert reads == ["a", "b", "c", "b"]
    assert [one.name for one in gallery.pictures] == ["a", "b", "c"]


def test_an_image_that_is_removed_is_forgotten():
    gallery = Gallery(max_bytes=2**20)
    gallery.add(picture("a", reads=[])[0])
    gallery.prepared("a")
    gallery.remove("a")
    gallery.remove("a")  # twice does no harm
    assert "a" not in gallery
    assert len(gallery) == 0
    with pytest.raises(KeyError):
        gallery.prepared("a")
