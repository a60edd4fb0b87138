import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from reference import tiny

from tinyunet.data.folder import open_folder
from tinyunet.data.split import Split
from tinyunet.errors import CheckpointError, ConfigError
from tinyunet.evaluation.scores import Evaluator
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.runs import folds as module
from tinyunet.runs.evaluate import evaluate
from tinyunet.runs.folder import read_run_config
from tinyunet.runs.folds import fold_of, resume_folds, train_folds
from tinyunet.runs.run import load
from tinyunet.runs.weights import read_weights, write_weights

PARTS = {"0": "test", "1": "train", "2": "val", "3": "train", "4": "train", "5": "train"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tiny.write_pairs(tmp_path_factory.mktemp("folds") / "cells")
    (root / "split.csv").write_text("\n".join(["name,split", *(f"{name},{part}" for name, part in PARTS.items())]))
    return root


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "run"
    assert tiny.command("train", data, "--out", out, "--folds", 2, "--steps", 2, *tiny.OPTIONS) == 0
    return out


def test_every_image_that_is_not_for_testing_is_held_out_once(run):
    splits = [read_run_config(run / f"fold-{k}").data.split for k in (0, 1)]
    assert sorted(splits[0].val + splits[1].val) == ["1", "2", "3", "4", "5"]
    for split in splits:
        assert set(split.train) | set(split.val) == {"1", "2", "3", "4", "5"}
        assert not set(split.train) & set(split.val)
        assert split.test == ("0",)
    assert [read_run_config(run / f"fold-{k}").seed for k in (0, 1)] == [0, 1]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_differ_by_one_image_at_most_and_depend_on_the_seed(folds):
    split = Split(train=tuple("abcdefghijk"), val=(), test=("x",))
    held = [fold_of(split, k, folds, seed=3).val for k in range(folds)]
    assert sorted(name for names in held for name in names) == list(split.train)
    sizes = [len(names) for names in held]
    assert max(sizes) - min(sizes) <= 1
    assert held != [fold_of(split, k, folds, seed=4).val for k in range(folds)]


def test_each_fold_is_scored_on_what_it_has_not_seen(run, data):
    for k in (0, 1):
        fold = run / f"fold-{k}"
        scores = json.loads((fold / "evaluation.json").read_text())
        held = read_run_config(fold).data.split.val
        assert [image["name"] for image in scores["images"]] == list(held)
    notes = (run / "report.html").read_text(encoding="utf-8")
    assert re.search(r"Fold 1: Dice 0\.\d{3} on the \d images it has not seen\.", notes)
    assert re.search(r"All 2 folds: Dice 0\.\d{3} ± 0\.\d{3}", notes)


def test_together_they_predict_the_mean_of_their_probabilities(run):
    image = tiny.picture(9, side=40)[0]
    one, other = (load(run / f"fold-{k}").probabilities(image, scaled=False) for k in (0, 1))
    together = load(run)
    assert np.abs(one - other).max() > 1e-3
    np.testing.assert_allclose(together.probabilities(image, scaled=False), (one + other) / 2, atol=1e-6)
    np.testing.assert_array_equal(together.predict(image), np.argmax(together.probabilities(image), axis=-1))


def test_their_mean_is_scaled_by_the_geometric_mean_of_their_temperatures(run, tmp_path):
    image, out = tiny.picture(9)[0], shutil.copytree(run, tmp_path / "run")
    for k, temperature in enumerate((1.0, 4.0)):
        path = out / f"fold-{k}" / "model.safetensors"
        write_weights(path, *read_weights(path)[:2], temperature=temperature)
    together = load(out)
    assert together.temperature == pytest.approx(2)
    plain = load(run).probabilities(image, scaled=False)
    np.testing.assert_allclose(together.probabilities(image), scale_probabilities(plain, 2.0), atol=1e-6)
    np.testing.assert_array_equal(together.predict(image), load(run).predict(image))


def test_the_report_says_what_scaling_does_in_the_folds():
    evaluator, warm = Evaluator(("a", "b")), Evaluator(("a", "b"), temperature=2.0)
    for one in (evaluator, warm):  # 0.895 is said where half is right, scaled 0.745
        one.add("image", np.array([[0.895, 0.105], [0.895, 0.105]]), np.array([0, 1]))
    (line,) = module._calibration_lines([evaluator.result(), warm.result()])
    assert line == (
        "Calibration error 0.395 before temperature scaling and 0.320 after, on the images to which the temperatures "
        "(1, 2) were fitted; means over the folds."
    )
    assert module._calibration_lines([evaluator.result()]) == []
    assert module._calibration_lines([dataclasses.replace(warm.result(), calibration=None)]) == []


def test_the_folder_is_used_like_any_run(run, data, tmp_path):
    assert [image.name for image in evaluate(run, data, quiet=True).images] == ["0"]
    tiny.save(tmp_path / "a.png", tiny.picture(9)[0])
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", tmp_path / "out", "--uncertainty") == 0
    shown = tiny.pixels(tmp_path / "out" / "a_uncertainty.png")
    probabilities = load(run).probabilities(tiny.picture(9)[0])
    expected = -(probabilities * np.log2(np.maximum(probabilities, 1e-30))).sum(axis=-1)
    np.testing.assert_allclose(shown / 255, expected, atol=0.01)


def test_interrupted_folds_go_on_to_the_same_weights(data, run, tmp_path, monkeypatch):
    out = tmp_path / "run"
    original = module.begin

    def stopped(*args, **options):
        if args[2].name == "fold-1":
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(module, "begin", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_folds(data, out, folds=2, steps=2, settings=tiny.SETTINGS, quiet=True)
    with pytest.raises(CheckpointError, match=r"There is no run at .*fold-1"):
        load(out)
    monkeypatch.undo()
    before = tiny.contents(out / "fold-0")
    assert tiny.command("train", "--resume", out) == 0
    assert tiny.contents(out / "fold-0") == before
    assert [tiny.weights(out / f"fold-{k}") for k in (0, 1)] == [tiny.weights(run / f"fold-{k}") for k in (0, 1)]
    before = tiny.weights(out / "fold-1")
    resume_folds(out, quiet=True)
    assert tiny.weights(out / "fold-1") == before


@pytest.mark.parametrize("folds", [1, 6])
def test_too_few_and_too_many_folds_leave_nothing_behind(data, tmp_path, folds):
    message = f"`folds` must be from 2 to the 5 images to train with, got {folds}."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        train_folds(data, tmp_path / "run", folds=folds, steps=1, settings=tiny.SETTINGS, quiet=True)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "{}", '{"folds": [], "minutes": null}', '{"folds": ["../x"], "minutes": null}'])
def test_a_damaged_list_of_folds_is_named(tmp_path, text):
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"folds\.json is damaged"):
        load(tmp_path)


def test_folds_begin_anew(data, tmp_path, capsys):
    arguments = ("train", data, "--out", tmp_path / "run", "--folds", 2, "--init", tmp_path)
    assert tiny.command(*arguments) == 2
    assert "--folds begins each network anew: it does not go with --init." in capsys.readouterr().err


def test_minutes_are_shared(data, tmp_path, monkeypatch):
    given = []

    def begin(*args, minutes, **options):
        given.append(minutes)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        train_folds(data, tmp_path / "run", folds=4, minutes=10, settings=tiny.SETTINGS, quiet=True)
    assert given == [2.5]
    assert open_folder(data).samples  # the data are as they were
