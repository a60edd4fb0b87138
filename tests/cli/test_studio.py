"""The command that serves a folder to be painted."""

import socket

import pytest
from reference.tiny import command, save

from tinyunet.data.lock import Lock


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "`--port` must be from 0"),
        (["--preset", "tinny"], "No preset is called 'tinny'"),
        (["--features", "0"], "`model.features` must be from 1"),
        (["--seed", "-1"], "`seed` must be in [0, 2^32)"),
        (["--host", "no.such.host.invalid"], "is no name or address"),
        (["--allow-host", "a/b"], "`--allow-host` must be one name"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_options_that_cannot_be_are_one_line(tmp_path, capsys, options, words):
    assert command("studio", tmp_path / "cells", "--port", "0", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not (tmp_path / "cells").exists()


def test_a_port_in_use_is_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert command("studio", tmp_path / "cells", "--port", taken.getsockname()[1]) == 2
    assert "is in use: stop what listens there, or choose another with --port" in capsys.readouterr().err


def test_a_folder_that_cannot_be_painted_is_one_line(tmp_path, capsys):
    save(tmp_path / "holiday/a.npy", [1])
    assert command("studio", tmp_path / "holiday", "--port", "0") == 2
    assert "must be empty or a data set with images/ and masks/" in capsys.readouterr().err
    (tmp_path / "cells/.studio").mkdir(parents=True)
    lock = Lock(tmp_path / "cells/.studio/lock", refusal="")
    assert command("studio", tmp_path / "cells", "--port", "0") == 2
    lock.release()
    assert "is open in another studio" in capsys.readouterr().err
