"""Whole commands in processes of their own: their time from start to exit, and their memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINYUNET = (sys.executable, "-m", "tinyunet")


@dataclass(frozen=True)
class Finished:
    """A process that has ended well.

    Args:
        seconds: From its start to its exit, or to what was waited for.
        peak_bytes: Its largest resident memory.
    """

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Training:
    """What one training and its evaluation came to.

    Args:
        train: The process of the training.
        evaluate: The process of the evaluation.
        parameters: Trainable numbers.
        steps: Steps done.
        step_seconds: Seconds of one step, the first left out, with all that happened between steps.
        waiting: Share of that time spent waiting for data.
        scores: The evaluation, as `tinyunet evaluate --json` writes it.
    """

    train: Finished
    evaluate: Finished
    parameters: int
    steps: int
    step_seconds: float
    waiting: float
    scores: dict[str, Any]


def run(command: Sequence[str | Path], *, cache: Path, until: Callable[[], bool] | None = None) -> Finished:
    """Runs a command to its end.

    Args:
        command: What to run.
        cache: The user's cache folder for this process, which holds compiled programs: an empty one is a cold start.
        until: Asked every hundredth of a second; the seconds are those until it first holds.

    Raises:
        RuntimeError: It failed; the message has the end of what it printed.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        if until is not None:
            alive = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while not until() and os.waitid(os.P_PID, process.pid, alive) is None:
                time.sleep(0.01)
        reached = time.perf_counter() - began
        # Not `wait`: only wait4 tells this process's own memory from that of the others before it. On Linux it is never
        # below the memory of the process that asks, so the scripts that show it import nothing heavy themselves.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began if until is None else reached
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(map(str, command))} ended with status {process.returncode}:\n{said}")
    return Finished(seconds, usage.ru_maxrss * 1024)


def train_and_evaluate(
    data: Path, out: Path, *, length: Sequence[str], seed: int, settings: Sequence[str], tta: bool = False
) -> Training:
    """`tinyunet train`, then `tinyunet evaluate` on the test images, starting with nothing compiled.

    Args:
        data: A data-set folder.
        out: The run folder to make.
        length: `--minutes M` or `--steps N`.
        seed: Of everything random.
        settings: Values over the product's defaults, as `key=value`.
        tta: Evaluate with test-time augmentation.
    """
    options = [option for setting in settings for option in ("--set", setting)]
    with tempfile.TemporaryDirectory() as cache:
        train = run(
            [*TINYUNET, "train", data, "--out", out, *length, "--seed", str(seed), "--quiet", *options],
            cache=Path(cache),
        )
        evaluate = run(
            [*TINYUNET, "evaluate", out, data, "--split", "test", "--quiet", *(["--tta"] if tta else [])],
            cache=Path(cache),
        )
    scores = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return Training(train, evaluate, **read_log(out), scores=scores)


def read_log(out: Path) -> dict[str, Any]:
    """`parameters`, `steps`, `step_seconds` and `waiting` from a run's log."""
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    start = next(event for event in events if event["event"] == "start")
    last = [event for event in events if event["event"] == "train"][-1]
    end = next(event for event in events if event["event"] == "end")
    return {
        "parameters": start["parameters"],
        "steps": end["step"],
        "step_seconds": 1 / last["steps_per_second"] if last["steps_per_second"] else float("nan"),
        "waiting": last["waiting"],
    }
