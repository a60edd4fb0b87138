"""What a live training leaves behind."""

import dataclasses
import json
from pathlib import Path

import pytest
from reference.tiny import contents, train_tiny, write_pairs

from tinyunet.errors import CheckpointError
from tinyunet.runs.live import record as records
from tinyunet.runs.live.record import Record
from tinyunet.runs.page.record import read_record
from tinyunet.runs.run import load


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of `train`, and the folder of its data."""
    place = tmp_path_factory.mktemp("made")
    data = write_pairs(place / "data", count=3)
    return load(train_tiny(data, place / "trained", steps=1)), data


@pytest.fixture
def trained(made):
    """The run, whose weights and configuration are written again as a live training's."""
    run, data = made
    config = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, folder=str(data)))
    return dataclasses.replace(run, config=config)


def test_a_run_folder_is_written_and_restored(trained, tmp_path):
    record = Record(tmp_path / "live", command="tinyunet studio data")
    assert record.restore() is None
    record.note(10, loss=0.5, learning_rate=1e-3, steps_per_second=9.0, waiting=0.0, seconds=1.0)
    record.save(trained.variables, trained.config, step=12, seconds=3.5, version=2, ended=True)
    record.save_fingerprint(trained.config)
    again = Record(tmp_path / "live", command="")
    weights, place = again.restore()
    assert place == {"step": 12, "seconds": 3.5, "version": 2}
    assert weights.config.model == trained.config.model
    found = read_record(tmp_path / "live")
    assert [event["event"] for event in found.events] == ["start", "train", "live", "end"]
    assert found.fingerprint.images == 3
    assert found.last("start")["command"] == "tinyunet studio data"
    assert load(tmp_path / "live").classes == trained.classes


def test_only_masks_that_have_changed_are_measured_again(trained, tmp_path, monkeypatch):
    record = Record(tmp_path / "live", command="")
    record.save(trained.variables, trained.config, step=1, seconds=1.0, version=1, ended=False)
    seen, measure = [], records.measure
    monkeypatch.setattr(
        records, "measure", lambda sample, **options: seen.append(sample.name) or measure(sample, **options)
    )
    record.save_fingerprint(trained.config)
    mask = Path(trained.config.data.folder) / "masks/1.png"
    mask.write_bytes(mask.read_bytes())
    record.save_fingerprint(trained.config)
    assert seen == ["0", "1", "2", "1"]
    assert json.loads((tmp_path / "live/fingerprint.json").read_text())["labelled"] == 3


def test_the_log_stays_short(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "EVENTS", 10)
    record = Record(tmp_path, command="")
    for step in range(1, 1000):
        record.note(step, loss=1.0)
    assert len(record._events) <= 10
    assert record._events[-1]["step"] == 999


def test_a_run_of_another_kind_is_left_alone(trained):
    before = contents(trained.path)
    with pytest.raises(CheckpointError, match="trained is a run that no studio has trained; move it elsewhere"):
        Record(trained.path, command="").restore()
    assert contents(trained.path) == before
