"""Where a step of a live training looks."""

from collections import Counter

import numpy as np

from tinyunet.data.batches import BatchConfig
from tinyunet.data.labelling import IGNORE
from tinyunet.runs.live.canvas import Canvas
from tinyunet.runs.live.gallery import Gallery, Picture
from tinyunet.runs.live.patches import NEWS, Patches

CONFIG = BatchConfig(patch=(16,), margin=(2,), batch=4)


def gallery_of(**canvases):
    gallery = Gallery(max_bytes=2**20)
    for name, canvas in canvases.items():
        values = np.arange(canvas.shape[0] * canvas.shape[1], dtype=np.float32).reshape(*canvas.shape, 1)
        gallery.add(Picture(name, lambda values=values: values, canvas, learns=name != "test"))
    return gallery


def dot(canvas, row, column, k, *, now=0.0):
    canvas.merge((row, column), np.full((1, 1), k, np.uint8), now=now)
    return canvas


def test_nothing_is_drawn_without_paint():
    assert Patches(gallery_of(a=Canvas((32, 32))), CONFIG, seed=0)(0, classes=2) is None


def test_each_patch_holds_its_paint_and_depends_on_the_step_alone():
    canvas = dot(dot(Canvas((100, 70)), 90, 3, 0), 5, 66, 1)
    patches = Patches(gallery_of(a=canvas), CONFIG, seed=3)
    batch = patches(7, classes=2)
    assert batch["images"].shape == (4, 20, 20, 1)
    assert batch["labels"].shape == (4, 20, 20)
    inner = batch["labels"][:, 2:-2, 2:-2]
    assert (np.sum(inner != IGNORE, axis=(1, 2)) >= 1).all()
    again = patches(7, classes=2)
    assert all(np.array_equal(batch[key], again[key]) for key in batch)
    assert not np.array_equal(batch["images"], patches(8, classes=2)["images"])


def test_classes_and_images_are_drawn_alike_however_much_is_painted():
    much = Canvas((64, 64), np.zeros((64, 64), np.uint8))
    patches = Patches(gallery_of(a=dot(much, 32, 32, 1), b=dot(Canvas((64, 64)), 9, 9, 0)), CONFIG, seed=0)
    ones = drawn = 0
    for step in range(100):
        labels = patches(step, classes=2)["labels"]
        drawn += len(labels)
        ones += int(np.sum(np.any(labels == IGNORE, axis=(1, 2))))  # of b, whose rest is unpainted
    assert 0.15 < ones / drawn < 0.35  # half of class 0, which is half of all


def test_new_paint_is_drawn_more_often():
    canvas = dot(dot(Canvas((128, 128)), 4, 4, 0, now=0), 120, 120, 0, now=1000)
    patches = Patches(gallery_of(a=canvas), CONFIG, seed=0)
    seen = Counter()
    for step in range(1000, 1060):
        images = patches(step, classes=1)["images"]
        seen.update(bool(image.mean() > 0) for image in images)
    share = seen[True] / sum(seen.values())
    assert abs(share - (1 + NEWS) / (2 + NEWS)) < 0.15


def test_images_smaller_than_a_patch_are_mirrored_and_unknown_classes_ignored():
    canvas = dot(dot(Canvas((9, 5)), 4, 2, 0), 0, 0, 5)
    batch = Patches(gallery_of(a=canvas), CONFIG, seed=0)(0, classes=2)
    assert set(np.unique(batch["labels"])) == {IGNORE, 0}


def test_paint_that_is_kept_for_a_test_is_not_learnt_from():
    assert Patches(gallery_of(test=dot(Canvas((32, 32)), 1, 1, 0)), CONFIG, seed=0)(0, classes=2) is None
