"""Timing peers fairly: in turn, A B C A B C, so that whatever disturbs the machine disturbs all of them."""

import datetime
import math
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

Call = Callable[[], object]
"""One unit of work that has ended when it returns: an asynchronous result must be waited for inside."""

LIBRARIES = ("tinyunet", "tinyunet-native", "jax", "flax", "numpy", "torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity.

    Args:
        values: In the order they were taken, at least one.

    Example:
        >>> Spread((0.010, 0.012, 0.030)).text(scale=1000, digits=0)
        '12 (10–30)'
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value: one disturbed round does not move it."""
        return statistics.median(self.values)

    def over(self, other: "Spread") -> "Spread":
        """The ratios to another quantity, round by round: both sides of a pair saw the same machine."""
        return Spread(tuple(mine / its for mine, its in zip(self.values, other.values, strict=True)))

    def text(self, *, scale: float = 1.0, digits: int = 2) -> str:
        """Median, and minimum to maximum in brackets, each multiplied by `scale`."""
        shown = [f"{scale * value:.{digits}f}" for value in (self.median, min(self.values), max(self.values))]
        return f"{shown[0]} ({shown[1]}–{shown[2]})"


def nothing() -> None:
    """Ends what has ended already."""


def time_call(call: Call, *, calls: int = 1, wait: Call = nothing) -> float:
    """Seconds of one call, as the mean of `calls` in a row.

    Args:
        call: What is timed.
        calls: How often.
        wait: Ends what the calls have only begun; its time counts.
    """
    began = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return (time.perf_counter() - began) / calls


def calls_per_turn(seconds_per_call: float, *, turn_seconds: float) -> int:
    """How many calls fill a turn, at least one.

    Example:
        >>> calls_per_turn(0.3, turn_seconds=1.0), calls_per_turn(5.0, turn_seconds=1.0)
        (4, 1)
    """
    return max(1, math.ceil(turn_seconds / max(seconds_per_call, 1e-9)))


def turns(names: Sequence[str], *, rounds: int) -> Iterator[str]:
    """Whose turn it is: every name once a round, in the same order.

    Example:
        >>> "".join(turns("ABC", rounds=2))
        'ABCABC'
    """
    return (name for _ in range(rounds) for name in names)


def in_turn(calls: Mapping[str, Call], *, rounds: int, turn_seconds: float = 0.0) -> dict[str, Spread]:
    """Times calls of this process in turn, after two of each that do not count: the first one compiles.

    Args:
        calls: What to time, by name.
        rounds: Measurements of each.
        turn_seconds: A call shorter than this is repeated to fill it; the measurement is the mean.
    """
    counts = {}
    for name, call in calls.items():
        call()
        counts[name] = calls_per_turn(time_call(call), turn_seconds=turn_seconds)
    values: dict[str, list[float]] = {name: [] for name in calls}
    for name in turns(list(calls), rounds=rounds):
        values[name].append(time_call(calls[name], calls=counts[name]))
    return {name: Spread(tuple(seconds)) for name, seconds in values.items()}


def cores() -> int:
    """Cores this process may use; every peer is given as many threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_bytes() -> int:
    """The largest resident memory this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux a new process begins with the maximum of the one that started it.
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    # macOS counts in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine() -> dict[str, Any]:
    """Where, when and with what a measurement is made. A high load says that the machine was not free."""
    return {
        "processor": _processor(),
        **_card(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version for name in LIBRARIES if (version := _version(name))},
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def machine_line(facts: Mapping[str, Any]) -> str:
    """The same in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    card = f"{facts['card']}; " if "card" in facts else ""
    return (
        f"{card}{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB, load {facts['load']} before; "
        f"Python {facts['python']}, {versions}; commit {facts['commit']}, {facts['date']}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _card() -> dict[str, str]:
    """The graphics card and its driver as NVIDIA's tool names them; nothing where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return {}
    name, memory, driver = found.stdout.splitlines()[0].split(", ")
    return {"card": f"{name} ({memory}, driver {driver})"}


def _version(name: str) -> str | None:
    """Of an installed distribution, without importing it; None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """The checkout's commit, and whether files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip() + (" with changes" if changed.stdout.strip() else "")
