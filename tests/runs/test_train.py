import ast
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from reference import tiny

import tinyunet
from tinyunet.errors import CheckpointError, ConfigError, DataError
from tinyunet.runs import train as module
from tinyunet.runs.budget import Timing
from tinyunet.runs.display import Display
from tinyunet.runs.folder import held
from tinyunet.runs.run import load
from tinyunet.runs.session import Session
from tinyunet.runs.train import resume, train
from tinyunet.training.log import read_log

SOURCE = Path(tinyunet.__file__).parent.parent
LONG = ("--steps", "60", *tiny.OPTIONS, "--set", "train.checkpoint_seconds=0.3", "--set", "train.validations=3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("train") / "cells")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return train(data, tmp_path_factory.mktemp("train") / "run", steps=4, settings=tiny.SETTINGS, quiet=True).path


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    """A longer training that nothing disturbed."""
    run = tmp_path_factory.mktemp("train") / "uninterrupted"
    assert tiny.command("train", data, "--out", run, *LONG) == 0
    return run


def events(run, kind):
    return [event for event in read_log(run / "metrics.jsonl") if event["event"] == kind]


def table(run):
    return tomllib.loads((run / "config.toml").read_text())


def test_a_run_holds_what_the_design_says(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoints",
        "config.toml",
        "fingerprint.json",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
    ]
    assert (events(finished, "start")[0]["steps"], events(finished, "start")[0]["version"]) == (4, tinyunet.__version__)
    assert [event["step"] for event in events(finished, "validate")] == [2, 4]
    assert [(event["step"], event["reason"]) for event in events(finished, "end")] == [(4, "finished")]


def test_nothing_is_left_open_in_the_configuration_of_a_run(finished, data):
    config = table(finished)
    assert config["data"]["folder"] == str(data)
    assert config["data"]["labelling"]["classes"][1]["value"] == 255
    assert {name for part in ("train", "val", "test") for name in config["data"]["split"][part]} == set("012345")
    assert config["train"]["steps"] == 4


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(finished, data, tmp_path):
    again = tiny.train_tiny(data, tmp_path / "again")
    assert tiny.weights(again) == tiny.weights(finished)
    other = tiny.train_tiny(data, tmp_path / "other", options=["--seed", 1])
    assert tiny.weights(other) != tiny.weights(finished)
    assert not all(
        np.array_equal(a, b) for a, b in zip(*(leaves(load(run).variables) for run in (finished, other)), strict=True)
    )


def leaves(tree):
    return [leaf for value in tree.values() for leaf in (leaves(value) if isinstance(value, dict) else [value])]


def test_the_configuration_of_a_run_repeats_it(finished, data, tmp_path):
    assert tiny.command("train", data, "--out", tmp_path / "run", "--config", finished / "config.toml") == 0
    assert tiny.weights(tmp_path / "run") == tiny.weights(finished)


def test_a_training_begun_from_python_records_the_call_that_repeats_it(finished, data, tmp_path):
    call = events(finished, "start")[0]["command"]
    assert call == f"tinyunet.train({str(data)!r}, {str(finished)!r}, steps=4, settings={list(tiny.SETTINGS)!r})"
    keywords = {word.arg: ast.literal_eval(word.value) for word in ast.parse(call, mode="eval").body.keywords}
    assert tiny.weights(train(data, tmp_path / "run", quiet=True, **keywords).path) == tiny.weights(finished)


def test_minutes_become_steps_that_repeat_the_training(data, tmp_path, monkeypatch):
    measure = Session.measure  # steps are really timed, but briefly, and as if starting had cost 3 s
    monkeypatch.setattr(
        Session, "measure", lambda self, used: dataclasses.replace(measure(self, used=used, seconds=0.1), used=3.0)
    )
    given = [*tiny.SETTINGS, "train.stop_after=1"]  # as in the configuration of a training that was cut short
    run = train(data, tmp_path / "run", minutes=0.1, settings=given, quiet=True).path
    planned = table(run)["train"]
    assert planned["steps"] > 1
    assert planned["stop_after"] == 0
    assert events(run, "end")[0]["step"] == planned["steps"]
    again = train(data, tmp_path / "again", config=run / "config.toml", quiet=True).path
    assert tiny.weights(again) == tiny.weights(run)
    settings = [*given, f"train.validations={planned['validations']}"]
    by_steps = train(data, tmp_path / "steps", steps=planned["steps"], settings=settings, quiet=True).path
    assert tiny.weights(by_steps) == tiny.weights(run)
    assert f"steps={planned['steps']}, settings={settings!r}" in events(run, "start")[0]["command"]


def test_a_training_whose_time_is_up_stops_and_can_be_repeated(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "measure", lambda self, used: Timing(used=0.0, step=0.1, validation=0.1))
    monkeypatch.setattr(module, "OVERRUN", 1e-9)  # the time is up after the first step
    run = train(data, tmp_path / "run", minutes=0.1, settings=tiny.SETTINGS, quiet=True).path
    monkeypatch.undo()
    assert (table(run)["train"]["steps"], table(run)["train"]["stop_after"]) == (36, 1)
    assert [(event["step"], event["reason"]) for event in events(run, "end")] == [(1, "time")]
    again = train(data, tmp_path / "again", config=run / "config.toml", quiet=True).path
    assert tiny.weights(again) == tiny.weights(run)
    before = tiny.contents(run)
    resume(run, quiet=True)
    assert tiny.contents(run) == before


def wait_for(process, condition):
    """Waits until a condition holds while a process runs."""
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"it ended with {process.returncode} before it was killed"
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.005)


