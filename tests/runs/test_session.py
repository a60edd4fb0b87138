import threading

import jax
import numpy as np
import pytest
from reference import tiny

from tinyunet.errors import CheckpointError, TrainingError
from tinyunet.runs import session as module
from tinyunet.runs.budget import Timing
from tinyunet.runs.calibrate import Temperature
from tinyunet.runs.display import Display
from tinyunet.runs.prepare import resolve
from tinyunet.runs.request import read_request
from tinyunet.runs.session import Session
from tinyunet.runs.validate import Validation
from tinyunet.runs.weights import read_weights
from tinyunet.training.log import read_log


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("session") / "cells")


def start(data, *settings):
    """A session of six steps that looks after the third and the sixth."""
    config = read_request(None, [*tiny.SETTINGS, "train.steps=6", *settings])
    resolved, examination = resolve(config, data)
    return Session(resolved, examination.folder, common=0)


@pytest.fixture(scope="module")
def session(data):
    return start(data)


def test_trainings_of_a_kind_share_what_is_compiled(data):
    first, second, other = start(data), start(data, "seed=7"), start(data, "loss.dice=0.5")
    assert second.step is first.step
    assert other.step is not first.step


def run(session, out, **options):
    """Runs a session in a folder; why it ended, and the events it wrote."""
    out.mkdir(exist_ok=True)
    display = Display(0, quiet=True)
    reason = session.run(out, display=display, stop=options.pop("stop", threading.Event()), **options)
    return reason, list(read_log(out / "metrics.jsonl"))


def of(events, kind):
    return [event for event in events if event["event"] == kind]


def scripted(monkeypatch, session, scores):
    """Lets the validations score what a script says; the weights that each was given."""
    seen = []

    def validate(variables):
        seen.append(jax.tree.map(np.asarray, variables))
        score = scores[len(seen) - 1]
        return Validation(1 - score, np.array([score, score]), score, (7, 3))

    monkeypatch.setattr(session, "validate", validate)
    return seen


def equal(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), one, other))


def test_a_session_runs_from_its_first_step_to_its_last(session, tmp_path):
    reason, events = run(session, tmp_path)
    assert reason == "finished"
    assert [event["step"] for event in of(events, "train")] == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in of(events, "validate")] == [3, 6]
    losses = [event["loss"] for event in of(events, "train")]
    assert all(loss > 0 for loss in losses)
    assert of(events, "end")[0]["peak_memory_bytes"] > 2**20
    (end,) = of(events, "end")
    assert (end["step"], end["reason"]) == (6, "finished")


def test_the_weights_are_those_of_the_best_validation(session, tmp_path, monkeypatch):
    for scores, chosen in (((0.9, 0.2), 0), ((0.2, 0.9), 1), ((0.5, 0.5), 1)):
        out = tmp_path / f"{scores}"
        seen = scripted(monkeypatch, session, scores)
        _, events = run(session, out)
        assert not equal(*seen)
        assert equal(read_weights(out / "model.safetensors")[0], seen[chosen])
        assert [event["best"] for event in of(events, "validate")] == [True, chosen == 1]


def test_a_session_goes_on_from_the_newest_checkpoint(session, tmp_path):
    stop = threading.Event()
    stop.set()
    assert run(session, tmp_path, stop=stop)[0] == "stopped"
    reason, events = run(session, tmp_path)
    assert reason == "finished"
    assert [event["step"] for event in of(events, "train")] == [1, 2, 3, 4, 5, 6]
    assert len(of(events, "end")) == 1
    run(session, tmp_path / "whole")
    assert tiny.weights(tmp_path) == tiny.weights(tmp_path / "whole")


def test_a_session_that_is_stopped_before_any_validation_leaves_the_average(session, tmp_path):
    stop = threading.Event()
    stop.set()
    reason, events = run(session, tmp_path, stop=stop)
    assert (reason, of(events, "validate")) == ("stopped", [])
    assert not equal(read_weights(tmp_path / "model.safetensors")[0], session.variables)


def test_past_the_deadline_it_looks_once_more_and_writes_the_step_down(data, tmp_path):
    session = start(data)
    reason, events = run(session, tmp_path, deadline=0.0)
    assert reason == "time"
    assert [event["step"] for event in of(events, "validate")] == [1]
    assert "stop_after = 1\n" in (tmp_path / "config.toml").read_text()
    assert read_weights(tmp_path / "model.safetensors")[1].train.stop_after == 1


def test_stopping_early_keeps_the_looks_of_the_whole_schedule(data, tmp_path):
    _, events = run(start(data, "train.stop_after=5"), tmp_path)
    assert [event["step"] for event in of(events, "validate")] == [3, 5]
    rates = [event["learning_rate"] for event in of(events, "train")]
    _, whole = run(start(data), tmp_path / "whole")
    assert rates == [event["learning_rate"] for event in of(whole, "train")][:5]


