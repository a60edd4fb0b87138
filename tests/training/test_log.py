import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.errors import CheckpointError
from tinyunet.training.log import Log, read_log

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "metrics.jsonl")


def test_a_line_by_hand(log):
    log.write("train", 3, loss=0.5, note="≤ 1 \u2028")
    assert log.path.read_text(encoding="utf-8") == (
        '{"event": "train", "step": 3, "loss": 0.5, "note": "\\u2264 1 \\u2028"}\n'
    )


def test_events_come_back_in_order(log):
    log.write("start", 0)
    Log(log.path).write("train", 1, loss=0.25)
    assert list(read_log(log.path)) == [{"event": "start", "step": 0}, {"event": "train", "step": 1, "loss": 0.25}]


@given(value=PLAIN)
def test_every_plain_value_comes_back(tmp_path_factory, value):
    log = Log(tmp_path_factory.mktemp("log") / "metrics.jsonl")
    log.write("note", 1, value=value)
    assert list(read_log(log.path)) == [{"event": "note", "step": 1, "value": value}]


def test_numbers_that_are_not_finite_become_null(log):
    values = {"loss": math.nan, "dice": [0.5, math.inf], "deep": {"a": (-math.inf, 1)}}
    log.write("validate", 1, **values)
    (event,) = read_log(log.path)
    assert event == {"event": "validate", "step": 1, "loss": None, "dice": [0.5, None], "deep": {"a": [None, 1]}}
    assert math.isnan(values["loss"])


def test_a_log_that_is_not_there_is_empty(log):
    assert list(read_log(log.path)) == []


def test_a_last_line_that_was_cut_short_is_passed_over(log):
    log.write("train", 1)
    whole = log.path.read_text()
    log.write("train", 22)
    line = log.path.read_text().removeprefix(whole)
    for length in range(len(line) - 1):
        log.path.write_text(whole + line[:length])
        assert [event["step"] for event in read_log(log.path)] == [1]


def test_a_damaged_line_before_the_last_is_named(log):
    log.path.write_text('{"event": "train", "step": 1}\n{"event"\n{"event": "train", "step": 3}\n')
    message = f"^{re.escape(str(log.path))}, line 2 is not JSON; restore the file or remove it\\.$"
    with pytest.raises(CheckpointError, match=message):
        list(read_log(log.path))


def test_cutting_removes_what_a_resumed_training_does_again(log):
    log.write("start", 0)
    for step in (5, 10, 15):
        log.write("train", step)
    log.write("end", 10, reason="stopped")
    log.cut(10)
    assert [(event["event"], event["step"]) for event in read_log(log.path)] == [
        ("start", 0),
        ("train", 5),
        ("train", 10),
    ]


def test_cutting_drops_a_half_written_line_so_that_the_next_one_is_whole(log):
    log.write("train", 1)
    with log.path.open("a") as file:
        file.write('{"event": "tr')
    log.cut(1)
    log.write("train", 2)
    assert [event["step"] for event in read_log(log.path)] == [1, 2]


def test_cutting_at_the_end_changes_nothing(log):
    log.write("train", 1, dice=[0.1, 1e-17], text="ü")
    before = log.path.read_bytes()
    log.cut(1)
    assert log.path.read_bytes() == before
    assert all(json.loads(line) for line in log.path.read_text().splitlines())