def last_step(run):
    """The newest step in a log that is being written."""
    steps = re.findall(r'"event": "train", "step": (\d+)', (run / "metrics.jsonl").read_text())
    return int(steps[-1]) if steps else 0


def kill(arguments, condition):
    """Starts a command as a process and kills it when the condition holds."""
    place = {**os.environ, "PYTHONPATH": str(SOURCE)}
    line = [sys.executable, "-m", "tinyunet", "train", *map(str, arguments), "--quiet", "--no-cache"]
    with subprocess.Popen(line, env=place, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(process, condition)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_killed_three_times_and_resumed_gives_the_bytes_of_never_killed(data, uninterrupted, tmp_path):
    run = tmp_path / "run"
    checkpoints = run / "checkpoints" / "last"
    kill([data, "--out", run, *LONG], lambda: (run / "metrics.jsonl").exists())
    assert not checkpoints.exists() or not any(path.name.isdigit() for path in checkpoints.iterdir())
    assert not (run / "model.safetensors").exists()
    for low, high in ((2, 25), (28, 50)):
        step = random.randrange(low, high)
        kill(["--resume", run], lambda step=step: last_step(run) >= step)
        assert any(path.name.isdigit() for path in checkpoints.iterdir()), step
        assert last_step(run) < 60, step
    assert tiny.command("train", "--resume", run) == 0
    assert tiny.weights(run) == tiny.weights(uninterrupted)
    steps = [event["step"] for event in events(run, "train")]
    assert steps == sorted(set(steps))  # no step is logged twice
    assert [event["reason"] for event in events(run, "end")] == ["finished"]


def test_a_training_from_another_run_that_is_killed_at_once_goes_on_from_that_run(
    finished, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_finish", lambda *arguments, **options: load(finished))  # killed before step 1
    train(data, tmp_path / "killed", steps=4, settings=tiny.SETTINGS, init=finished, quiet=True)
    monkeypatch.undo()
    whole = train(data, tmp_path / "whole", steps=4, settings=tiny.SETTINGS, init=finished, quiet=True).path
    assert tiny.weights(resume(tmp_path / "killed", quiet=True).path) == tiny.weights(whole)
    assert tiny.weights(whole) != tiny.weights(finished)


def test_ctrl_c_leaves_a_usable_run_that_goes_on_to_the_same_bytes(data, uninterrupted, tmp_path, monkeypatch, capsys):
    update = Display.update

    def interrupting(self, done, **facts):
        if done == 7:
            signal.raise_signal(signal.SIGINT)
        return update(self, done, **facts)

    monkeypatch.setattr(Display, "update", interrupting)
    run = tmp_path / "run"
    assert tiny.command("train", data, "--out", run, *LONG) == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert [(event["step"], event["reason"]) for event in events(run, "end")] == [(7, "stopped")]
    assert (run / "report.html").exists()
    image = tiny.picture(0)[0]
    assert load(run).predict(image).shape == image.shape
    assert tiny.weights(run) != tiny.weights(uninterrupted)
    assert tiny.command("train", "--resume", run) == 0
    assert tiny.weights(run) == tiny.weights(uninterrupted)


def test_resuming_a_finished_run_changes_nothing(finished, capsys):
    before = tiny.contents(finished)
    assert tiny.command("train", "--resume", finished) == 0
    assert tiny.contents(finished) == before
    resume(finished)
    assert capsys.readouterr().err == f"{finished} is finished (4 steps); nothing to do.\n"


def unfinished(finished, tmp_path, data):
    """A copy of a run, on data of its own, as a kill before the first checkpoint leaves it."""
    own = shutil.copytree(data, tmp_path / "own")
    run = shutil.copytree(finished, tmp_path / "run")
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace(json.dumps(str(data)), json.dumps(str(own))))
    (run / "model.safetensors").unlink()
    shutil.rmtree(run / "checkpoints")
    return own, run


def test_a_run_whose_data_have_changed_is_not_resumed(finished, data, tmp_path, capsys):
    own, run = unfinished(finished, tmp_path, data)
    name = table(run)["data"]["split"]["train"][0]
    tiny.save(own / f"images/{name}.png", tiny.picture(99)[0])
    before = tiny.contents(run)
    assert tiny.command("train", "--resume", run) == 2
    assert capsys.readouterr().err == (
        f"error: The data in {own} have changed since {run} began, so it cannot go on as the same training; start a "
        f"new one, with --init {run} to keep what was learnt.\n"
    )
    assert tiny.contents(run) == before


def test_a_run_that_another_process_trains_is_not_resumed(finished, data, tmp_path, capsys):
    _, run = unfinished(finished, tmp_path, data)
    before = tiny.contents(run)
    with held(run):
        assert tiny.command("train", "--resume", run) == 2
    assert f"error: {run} is being trained by another process: wait for it, stop it first" in capsys.readouterr().err
    assert tiny.contents(run) == before


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_validation_sample_turned_upside_down_is_a_change_too(finished, data, tmp_path, part):
    own, run = unfinished(finished, tmp_path, data)
    path = own / part / f"{table(run)['data']['split']['val'][0]}.png"
    tiny.save(path, tiny.pixels(path)[::-1])  # every count and every mean stays
    with pytest.raises(CheckpointError, match=rf"^The data in {re.escape(str(own))} have changed since "):
        resume(run, quiet=True)


def test_a_run_whose_data_have_other_times_and_another_place_is_resumed(finished, data, tmp_path):
    own, run = unfinished(finished, tmp_path, data)
    for path in own.rglob("*.png"):
        os.utime(path, (0, 0))
    assert tiny.weights(resume(run, quiet=True).path) == tiny.weights(finished)


def test_a_run_whose_data_are_gone_is_not_resumed(finished, data, tmp_path):
    own, run = unfinished(finished, tmp_path, data)
    shutil.rmtree(own)
    with pytest.raises(DataError, match=rf"^{re.escape(str(own))} must be a folder with images/ and masks/"):
        resume(run, quiet=True)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_a_run_without_its_fingerprint_is_not_resumed(finished, data, tmp_path, damage):
    _, run = unfinished(finished, tmp_path, data)
    damage(run / "fingerprint.json")
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(run))}/fingerprint.json is missing or damaged, so"):
        resume(run, quiet=True)


