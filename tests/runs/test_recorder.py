"""Tests of what a training leaves behind, with a validation that is made up and weights of three numbers."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.runs.calibrate import Temperature
from tinyunet.runs.config import Config, TrainConfig
from tinyunet.runs.display import Display
from tinyunet.runs.recorder import Best, Clock, Recorder
from tinyunet.runs.validate import Validation
from tinyunet.training.log import read_log
from tinyunet.training.loop import Done
from tinyunet.training.state import TrainState


def state(step, value=0.0):
    weights = {"params": {"w": jnp.full(3, value)}}
    return TrainState(jnp.asarray(step), weights, weights, {"m": jnp.zeros(3)})


def done(step, *, value=0.0, loss=0.5, pending=0.25):
    return Done(step, state(step, value), loss, 0.0, jnp.asarray(pending))


def recorder(out, scores=(), *, steps=10):
    remaining = iter(scores)

    def validate(variables):
        score = next(remaining)
        return Validation(0.7, np.array([score, score]), score, (5, 5))

    config = Config(train=TrainConfig(steps=steps, checkpoint_seconds=1000.0))
    display = Display(steps, quiet=True)
    return Recorder(out, config, validate=validate, names=("a", "b"), display=display, rate=lambda step: step / 10)


def events(out, kind):
    return [event for event in read_log(out / "metrics.jsonl") if event["event"] == kind]


def test_a_loss_is_logged_at_the_step_it_belongs_to(tmp_path):
    one = recorder(tmp_path)
    one.step(done(1, loss=math.nan))
    one.step(done(2, loss=0.75))
    one.end(done(2, pending=0.5), "finished")
    logged = [(event["step"], event["loss"], event["learning_rate"]) for event in events(tmp_path, "train")]
    assert logged == [(1, 0.75, 0.0), (2, 0.5, 0.1)]
    assert [(event["step"], event["reason"]) for event in events(tmp_path, "end")] == [(2, "finished")]


def test_a_last_loss_that_is_no_number_is_not_logged(tmp_path):
    one = recorder(tmp_path)
    one.end(done(1, pending=math.nan), "diverged")
    assert events(tmp_path, "train") == []


def test_the_best_weights_are_chosen_and_of_equals_the_later(tmp_path):
    one = recorder(tmp_path, [0.5, 0.8, 0.8, 0.6])
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0), start=1):
        one.look(done(step, value=value))
    assert one.chosen(state(4, 4.0))["params"]["w"].tolist() == [3.0, 3.0, 3.0]
    assert [event["best"] for event in events(tmp_path, "validate")] == [True, True, True, False]


def test_without_a_validation_the_average_is_chosen(tmp_path):
    assert recorder(tmp_path).chosen(state(1, 7.0))["params"]["w"].tolist() == [7.0, 7.0, 7.0]


def test_what_is_restored_is_what_was_saved_and_the_log_is_cut_to_it(tmp_path):
    one = recorder(tmp_path, [0.5, 0.4])
    one.look(done(1, value=1.0))
    one.save(done(1, value=1.0))
    one.look(done(2, value=2.0))
    two = recorder(tmp_path, [0.45])
    restored, first = two.restore(state(0))
    assert (first, restored.variables["params"]["w"].tolist()) == (1, [1.0, 1.0, 1.0])
    assert [event["step"] for event in events(tmp_path, "validate")] == [1]
    two.look(done(2, value=2.0))
    assert two.chosen(state(2, 2.0))["params"]["w"].tolist() == [1.0, 1.0, 1.0]


def test_nothing_to_restore_is_a_beginning(tmp_path):
    given = state(0, 5.0)
    restored, first = recorder(tmp_path).restore(given)
    assert first == 0
    assert restored is given


def test_a_checkpoint_is_due_after_the_time_the_configuration_gives(tmp_path, monkeypatch):
    one = recorder(tmp_path)
    assert not one.due
    monkeypatch.setattr("tinyunet.runs.recorder.time.monotonic", lambda: one._saved + 1001)
    assert one.due


def test_a_temperature_is_logged_and_its_note_too(tmp_path):
    one = recorder(tmp_path)
    one.calibrated(done(3), Temperature(1.25))
    assert events(tmp_path, "note") == []
    one.calibrated(done(4), Temperature(1.0, "why"))
    assert [(event["step"], event["temperature"]) for event in events(tmp_path, "calibrate")] == [(3, 1.25), (4, 1.0)]
    assert [event["text"] for event in events(tmp_path, "note")] == ["why"]


def test_the_clock_leaves_out_the_step_that_compiles(monkeypatch):
    now = 100.0
    monkeypatch.setattr("tinyunet.runs.recorder.time.monotonic", lambda: now)
    clock = Clock()
    clock.tick(done(1)._replace(waited=50.0))
    assert (clock.speed, clock.waiting) == (0.0, 0.0)
    now = 110.0
    clock.tick(done(2)._replace(waited=2.5))
    assert (clock.speed, clock.waiting) == (0.1, 0.25)


def test_no_score_is_worse_than_none_at_all():
    assert Best().best_score < 0
    with pytest.raises(AttributeError):
        Best().best_score = 1.0  # type: ignore[misc]
