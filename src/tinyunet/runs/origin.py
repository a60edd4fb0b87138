"""Where a training comes from: the machine, the versions, and the command that began it."""

import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tinyunet import __version__
from tinyunet.layers.paths import instruction_set
from tinyunet.runs.machine import cores, installed_memory
from tinyunet.runs.session import Session


def origin_of(session: Session) -> dict[str, Any]:
    """What the report says of where and how a training runs."""
    return {
        "steps": session.config.train.steps,
        "version": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": [device.device_kind for device in session.placement.devices],
        "processes": jax.process_count(),
        "cores": cores(),
        "kernels": instruction_set() or "XLA",
        "memory_bytes": installed_memory(),
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(session.variables["params"])),
    }


def command_of(data: Path, out: Path, options: Mapping[str, Any]) -> str:
    """The command that began this process, or the call that repeats a training begun from Python."""
    program = Path(sys.argv[0])
    if program.stem == "tinyunet" or program.parts[-2:] == ("tinyunet", "__main__.py"):
        return shlex.join(["tinyunet", *sys.argv[1:]])
    plain = ((name, str(value) if isinstance(value, Path) else value) for name, value in options.items())
    given = (f"{name}={value!r}" for name, value in plain if value not in (None, []))
    return f"tinyunet.train({', '.join([repr(str(data)), repr(str(out)), *given])})"
