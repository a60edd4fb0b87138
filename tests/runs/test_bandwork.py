"""What is kept of probabilities, and which bands go together; whole images are predicted in test_stream.py."""

import dataclasses
import pickle

import numpy as np
import pytest
from reference import tiny

from tinyunet.objects.rows import OUTSIDE
from tinyunet.prediction.bands import Band
from tinyunet.runs.bandwork import _part, computed_by, kept_dtype, reduce_scores, without_gaps
from tinyunet.runs.run import load


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("bandwork")
    return load(tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=1))


def band(number):
    return Band(number=number, start=8 * number, stop=8 * number + 8, first=number, last=number)


def test_classes_are_kept_in_one_byte(run):
    scores = np.array([[[0.25, 0.75], [0.5, 0.5]]], np.float32)
    kept = reduce_scores(run, scores)
    assert kept.dtype == kept_dtype(run) == np.uint8
    np.testing.assert_array_equal(kept, [[1, 0]])


def test_of_objects_the_probability_of_the_core_is_kept(run):
    labelling = dataclasses.replace(run.labelling, task="instances")
    data = dataclasses.replace(run.config.data, labelling=labelling)
    objects = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))
    scores = np.array([[[0.9, 0.05, 0.05], [0.1, 0.7, 0.2]]], np.float32)
    kept = reduce_scores(objects, scores)
    assert kept.dtype == kept_dtype(objects) == np.float32
    assert kept[0, 0] == OUTSIDE
    assert kept[0, 1] in scores[0, 1]


def test_bands_without_a_gap_go_together():
    groups = without_gaps([band(number) for number in (0, 1, 2, 5, 7, 8)])
    assert [[one.number for one in group] for group in groups] == [[0, 1, 2], [5], [7, 8]]
    assert list(without_gaps([])) == []


def test_progress_of_some_bands_is_a_part_of_all():
    calls = []
    told = _part(lambda *call: calls.append(call), 2, 10, 4)
    told(1, 12)
    told(12, 12)
    assert calls == [(7, 30), (18, 30)]


def test_what_computes_is_named(run, monkeypatch):
    monkeypatch.setattr("tinyunet.runs.bandwork.instruction_set", lambda: "avx2")
    assert computed_by(run)[2:4] == ["cpu", "kernels for avx2"]
    monkeypatch.setattr("tinyunet.runs.bandwork.instruction_set", lambda: None)
    assert computed_by(run)[2:4] == ["cpu", "no kernels"]


def test_bands_can_be_sent():
    assert pickle.loads(pickle.dumps(band(3))) == band(3)