def test_a_place_that_is_taken_is_refused(finished, data, tmp_path, capsys):
    before = tiny.contents(finished)
    assert tiny.command("train", data, "--out", finished, "--steps", 4) == 2
    assert capsys.readouterr().err == (
        f"error: {finished} is a run already: go on with it by --resume {finished}, replace it by --overwrite, or "
        "choose another --out.\n"
    )
    assert tiny.contents(finished) == before
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("all of it")
    for taken in (tmp_path / "thesis", tmp_path / "thesis/chapter.txt"):
        with pytest.raises(ConfigError, match=f"^{re.escape(str(taken))} exists and is not a run folder; choose"):
            train(data, taken, steps=4, overwrite=True, quiet=True)
    assert (tmp_path / "thesis/chapter.txt").read_text() == "all of it"


def test_overwriting_replaces_a_run_once_the_new_one_begins(finished, data, tmp_path, capsys):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "evaluation.json").write_text("{}")
    before = tiny.contents(run)
    assert tiny.command("train", tmp_path, "--out", run, "--overwrite") == 2  # the new one does not begin
    assert tiny.contents(run) == before
    tiny.train_tiny(data, run, options=["--overwrite", "--seed", 1])
    assert table(run)["seed"] == 1
    assert not (run / "evaluation.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_empty_folder_may_become_a_run(data, tmp_path):
    (tmp_path / "run").mkdir()
    assert (tiny.train_tiny(data, tmp_path / "run") / "model.safetensors").exists()


def test_a_head_for_other_classes_begins_fresh(finished, data, tmp_path, monkeypatch):
    three = tiny.write_pairs(
        tmp_path / "three", mask_of=lambda mask: (mask * (1 + (np.arange(tiny.SIDE) % 2))).astype(np.uint8)
    )
    started = []
    monkeypatch.setattr(
        module, "_finish", lambda session, *_, **__: started.append(session.variables) or load(finished)
    )
    train(three, tmp_path / "new", steps=4, settings=tiny.SETTINGS, init=finished, quiet=True)
    train(three, tmp_path / "fresh", steps=4, settings=tiny.SETTINGS, quiet=True)
    new, fresh, old = (flat(v) for v in (*started, load(finished).variables))
    assert new["params/head/kernel"].shape[-1] == 3
    for name, value in new.items():
        np.testing.assert_array_equal(value, (fresh if "/head/" in name else old)[name], err_msg=name)


def flat(tree, at=""):
    return {
        name: leaf
        for key, value in tree.items()
        for name, leaf in (flat(value, f"{at}{key}/") if isinstance(value, dict) else {f"{at}{key}": value}).items()
    }


def test_weights_of_another_width_do_not_fit(finished, data, tmp_path, capsys):
    status = tiny.command(
        "train", data, "--out", tmp_path / "run", *tiny.OPTIONS, "--set", "model.features=4", "--init", finished
    )
    assert status == 2
    text = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: The weights of {re.escape(str(finished))} do not fit: \S+ is \(.*\) there and \(.*\) here; use the "
        r"same model options and channels\.\n",
        text,
    )
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_training_is_explained(data, tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--set", "optimiser.learning_rate=1e30"]
    assert tiny.command("train", data, "--out", run, "--steps", 6, *tiny.OPTIONS, *options) == 2
    text = capsys.readouterr().err
    assert re.fullmatch(
        r"error: The training diverged: the loss of step \d is nan\. The images are finite \(they were checked\), so "
        r"the steps were too large: try --set optimiser\.learning_rate with a third of its value\.\n",
        text,
    )
    assert events(run, "note")[-1]["text"] == text.removeprefix("error: ").rstrip()
    assert events(run, "end")[0]["reason"] == "diverged"
    assert "its loss was no longer a number" in (run / "report.html").read_text()
    assert not (run / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"minutes": 1.0, "steps": 4}, "Give either --minutes or --steps, not both."),
        ({"minutes": 0.0}, "`minutes` must be positive, got 0.0."),
        ({"minutes": float("nan")}, "`minutes` must be positive, got nan."),
        ({"steps": 0}, "`steps` must be at least 1, got 0."),
        ({"seed": -1}, "`seed` must be in [0, 2^32), got -1."),
        ({"init": "no/such/run"}, "There is no run at no/such/run; runs are made by `tinyunet train`."),
        (
            {"settings": ["loss.class_weights=[1, 2, 3]"]},
            "`loss.class_weights` must have one entry for each class (background, foreground), got 3.",
        ),
    ],
)
def test_options_that_cannot_be_used_leave_no_run_behind(data, tmp_path, options, text):
    options = {"settings": tiny.SETTINGS, **options}
    with pytest.raises((ConfigError, CheckpointError), match=f"^{re.escape(text)}$"):
        train(data, tmp_path / "run", quiet=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_of_other_data_is_refused_before_anything_is_made(finished, tmp_path):
    other = tiny.write_pairs(tmp_path / "other", mask_of=lambda mask: (7 * mask).astype(np.uint8))
    with pytest.raises(DataError, match=f"^{re.escape(str(other / 'masks'))}.* 7"):
        train(other, tmp_path / "run", config=finished / "config.toml", quiet=True)
    colour = tiny.write_pairs(tmp_path / "colour")
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 255, (tiny.SIDE, tiny.SIDE, 3), np.uint8)
        tiny.save(colour / f"images/{number}.png", noise)
    with pytest.raises(DataError, match=r"^The configuration is for images of 1 channels, but .* has images of 3; rem"):
        train(colour, tmp_path / "run", config=finished / "config.toml", quiet=True)
    assert not (tmp_path / "run").exists()
