"""Painting, whatever happens to the process, the disk, and other tabs."""

import errno
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.painted import add_pictures, dots, open_studio, stroke
from reference.tiny import pixels

from tinyunet.errors import DataError
from tinyunet.runs.live.canvas import UNCHANGED, UNPAINTED
from tinyunet.web.studio.studio import first_channels


@pytest.fixture
def studio(tmp_path):
    opened = open_studio(tmp_path / "cells")
    yield opened
    opened.close()


def killed(studio, tmp_path):
    """The folder as a kill leaves it: a copy of what is on disk, without the last words of a studio that ends."""
    copy = tmp_path / "killed"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(studio.folder.root, copy)
    return copy


def paint_of(folder, stem):
    """What another studio finds painted."""
    opened = open_studio(folder)
    entry = next(entry for entry in opened.folder.entries if entry.stem == stem)
    paint, revision = opened.canvas(entry).snapshot()
    opened.close()
    return paint, revision


def test_two_tabs_paint_the_same_image_and_neither_loses_anything(studio):
    (entry, _), *_ = add_pictures(studio, 1)
    assert studio.paint(entry, stroke([[1, 1, UNCHANGED]])) == 1
    assert studio.paint(entry, stroke([[0, UNCHANGED], [UNPAINTED, 0]], (0, 1))) == 2
    assert studio.canvas(entry).labels[:2, :3].tolist() == [[1, 0, UNPAINTED], [UNPAINTED, UNPAINTED, 0]]


def test_a_stroke_that_comes_twice_is_painted_once(studio):
    (entry, _), *_ = add_pictures(studio, 1)
    assert studio.paint(entry, stroke([1], identity="x")) == 1
    studio.paint(entry, stroke([0]))
    assert studio.paint(entry, stroke([1], identity="x")) == 1
    assert studio.canvas(entry).labels[0, 0] == 0


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.booleans())
def test_what_was_answered_is_there_after_a_kill(tmp_path_factory, seed, written):
    rng, place = np.random.default_rng(seed), tmp_path_factory.mktemp("kill")
    studio = open_studio(place / "cells")
    entries = [entry for entry, _ in add_pictures(studio, 2)]
    for number in range(6):
        entry = entries[rng.integers(2)]
        size = rng.integers(1, 20, 2)
        corner = tuple(int(rng.integers(0, 48 - side + 1)) for side in size)
        studio.paint(entry, stroke(rng.choice([0, 1, UNCHANGED, UNPAINTED], size), corner, f"s{number}"))
        if written and number == 3:
            studio.write_masks()
            studio._begin_journal()
    expected = [studio.canvas(entry).snapshot() for entry in entries]
    copy = killed(studio, place)
    for entry, (labels, revision) in zip(entries, expected, strict=True):
        found = paint_of(copy, entry.stem)
        assert np.array_equal(found[0], labels)
        assert found[1] == revision
    studio.close()


def test_strokes_are_known_again_after_a_restart(tmp_path):
    studio = open_studio(tmp_path)
    (entry, _), *_ = add_pictures(studio, 1)
    studio.paint(entry, stroke([1], identity="x"))
    studio.close()
    again = open_studio(tmp_path)
    entry = again.folder.entries[0]
    assert again.paint(entry, stroke([0], identity="x")) == 1
    assert again.canvas(entry).labels[0, 0] == 1
    assert again.paint(entry, stroke([0], identity="y")) == 2
    again.close()


def test_a_full_disk_refuses_the_stroke_and_loses_nothing(studio, tmp_path, monkeypatch):
    (entry, truth), *_ = add_pictures(studio, 1)
    studio.paint(entry, stroke(dots(truth, 1)))
    before = studio.canvas(entry).snapshot()

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"No space left on device. Free some space"):
            studio.paint(entry, stroke([0]))
    after = studio.canvas(entry).snapshot()
    assert np.array_equal(after[0], before[0])
    assert after[1] == before[1]
    assert np.array_equal(paint_of(killed(studio, tmp_path), entry.stem)[0], before[0])
    assert studio.paint(entry, stroke([0])) == before[1] + 1


def test_masks_and_split_follow_the_paint(studio):
    (one, truth), (other, _) = add_pictures(studio, 2)
    studio.paint(one, stroke(dots(truth, 1)))
    studio.write_masks()
    assert np.array_equal(pixels(one.mask), studio.canvas(one).labels)
    assert not other.mask.exists()
    split = studio.folder.root / "split.csv"
    assert split.read_text() == "name,split\nimage-0001,train\nimage-0002,unlabelled\n"


def test_an_image_goes_and_comes_back_with_its_paint_and_revision(studio):
    (entry, truth), *_ = add_pictures(studio, 1)
    studio.paint(entry, stroke(dots(truth, 1)))
    before = studio.canvas(entry).labels
    studio.remove(entry)
    assert studio.folder.entries == []
    assert studio.restore(entry.id) == entry
    assert np.array_equal(studio.canvas(entry).labels, before)
    assert studio.paint(entry, stroke([0])) == 2
    assert studio.restore(entry.id) is None


def test_images_must_have_the_channels_of_the_first(studio):
    add_pictures(studio, 1)
    colours = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    with pytest.raises(DataError, match="It has 3 channels where 1 are wanted: convert it to grey"):
        studio.add(colours, "colours")
    grey = np.repeat(colours[..., :1], 3, axis=-1)
    opaque = np.concatenate([grey, np.full((9, 9, 1), 255, np.uint8)], axis=-1)
    assert np.array_equal(studio.pixels(studio.add(opaque, "grey in fact")), colours[..., :1])


def test_grey_images_join_coloured_ones(tmp_path):
    studio = open_studio(tmp_path)
    studio.add(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8), "colours")
    entry = studio.add(np.full((4, 4, 1), 7, np.uint8), "grey")
    assert studio.pixels(entry).shape == (4, 4, 3)
    studio.close()


def test_channels_that_say_nothing_are_dropped():
    image = np.full((2, 2, 4), 255, np.uint8)
    assert first_channels(image).shape == (2, 2, 1)
    image[0, 0] = 1, 2, 3, 255
    assert first_channels(image).shape == (2, 2, 3)
    image[0, 0, 3] = 0
    assert first_channels(image).shape == (2, 2, 4)
