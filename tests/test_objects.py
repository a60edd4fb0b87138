"""The task `instances` from a folder of numbered objects to a table of measurements."""

import csv
import io
import json
import re

import numpy as np
import pytest
import tifffile
from reference import tiny

from tinyunet.data.folder import open_folder
from tinyunet.objects.decode import decode_objects
from tinyunet.objects.target import object_labels
from tinyunet.runs.build import build_target, network_classes
from tinyunet.runs.evaluate import evaluate
from tinyunet.runs.folder import read_run_config
from tinyunet.runs.prepare import open_store
from tinyunet.runs.run import load

SQUARES = 16
"""Objects in an image: enough to be taken for objects."""


def squares(number):
    """A grid of bright squares that touch in pairs, and their ids, which have gaps."""
    rng = np.random.default_rng(number)
    ids = np.zeros((48, 48), np.uint16)
    for k in range(SQUARES):
        y, x = 12 * (k // 4) + 2, 12 * (k % 4) + 3 - 2 * (k % 2)
        ids[y : y + 8, x : x + 10] = 10 * k + 7
    image = np.clip(rng.normal(60, 10, ids.shape) + 100 * (ids > 0), 0, 255).astype(np.uint8)
    return image, ids


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects") / "cells"
    for number in range(5):
        image, ids = squares(number)
        tiny.save(root / f"images/{number}.png", image)
        tiny.save(root / f"masks/{number}.png", ids)
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return tiny.train_tiny(data, tmp_path_factory.mktemp("objects") / "run", steps=2)


def test_numbered_objects_choose_the_task_by_themselves(run):
    config = read_run_config(run)
    assert config.data.task == "instances"
    assert network_classes(config.data.labelling) == load(run).classes == ("background", "rim", "core")


def test_the_network_learns_rims_and_cores(run, data):
    config = read_run_config(run)
    folder = open_folder(data)
    ids = open_store(config, folder, ("3",))(0)[1]
    np.testing.assert_array_equal(ids, squares(3)[1])
    learnt = open_store(config, folder, ("3",), target=build_target(config))(0)[1]
    np.testing.assert_array_equal(learnt, object_labels(ids.astype(np.int32), config.objects))
    assert set(np.unique(learnt)) == {0, 1, 2}


def test_a_prediction_is_objects_decoded_from_its_probabilities(run):
    trained, image = load(run), squares(9)[0]
    probabilities = trained.probabilities(image)
    assert probabilities.shape == (48, 48, 3)
    np.testing.assert_array_equal(trained.predict(image), decode_objects(probabilities, trained.config.objects))


def test_predict_writes_ids_and_a_table(run, tmp_path, monkeypatch):
    image, ids = squares(9)
    for name in ("a.png", "b.tif"):
        tiny.save(tmp_path / "new" / name, image)
    # What the network finds after two steps is no matter here: it finds the truth.
    monkeypatch.setattr("tinyunet.runs.run.decode_objects", lambda probabilities, config: ids.astype(np.int32))
    options = ["--probabilities", "--overlays"]
    assert tiny.command("predict", run, tmp_path / "new", "--out", tmp_path / "out", *options) == 0
    expected = {f"{name}{end}" for name in "ab" for end in (".npy", ".csv", "_overlay.png")} | {"a.png", "b.tif"}
    expected.add("prediction.json")
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    for name in ("a.png", "b.tif"):
        found = tiny.pixels(tmp_path / "out" / name)
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, ids)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "a.csv").read_text())))
    assert [int(row["id"]) for row in rows] == np.unique(ids[ids > 0]).tolist()
    assert [int(row["pixels"]) for row in rows] == [(ids == int(row["id"])).sum() for row in rows]
    assert float(rows[0]["intensity_mean"]) == pytest.approx(image[ids == 7].mean(), rel=1e-5)


def test_more_objects_than_a_png_can_number_become_a_tiff(run, tmp_path, monkeypatch):
    ids = np.zeros((48, 48), np.int32)
    ids[3, 4] = 2**16
    monkeypatch.setattr("tinyunet.runs.run.decode_objects", lambda probabilities, config: ids)
    tiny.save(tmp_path / "a.png", squares(9)[0])
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "a.tif", "prediction.json"]
    assert tifffile.imread(tmp_path / "out" / "a.tif")[3, 4] == 2**16


def test_a_table_that_is_in_the_way_is_an_error(run, tmp_path, capsys):
    for name in ("a.png", "a.jpg"):
        tiny.save(tmp_path / name, squares(9)[0])
    assert tiny.command("predict", run, tmp_path / "a.png", tmp_path / "a.jpg", "--out", tmp_path / "out") == 2
    assert f"would both write {tmp_path}/out/a.csv" in capsys.readouterr().err


def test_perfect_objects_score_one_and_the_pieces_of_the_foreground_less(run, data, monkeypatch, capsys):
    truth = squares(0)[1].astype(np.int32)
    background = np.where(truth > 0, 0.1, 0.9).astype(np.float32)
    probabilities = np.stack([background, (1 - background) / 2, (1 - background) / 2], axis=-1)
    monkeypatch.setattr("tinyunet.runs.run.Run.probabilities", lambda self, image, **options: probabilities)
    monkeypatch.setattr("tinyunet.runs.run.decode_objects", lambda probabilities, config: truth)
    found = evaluate(run, data, split="all", quiet=True)
    assert found.classes == ("background", "object")
    assert (found.objects.found.ap, found.objects.found.true) == ((1.0,) * 10, 5 * SQUARES)
    assert found.objects.found.count_error == 0
    assert found.objects.plain.ap[:2] == (0.5, 0)  # the squares touch in pairs: a piece is half of it one of them
    assert found.objects.baseline.ap[1] == 0
    assert found.pooled.dice == (1, 1)
    assert all(image.objects.ap[0] == 1 for image in found.images)
    saved = json.loads((run / "evaluation.json").read_text())
    assert saved["objects"]["found"]["ap"] == [1.0] * 10
    report = (run / "report.html").read_text(encoding="utf-8")
    assert re.search(r"it finds 100.{0,3}% of the 80 objects", report)
    assert "pieces of the predicted foreground" in report
    assert tiny.command("evaluate", run, data, "--split", "all") == 0
    printed = capsys.readouterr().out
    assert "80 objects, those of all images together" in printed
    assert "AP 0.5" in printed
