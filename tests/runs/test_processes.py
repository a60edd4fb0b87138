import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
from reference import tiny
from reference.processes import ends, start
from reference.two_processes import LENGTH

from tinyunet.errors import ConfigError
from tinyunet.runs.processes import Wishes, is_main, join, launched_together, tell, tell_arrays
from tinyunet.training.log import read_log

STEPS = 50


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone(root):
    """The training of one process."""
    assert tiny.command("train", tiny.write_pairs(root / "cells"), "--out", root / "alone", *LENGTH) == 0
    return root / "alone"


@pytest.fixture(scope="module")
def said(root, alone):
    """Exit status, stdout and stderr of two processes that train as tests/reference/two_processes.py says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = ("two_processes.py", root / "cells", root, address)
    return ends(*(start(*program, f"{place}/2") for place in range(2)))


def of(run, kind):
    return [event for event in read_log(run / "metrics.jsonl") if event["event"] == kind]


def score(run):
    return of(run, "validate")[-1]["score"]


def losses(run):
    return np.array([event["loss"] for event in of(run, "train")])


def test_two_processes_compute_what_one_does(root, said, alone):
    difference = np.abs(losses(root / "whole") - losses(alone))
    assert len(difference) == STEPS
    assert difference[:10].max() < 1e-4
    assert difference[-1] < 2e-3
    assert abs(score(root / "whole") - score(alone)) < 5e-3


def test_only_the_first_process_speaks_and_writes(root, said, alone):
    run, ((_, first, progress), (_, second, silence)) = root / "whole", said
    assert f"weights  {run / 'model.safetensors'}" in first
    assert "Trained in" in progress
    assert (second.split(), silence) == (["returned", "0"] * 2, "")
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert len(of(run, "start")) == len(of(run, "end")) == 1
    assert (of(run, "start")[0]["processes"], len(of(run, "start")[0]["devices"])) == (2, 2)


def test_a_signal_to_one_stops_all_and_they_go_on_to_the_same_bits(root, said):
    assert "Stopped after" in said[0][2]
    assert "Going on after step 11." in said[0][2]  # the signal comes with step 10, and is known to all one later
    steps = of(root / "killed", "train")[-1]["step"]
    assert steps > 25
    np.testing.assert_array_equal(losses(root / "killed"), losses(root / "whole")[:steps])


def test_when_one_is_killed_the_other_says_which_and_ends(root, said):
    (status, _, text), (other, *_) = said
    assert (status, other) == (2, -signal.SIGKILL)
    assert "Going on" in text
    (error,) = (line for line in text.splitlines() if "error" in line)
    assert re.fullmatch(
        r"error: Process 1 of 2 on \S+ has died: it has not been heard of for \d+ s\. Start all processes again, "
        rf"with tinyunet train --resume {re.escape(str(root / 'killed'))}\.",
        error,
    )


def test_one_process_can_go_on_with_what_two_began(root, said, alone):
    run = root / "killed"
    assert of(run, "train")[-1]["step"] < STEPS
    assert tiny.command("train", "--resume", run) == 0
    assert abs(losses(run) - losses(alone))[-1] < 2e-3
    assert abs(score(run) - score(alone)) < 5e-3


@pytest.mark.parametrize(
    ("coordinator", "process", "text"),
    [
        ("node1:1234", None, "`--coordinator HOST:PORT` and `--process I/N` belong together: give both, or "),
        (None, "0/2", "`--coordinator HOST:PORT` and `--process I/N` belong together: give both, or "),
        ("auto", "0/2", "`--coordinator HOST:PORT` and `--process I/N` belong together: give both, or "),
        ("node1", "0/2", "`--coordinator` must be HOST:PORT, such as node1:12345, got 'node1'."),
        ("node1:", "0/2", "`--coordinator` must be HOST:PORT, such as node1:12345, got 'node1:'."),
        ("node1:1234", "2/2", "`--process` must be I/N with I from 0 to N - 1, such as 0/2, got '2/2'."),
        ("node1:1234", "1", "`--process` must be I/N with I from 0 to N - 1, such as 0/2, got '1'."),
        ("node1:1234", "-1/2", "`--process` must be I/N with I from 0 to N - 1, such as 0/2, got '-1/2'."),
    ],
)
def test_places_that_make_no_sense_are_refused(coordinator, process, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
        join(coordinator, process)


def test_processes_that_do_not_answer_are_one_line():
    program = (
        "from tinyunet.runs import processes; processes.START_SECONDS = 1;"
        "processes.join('127.0.0.1:9', '1/2')"  # where nobody listens
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: Process 1/2 cannot join the others at 127.0.0.1:9: they do not answer. Start all within 1 s, each with "
        "the address of process 0, whose port must be free and open.\n"
    )


def test_what_jax_cannot_do_is_one_line(monkeypatch):
    def fails(**options):
        raise RuntimeError("DEADLINE_EXCEEDED: nobody there.\nMore of it")

    monkeypatch.setattr("jax.distributed.initialize", fails)
    text = "Process 1/2 cannot join the others at node1:1234: DEADLINE_EXCEEDED: nobody there. Start all within 300 s"
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
        join("node1:1234", "1/2")
    with pytest.raises(ConfigError, match=r"^The processes cannot join: DEADLINE_EXCEEDED"):
        join("auto", None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "4"}, False),  # in a job, but not started by srun
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "node[1-4]"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "node1"}, False),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2"}, True),
    ],
)
def test_launchers_are_known_by_the_environment(monkeypatch, environment, expected):
    for name in ("SLURM_NTASKS", "SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_together() is expected
    joined = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **options: joined.append(options))
    monkeypatch.setattr("jax.experimental.multihost_utils.sync_global_devices", lambda name: None)
    join(None, None)
    assert len(joined) == expected


def test_a_process_alone_is_the_first_and_has_its_way():
    assert is_main()
    assert tell((3, "a")) == (3, "a")
    tree = {"a": np.arange(3)}
    assert tell_arrays(tree) is tree
    assert Wishes()(True, False) == (True, False)
