"""Programs below tests/reference in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import tinyunet

HERE = Path(__file__).parent
SECONDS = 240
"""No process may take longer: what hangs is a failure."""


def start(program, *arguments):
    """A process that runs a program."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(tinyunet.__file__).parents[1]), str(HERE.parent)]),
    }
    line = [sys.executable, str(HERE / program), *map(str, arguments)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(*started):
    """Exit status, stdout and stderr of processes."""
    try:
        said = [process.communicate(timeout=SECONDS) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(started, said, strict=True)]


def found_by(program, *arguments):
    """What a program prints as JSON."""
    ((status, text, errors),) = ends(start(program, *arguments))
    assert status == 0, errors
    return json.loads(text.splitlines()[-1])
