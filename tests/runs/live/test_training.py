"""Training beside the painter, with a network so small that it learns in seconds."""

import dataclasses
import io
import json
import time

import numpy as np
import pytest
from PIL import Image
from reference.tiny import picture, write_pairs

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.errors import ConfigError
from tinyunet.runs.config import Config, config_from_dict
from tinyunet.runs.live.canvas import UNCHANGED, Canvas
from tinyunet.runs.live.gallery import Gallery, Picture
from tinyunet.runs.live.pace import LAST_STEPS
from tinyunet.runs.live.record import Record
from tinyunet.runs.live.training import LiveTraining
from tinyunet.runs.report import write_report
from tinyunet.runs.run import load

TINY = {
    "model": {"features": 4, "depth": 1},
    "batches": {"patch": [32], "margin": [4], "batch": 4},
    "optimiser": {"learning_rate": 0.01, "ema_decay": 0.9},
}
CLASSES = (ClassInfo("background", 0, "#3b6fb6"), ClassInfo("object", 1, "#e69f00"))
LABELLING = Labelling("semantic", CLASSES, ignore=255)
GREY = ChannelRule(drop_alpha=False, collapse_grey=False, used=1)
SIDE = 48


def config(folder, **tables) -> Config:
    return config_from_dict({**TINY, **tables, "data": {"folder": str(folder)}}, where="a test")


def gallery_of(folder, *, count=3):
    """The pictures of a data set, unpainted, with the truth about each."""
    write_pairs(folder, count=count, side=SIDE)
    gallery, truth = Gallery(max_bytes=2**20), {}
    for number in range(count):
        image, mask = picture(number, side=SIDE)
        truth[str(number)] = mask.astype(np.uint8)
        gallery.add(Picture(str(number), lambda image=image: image[..., np.newaxis], Canvas((SIDE, SIDE))))
    return gallery, truth


def training_of(folder, gallery, *, labelling=LABELLING, **tables) -> LiveTraining:
    record = Record(folder / "run", command="a test")
    return LiveTraining(config(folder, **tables), gallery, record, labelling=labelling, channels=GREY)


def scribble(gallery, truth, name, *, classes=(0, 1)):
    """Paints a few pixels of each class, as a careful hand would."""
    for k in classes:
        rows, columns = np.nonzero(truth[name] == k)
        chosen = np.random.default_rng(k).permutation(len(rows))[:40]
        stroke = np.full((SIDE, SIDE), UNCHANGED, np.uint8)
        stroke[rows[chosen], columns[chosen]] = k
        gallery[name].canvas.merge((0, 0), stroke)


def wait(condition, *, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def labels_of(training, name):
    return np.asarray(Image.open(io.BytesIO(training.shown(name).labels)))


def right(training, truth, name) -> float:
    """Share of the pixels that are predicted as they are."""
    if training.shown(name) is None:
        return 0.0
    return float((labels_of(training, name) == truth[name]).mean())


@pytest.fixture
def painted(tmp_path):
    """A training of which one picture of three is painted; ends with the test."""
    gallery, truth = gallery_of(tmp_path)
    scribble(gallery, truth, "0")
    training = training_of(tmp_path, gallery)
    yield training, gallery, truth
    training.close()


def test_a_few_strokes_are_learnt_and_other_images_too(painted, tmp_path):
    training, _, truth = painted
    training.focus("1")
    training.start()
    wait(lambda: right(training, truth, "1") > 0.9 and right(training, truth, "2") > 0.9)
    assert training.status.agreement > 0.9
    assert training.status.state == "training"
    training.close()
    assert np.array_equal(load(tmp_path / "run").predict(picture(1, side=SIDE)[0]), labels_of(training, "1")) or (
        training.shown("1").version < training.status.version
    )
    assert b"<h1>" in write_report(tmp_path / "run").read_bytes()
    events = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]


def test_it_waits_for_two_classes_and_says_so(tmp_path):
    gallery, truth = gallery_of(tmp_path, count=1)
    training = training_of(tmp_path, gallery)
    training.start()
    wait(lambda: training.status.detail == "Paint a few strokes of two classes to begin.")
    scribble(gallery, truth, "0", classes=(1,))
    training.changed()
    wait(lambda: training.status.detail == "Paint something that is not 'object', too.")
    assert training.status.state == "waiting"
    scribble(gallery, truth, "0", classes=(0,))
    training.changed()
    wait(lambda: training.status.version > 0)
    training.close()


def test_a_restart_goes_on(painted, tmp_path):
    training, gallery, truth = painted
    training.start()
    wait(lambda: right(training, truth, "1") > 0.9)
    training.close()
    again = training_of(tmp_path, gallery)
    before = again.status
    assert (before.step, before.version) == (training.status.step, training.status.version)
    assert before.seconds == pytest.approx(training.status.seconds, abs=5)
    again.run(False)
    again.start()
    wait(lambda: again.shown("1") is not None)
    assert again.status.version == before.version + 1
    assert again.status.step == before.step  # nothing was trained
    assert right(again, truth, "1") > 0.85
    again.close()
    with pytest.raises(ConfigError, match=r"run is another one than was asked for; leave the options"):
        training_of(tmp_path, gallery, model={"features": 8, "depth": 1})


def test_a_class_that_comes_later_keeps_what_was_learnt(painted):
    training, gallery, truth = painted
    training.start()
    wait(lambda: right(training, truth, "1") > 0.9)
    step = training.status.step
    more = dataclasses.replace(LABELLING, classes=(*CLASSES, ClassInfo("edge", 2, "#009e73")))
    training.run(False)
    training.changed(labelling=more)
    wait(lambda: training._network is not None and training._network.classes == 3)
    wait(lambda: training.shown("1").version == training.status.version)
    assert training.status.step >= step
    assert right(training, truth, "1") > 0.8  # before the new class has been seen once
    corner = np.full((6, 6), 2, np.uint8)
    gallery["0"].canvas.merge((0, 0), corner, now=training.status.step)
    training.run(True)
    training.changed()
    wait(lambda: (labels_of(training, "0")[:6, :6] == 2).mean() > 0.8)


def test_a_rest_is_said_and_ends_with_new_paint(painted):
    training, gallery, truth = painted
    training._pace._changed = -LAST_STEPS
    training.start()
    wait(lambda: training.status.detail.startswith("Resting"))
    assert training.status.state == "paused"
    assert training.status.step == 0
    scribble(gallery, truth, "1")
    training.changed()
    wait(lambda: training.status.step > 0)


def test_what_cannot_be_read_is_said_and_tried_again(painted):
    training, gallery, _ = painted

    def broken():
        raise ConfigError("a.png is damaged.\nSecond line.")

    good = gallery["0"]
    gallery.add(dataclasses.replace(good, read=broken))
    training.start()
    wait(lambda: training.status.state == "failed")
    assert training.status.detail == "a.png is damaged."
    gallery.add(good)
    training.changed()
    wait(lambda: training.status.version > 0)
