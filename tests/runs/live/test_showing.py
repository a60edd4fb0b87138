"""What a live training shows, and in which order."""

import io

import numpy as np
import pytest
from PIL import Image

from tinyunet.runs.config import config_from_dict
from tinyunet.runs.live.canvas import UNPAINTED, Canvas
from tinyunet.runs.live.gallery import Gallery, Picture
from tinyunet.runs.live.network import Network
from tinyunet.runs.live.showing import Showing

CONFIG = config_from_dict(
    {"model": {"features": 2, "depth": 1}, "batches": {"patch": [16], "margin": [2], "batch": 2}}, where="a test"
)
LARGE = (520, 1100)


@pytest.fixture(scope="module")
def network():
    return Network(CONFIG, channels=1, classes=2)


def gallery_of(**shapes):
    gallery = Gallery(max_bytes=2**24)
    for seed, (name, shape) in enumerate(shapes.items()):
        pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 1), dtype=np.uint8)
        gallery.add(Picture(name, lambda pixels=pixels: pixels, Canvas(shape)))
    return gallery


def opened(file):
    return np.asarray(Image.open(io.BytesIO(file)))


def test_a_large_image_comes_out_as_in_one_piece(network):
    showing = Showing(gallery_of(a=LARGE))
    showing.predict(network, "a", 3)
    whole = network.predict(showing.gallery.prepared("a"))
    shown = showing["a"]
    assert shown.version == 3
    assert np.array_equal(opened(shown.labels), whole.labels)
    assert np.array_equal(opened(shown.doubt), whole.doubt)
    assert shown.mean_doubt == pytest.approx(whole.doubt.mean() / 255)


def test_what_is_seen_comes_first_and_the_rest_later(network):
    showing = Showing(gallery_of(a=LARGE))
    showing.focus, showing.view = "a", (slice(450, 520), slice(900, 1100))
    showing.predict(network, "a", 1, seconds=0.0)
    part = opened(showing["a"].labels)
    assert (part[514:, 1030:] != UNPAINTED).all()
    assert (part[:400, :400] == UNPAINTED).all()
    assert (showing["a"].version, showing["a"].number) == (0, 1)
    assert showing.stale(1) == "a"
    showing.predict(network, "a", 1)
    assert (opened(showing["a"].labels) != UNPAINTED).all()
    assert showing["a"].version == 1
    assert showing.stale(1) is None


def test_new_weights_begin_with_what_the_oldest_have_predicted(network):
    showing = Showing(gallery_of(a=LARGE))
    showing.predict(network, "a", 1)
    for _ in range(len(network.grid(LARGE)) - 1):
        showing.predict(network, "a", 2, seconds=0.0)
        assert showing["a"].version == 1
    showing.predict(network, "a", 2, seconds=0.0)
    assert showing["a"].version == 2


def test_it_stops_when_asked_and_keeps_what_was_there(network):
    showing = Showing(gallery_of(a=LARGE))
    showing.predict(network, "a", 1)
    before = opened(showing["a"].labels)
    asked = []
    showing.predict(network, "a", 2, stop=lambda: asked.append(1) or len(asked) == 2)
    assert len(asked) == 2
    assert np.array_equal(opened(showing["a"].labels), before)  # by the same weights


def test_the_image_that_is_looked_at_is_predicted_first_then_the_oldest(network):
    showing = Showing(gallery_of(a=(20, 20), b=(20, 20), c=(20, 20)))
    showing.predict(network, "a", 2)
    showing.predict(network, "b", 1)
    assert showing.stale(3) == "c"
    showing.focus = "a"
    assert showing.stale(3) == "a"
    showing.forget("b")
    assert showing.get("b") is None


def test_only_paint_that_has_been_predicted_counts(network):
    gallery = gallery_of(a=LARGE)
    showing = Showing(gallery)
    assert showing.agreement() is None
    stroke = np.full((2, 1100), 1, np.uint8)
    gallery["a"].canvas.merge((0, 0), stroke)
    showing.focus, showing.view = "a", (slice(0, 10), slice(0, 10))
    showing.predict(network, "a", 1, seconds=0.0)
    first = showing["a"].painted
    assert 0 < first < stroke.size
    showing.predict(network, "a", 1)
    assert showing["a"].painted == stroke.size
    assert showing.agreement() == showing["a"].agreeing / stroke.size


def test_an_image_that_is_gone_is_left(network):
    told = []
    showing = Showing(gallery_of(a=(20, 20)), on_shown=lambda: told.append(1))
    showing.predict(network, "b", 1)
    assert told == []
    showing.predict(network, "a", 1)
    assert told == [1]