def test_the_weights_have_the_temperature_of_the_chosen_ones(session, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(session, "calibrate", lambda variables: given.append(variables) or Temperature(1.25, "why"))
    _, events = run(session, tmp_path)
    variables, _, temperature, _ = read_weights(tmp_path / "model.safetensors")
    assert temperature == 1.25
    assert equal(given[0], variables)
    assert [(event["step"], event["temperature"]) for event in of(events, "calibrate")] == [(6, 1.25)]
    assert of(events, "note")[-1]["text"] == "why"


def test_killed_while_the_temperature_is_fitted_it_has_weights_and_goes_on(session, tmp_path, monkeypatch):
    def killed(variables):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "calibrate", lambda variables: Temperature(1.25))
    run(session, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(session, "calibrate", killed)
        with pytest.raises(KeyboardInterrupt):
            run(session, tmp_path)
    assert read_weights(tmp_path / "model.safetensors").temperature == 1
    _, events = run(session, tmp_path)
    assert tiny.weights(tmp_path) == tiny.weights(tmp_path / "whole")
    assert len(of(events, "calibrate")) == 1


def test_probabilities_of_objects_are_not_scaled(data, tmp_path):
    session = start(data, "data.task=instances")
    assert session.calibrate(session.variables) == Temperature(1.0)
    _, events = run(session, tmp_path)
    assert (of(events, "calibrate")[0]["temperature"], of(events, "note")) == (1, [])


def looking(monkeypatch, session, validation):
    """Lets every validation find the same; nothing is said of the temperature."""
    monkeypatch.setattr(session, "validate", lambda variables: validation)
    monkeypatch.setattr(session, "calibrate", lambda variables: Temperature(1.0))


def test_a_collapsed_training_is_noticed_and_explained(session, tmp_path, monkeypatch):
    collapsed = Validation(0.7, np.array([0.9, 0.0]), 0.45, (10, 0))
    looking(monkeypatch, session, collapsed)
    _, events = run(session, tmp_path)
    notes = of(events, "note")
    assert [note["step"] for note in notes] == [3, 6]
    assert notes[0]["text"].startswith("After step 3 every validation pixel is given to 'background', though the masks")
    assert "the training has collapsed. Usual reasons: masks that do not belong to their images" in notes[0]["text"]


@pytest.mark.parametrize(
    "healthy",
    [
        Validation(0.7, np.array([0.9, 0.1]), 0.5, (9, 1)),
        Validation(0.7, np.array([1.0, np.nan]), 1.0, (10, 0)),  # the truth holds nothing else
    ],
)
def test_a_training_that_works_is_not_called_collapsed(session, tmp_path, monkeypatch, healthy):
    looking(monkeypatch, session, healthy)
    assert of(run(session, tmp_path)[1], "note") == []


def test_one_class_early_on_is_no_collapse(data, tmp_path, monkeypatch):
    session = start(data, "train.validations=6")
    looking(monkeypatch, session, Validation(0.7, np.array([0.9, 0.0]), 0.45, (10, 0)))
    assert [note["step"] for note in of(run(session, tmp_path)[1], "note")] == [2, 3, 4, 5, 6]


def test_a_loss_that_is_no_number_ends_the_training(session, tmp_path, monkeypatch):
    step = session.step

    def failing(state, *rest):
        state, loss = step(state, *rest)
        return state, loss * np.nan if int(state.step) == 4 else loss

    monkeypatch.setattr(session, "step", failing)
    with pytest.raises(TrainingError, match=r"^The training diverged: the loss of step 4 is nan\. The images are fini"):
        run(session, tmp_path)
    events = list(read_log(tmp_path / "metrics.jsonl"))
    assert of(events, "note")[-1]["text"].startswith("The training diverged: the loss of step 4 is nan.")
    assert of(events, "end")[0]["reason"] == "diverged"
    assert not (tmp_path / "model.safetensors").exists()


def test_a_checkpoint_that_cannot_be_written_says_to_make_room(session, tmp_path, monkeypatch):
    def full(manager, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(CheckpointError, match=r"cannot be written to .*No space left on device\. The one .* resume\.$"):
        run(session, tmp_path)


def test_measuring_changes_nothing(session, tmp_path):
    before = jax.tree.map(np.array, session.variables)
    timing = session.measure(used=5.0, seconds=0.01)
    assert timing.used > 5.0
    assert timing.step > 0
    assert timing.validation > 0
    assert timing.finish == Timing.finish + timing.validation  # the temperature takes as long as a validation
    assert equal(before, session.variables)


def test_checkpoints_are_made_by_the_clock(data, tmp_path, monkeypatch):
    saved = []
    save = module.Checkpoints.save
    monkeypatch.setattr(
        module.Checkpoints,
        "save",
        lambda self, kind, step, *rest: saved.append((kind, step)) or save(self, kind, step, *rest),
    )
    run(start(data, "train.checkpoint_seconds=1e-9"), tmp_path)
    assert [step for kind, step in saved if kind == "last"] == [1, 2, 3, 4, 5, 6]


def test_the_start_is_saved_with_its_own_weights(data, tmp_path):
    first, second = start(data), start(data, "seed=1")
    second.variables = first.variables
    second.save_start(tmp_path)
    run(second, tmp_path / "known")
    third = start(data, "seed=1")  # whose seed gives other weights
    run(third, tmp_path)
    assert tiny.weights(tmp_path) == tiny.weights(tmp_path / "known")
