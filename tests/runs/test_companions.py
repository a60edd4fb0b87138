import atexit
import json
import time

import jax
import pytest

from tinyunet.errors import TrainingError
from tinyunet.runs import companions as module
from tinyunet.runs.companions import Companions


class Board:
    """What JAX's coordination service keeps, for one process that plays two."""

    def __init__(self):
        self.said = {}
        self.gone = False

    def key_value_set(self, key, text, *, allow_overwrite):
        assert allow_overwrite
        if self.gone:
            raise RuntimeError("UNAVAILABLE: Socket closed\nand more")
        self.said[key] = text

    def key_value_dir_get(self, prefix):
        return [(key, text) for key, text in self.said.items() if key.startswith(prefix)]

    def companion(self, process, *, ended=None, beat=1):
        text = json.dumps({"beat": beat, "host": f"node{process}", "ended": ended})
        self.said[f"tinyunet/alive/{process}"] = text


@pytest.fixture
def board(monkeypatch):
    found = Board()
    monkeypatch.setattr(module, "_client", lambda: found)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    for name, seconds in (("BEAT", 0.02), ("SILENT", 0.3), ("ALARMED", 0.2), ("GRACE", 0.2)):
        monkeypatch.setattr(module, f"{name}_SECONDS", seconds)
    return found


@pytest.fixture
def at_exit(monkeypatch):
    """What is registered to be done when the process ends."""
    registered = []
    monkeypatch.setattr(atexit, "register", lambda function, *arguments: registered.append(arguments))
    return registered


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def last_word(board, process=1):
    return json.loads(board.said[f"tinyunet/alive/{process}"])["ended"]


def test_of_one_process_nothing_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_client", lambda: pytest.fail("there is no board"))
    with Companions(tmp_path), pytest.raises(ValueError, match="no"):
        raise ValueError("no")


def test_while_all_are_alive_nothing_happens(board, tmp_path, at_exit):
    ended = []
    with Companions(tmp_path, end=ended.append):
        for beat in range(20):
            board.companion(0, beat=beat)
            time.sleep(0.03)
        assert last_word(board) is None
    assert (last_word(board), ended, at_exit) == ("", [], [])


def test_one_that_has_ended_well_is_not_missed(board, tmp_path):
    ended = []
    with Companions(tmp_path, end=ended.append):
        board.companion(0, ended="")
        time.sleep(0.6)
    assert ended == []


def test_one_that_falls_silent_is_named(board, tmp_path, capsys):
    (tmp_path / "config.toml").touch()
    ended = []
    with Companions(tmp_path, end=ended.append):
        board.companion(0)
        wait_for(lambda: ended)
    assert ended == [2]
    assert capsys.readouterr().err == (
        "error: Process 0 of 2 on node0 has died: it has not been heard of for 0 s. Start all processes again, with "
        f"tinyunet train --resume {tmp_path}.\n"
    )


def test_one_that_never_spoke_is_named_too(board, tmp_path, capsys):
    ended = []
    with Companions(tmp_path, end=ended.append):
        wait_for(lambda: ended)
    text = capsys.readouterr().err
    assert text.startswith("error: Process 0 of 2 has died")
    assert text.endswith("Start all processes again, with the same command.\n")


def test_the_error_that_ended_another_is_passed_on(board, tmp_path, capsys):
    ended = []
    with Companions(tmp_path, end=ended.append):
        board.companion(0, ended="The disk is full.")
        wait_for(lambda: ended)
    assert ended == [2]
    assert capsys.readouterr().err.startswith(
        "error: Process 0 of 2 on node0 was ended by an error: The disk is full. Start all"
    )


def test_an_error_that_all_meet_is_everyones_own(board, tmp_path, at_exit, capsys):
    ended = []
    with pytest.raises(TrainingError), Companions(tmp_path, end=ended.append):  # noqa: PT012
        board.companion(0, ended="The training diverged.")
        time.sleep(0.1)
        raise TrainingError("The training diverged.\nTwice")
    time.sleep(0.4)
    assert (ended, at_exit, last_word(board)) == ([], [(2,)], "The training diverged.")
    assert capsys.readouterr().err == ""


def test_without_a_board_the_first_process_is_gone(board, tmp_path, capsys):
    ended = []
    with Companions(tmp_path, end=ended.append):
        board.gone = True
        wait_for(lambda: ended)
    assert capsys.readouterr().err.startswith(
        "error: Process 0 of 2 cannot be reached (UNAVAILABLE: Socket closed). Start all"
    )


@pytest.mark.parametrize("kind", [jax.errors.JaxRuntimeError, ValueError])
def test_a_failed_computation_waits_for_the_name_of_the_culprit(board, tmp_path, at_exit, capsys, kind):
    ended = []
    with pytest.raises(kind, match="Gloo"), Companions(tmp_path, end=ended.append):  # noqa: PT012
        board.companion(0)
        raise kind("UNKNOWN: Gloo all-reduce failed: Read error [127.0.0.1]:23459: Connection reset by peer")
    assert ended == [2]
    assert "Process 0 of 2 on node0 has died" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyError("x"), 1), (OSError("x"), 2), (TrainingError("x"), 2), (KeyboardInterrupt("x"), 130)],
)
@pytest.mark.parametrize("gone", [False, True])
def test_an_error_ends_with_the_status_of_its_kind(board, tmp_path, at_exit, error, status, gone):
    with pytest.raises(type(error), match="x"), Companions(tmp_path, end=lambda status: None):  # noqa: PT012
        board.gone = gone
        raise error
    assert at_exit == [(status,)]
    assert gone or "x" in last_word(board)
