"""Strokes from outside."""

import io

import numpy as np
import pytest
from PIL import Image

from tinyunet.web.studio.strokes import labels_png, read_labels, read_stroke
from tinyunet.web.uploads import UploadError


def read(content, box=(0, 0, 2, 1), **options):
    return read_stroke(content, box=box, image=(4, 5), classes=2, **options)


def encoded(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array, **options).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_stroke_is_a_box_of_classes():
    stroke = read(labels_png(np.array([[1, 254]], np.uint8)), (3, 2, 2, 1), identity="a-1")
    assert (stroke.corner, stroke.pixels.tolist(), stroke.identity) == ((2, 3), [[1, 254]], "a-1")


@pytest.mark.parametrize("box", [(-1, 0, 2, 1), (4, 0, 2, 1), (0, 4, 2, 1), (0, 0, 0, 1), (0, 0, 2, 2**40)])
def test_a_box_beyond_the_image_is_refused_before_anything_is_read(box):
    with pytest.raises(UploadError, match="must lie inside the image of 5 × 4 pixels") as refusal:
        read(b"", box)
    assert refusal.value.status == 422


def test_what_is_no_stroke_is_refused():
    good = labels_png(np.zeros((1, 2), np.uint8))
    for content, words in [
        (b"", "is empty"),
        (b"GIF89a", "no PNG that can be read"),
        (good[:40], "no PNG that can be read"),
        (labels_png(np.zeros((2, 2), np.uint8)), "must be 2 × 1 pixels as its box says, got 2 × 2"),
        (encoded(np.zeros((1, 2, 3), np.uint8)), "8 bits of grey"),
        (encoded(np.zeros((1, 2), np.uint16)), "8 bits of grey"),
        (labels_png(np.array([[0, 2]], np.uint8)), "holds 2, which is no class: there are 0 to 1"),
    ]:
        with pytest.raises(UploadError, match=words) as refusal:
            read(content)
        assert 400 <= refusal.value.status < 500


@pytest.mark.parametrize("identity", ["", "a" * 65, "../a", "ä"])
def test_names_of_strokes_are_plain(identity):
    with pytest.raises(UploadError, match="1 to 64 letters"):
        read(labels_png(np.zeros((1, 2), np.uint8)), identity=identity)


def test_a_bomb_is_not_decoded():
    bomb = encoded(np.zeros((3000, 3000), np.uint8))
    with pytest.raises(UploadError, match="must be 1 × 1 pixels"):
        read_labels(bomb, shape=(1, 1))
