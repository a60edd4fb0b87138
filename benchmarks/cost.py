"""What do a gigapixel and a training step cost, on one worker and on two, in time, memory and on the network?

Every worker is held to one core, so that two of them are two small machines; what they say to each other goes over the
loopback interface and is counted there. Linux only.
"""

import argparse
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from benchmarks.present import Table, add_output_options, present
from benchmarks.streaming import add_work_options, mosaic, prepared, proportional_bytes, watch
from benchmarks.whole import TINYUNET, run

WORKERS = (1, 2)
GIGA = 1e9


@dataclass(frozen=True)
class Predicted:
    """One prediction by workers of Dask.

    Attributes:
        workers: How many, each on one core.
        pixels: Of the image.
        seconds: Of the command, from start to exit.
        worker_seconds: Of processor time, summed over the workers.
        command_seconds: Of processor time of the command, which writes what the workers send.
        network_bytes: Sent over the loopback interface meanwhile.
        read_bytes: Of files, by all workers.
        worker_bytes: The largest proportional set size of a worker at the end.
    """

    workers: int
    pixels: int
    seconds: float
    worker_seconds: float
    command_seconds: float
    network_bytes: int
    read_bytes: int
    worker_bytes: int


@dataclass(frozen=True)
class Trained:
    """One training by processes.

    Attributes:
        processes: How many, each on one core, with the same samples each.
        step_seconds: Of one step, the first tenth left out.
        network_bytes: Sent over the loopback interface per step.
        process_bytes: The largest sum of proportional set sizes, divided by the processes.
    """

    processes: int
    step_seconds: float
    network_bytes: float
    process_bytes: float


def loopback_bytes() -> int:
    """All that has been sent over the loopback interface since the machine was started."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[8])
    raise RuntimeError("/proc/net/dev does not list the loopback interface; the network cannot be counted here.")


def processor_seconds(process: int) -> float:
    """Processor time that a process has used, its ended children included."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def read_bytes(process: int) -> int:
    """What a process has read of files so far, whether or not they were in memory."""
    lines = Path(f"/proc/{process}/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("rchar:")))


def hold(core: int):
    """For `preexec_fn`: a process that begins is held to one core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def dask(count: int, folder: Path) -> Iterator[tuple[str, list[int]]]:
    """A scheduler and workers; its address, and the workers' process ids."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    log = (folder / "dask.log").open("ab")
    common = ["--host", "127.0.0.1", "--no-dashboard"]
    module = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    running = [subprocess.Popen([*module, *common, "--port", "0", "--scheduler-file", file], stdout=log, stderr=log)]
    try:
        deadline = time.monotonic() + 30
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *common]
        worker += ["--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--local-directory", folder]
        running += [
            subprocess.Popen(worker, stdout=log, stderr=log, preexec_fn=hold(core % (os.cpu_count() or 1)))
            for core in range(count)
        ]
        time.sleep(5)  # until they have registered
        yield address, [process.pid for process in running[1:]]
    finally:
        for process in reversed(running):  # the workers before their scheduler
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


def predict(trained: Path, image: Path, *, workers: int, pixels: int, work: Path) -> Predicted:
    """Predicts an image by new workers, which compile before it counts."""
    side = math.isqrt(pixels)
    part = f"0:{min(side, 3000)},0:{min(side, 1100)}"
    with dask(workers, work) as (address, processes):
        command = [*TINYUNET, "predict", trained, image, "--dask", address, "--quiet"]
        run([*command, "--out", work / "first", "--region", part], cache=work / "cache")
        before = [processor_seconds(process) for process in processes]
        had_read = sum(map(read_bytes, processes))
        sent, began = loopback_bytes(), time.perf_counter()
        finished = subprocess.Popen([*command, "--out", work / f"masks-{workers}-{pixels}"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(finished.pid, 0)
        seconds = time.perf_counter() - began
        finished.returncode = os.waitstatus_to_exitcode(status)
        if finished.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))} ended with status {finished.returncode}.")
        return Predicted(
            workers=workers,
            pixels=pixels,
            seconds=seconds,
            worker_seconds=sum(map(processor_seconds, processes)) - sum(before),
            command_seconds=usage.ru_utime + usage.ru_stime,
            network_bytes=loopback_bytes() - sent,
            read_bytes=sum(map(read_bytes, processes)) - had_read,
            worker_bytes=max(map(proportional_bytes, processes)),
        )


_TRAIN = """
import os, subprocess, sys
count, command = int(sys.argv[1]), sys.argv[2:]
apart = [["--coordinator", "127.0.0.1:" + os.environ["PORT"], "--process", f"{n}/{count}"] for n in range(count)]
running = [
    subprocess.Popen([*command, *(apart[n] if count > 1 else [])], preexec_fn=lambda n=n: os.sched_setaffinity(0, {n}))
    for n in range(count)
]
sys.exit(max(process.wait() for process in running))
"""


def train(data: Path, *, processes: int, samples: int, steps: int, work: Path) -> Trained:
    """Trains with so many samples in each process and step."""
    out = work / f"trained-{processes}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        os.environ["PORT"] = str(probe.getsockname()[1])
    command = [*TINYUNET, "train", data, "--out", out, "--overwrite", "--steps", steps, "--quiet"]
    settings = (f"batches.batch={processes * samples}", "train.validations=1", "train.checkpoint_seconds=1e6")
    command += [option for setting in settings for option in ("--set", setting)]
    sent = loopback_bytes()
    watched = watch(list(map(str, [sys.executable, "-c", _TRAIN, processes, *command])))
    network = (loopback_bytes() - sent) / steps
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    looks = [event for event in map(json.loads, lines) if event["event"] == "train"]
    early = next(event for event in looks if event["step"] >= steps / 10)
    late = [event for event in looks if event["step"] < steps][-1]
    seconds = (late["seconds"] - early["seconds"]) / (late["step"] - early["step"])
    return Trained(processes, seconds, network, watched.peak_bytes / processes)


def fit(found: Sequence[Predicted]) -> dict[str, float]:
    """The coefficients of the model of cost, by least squares over all predictions.

        worker seconds  = a + w gigapixels          command seconds = b + c gigapixels
        network bytes   = d + n gigapixels          read bytes      = e + r gigapixels
        seconds         = s + w gigapixels / workers

    Returns:
        `w`, `c` in seconds and `n`, `r` in bytes a gigapixel, `s` in seconds.
    """
    giga = np.array([one.pixels / GIGA for one in found])
    line = np.stack([np.ones_like(giga), giga], axis=1)

    def slope(values: Sequence[float]) -> float:
        return float(np.linalg.lstsq(line, np.array(values, float), rcond=None)[0][1])

    shares = [one.pixels / GIGA / one.workers for one in found]
    each = slope([one.worker_seconds for one in found])
    return {
        "worker_seconds": each,
        "command_seconds": slope([one.command_seconds for one in found]),
        "network_bytes": slope([one.network_bytes for one in found]),
        "read_bytes": slope([one.read_bytes for one in found]),
        "start_seconds": float(np.mean([one.seconds - each * share for one, share in zip(found, shares, strict=True)])),
        "worker_bytes": float(max(one.worker_bytes for one in found)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[5000, 10000], help="of images (default 5000 10000)")
    parser.add_argument("--steps", type=int, default=200, help="of each training (default 200)")
    parser.add_argument("--samples", type=int, default=4, help="of a process and step (default 4)")
    add_work_options(parser)
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    with prepared(arguments) as (work, data, trained):
        predicted: list[Predicted] = []
        for side in arguments.sides:
            image = mosaic(work, data, height=side, width=side)
            predicted += [predict(trained, image, workers=n, pixels=side * side, work=work) for n in WORKERS]
        options = {"samples": arguments.samples, "steps": arguments.steps, "work": work}
        steps = [train(data, processes=n, **options) for n in WORKERS]
    coefficients = fit(predicted)
    header = ("workers", "megapixels", "s", "s of workers", "s of the command", "MB sent", "MB read", "MiB of a worker")
    rows = tuple(
        (
            str(one.workers),
            one.pixels / 1e6,
            one.seconds,
            one.worker_seconds,
            one.command_seconds,
            one.network_bytes / 1e6,
            one.read_bytes / 1e6,
            round(one.worker_bytes / 2**20),
        )
        for one in predicted
    )
    fitted = (
        ("processor time of workers, s a gigapixel", coefficients["worker_seconds"]),
        ("processor time of the command, s a gigapixel", coefficients["command_seconds"]),
        ("sent to the command, MB a gigapixel", coefficients["network_bytes"] / 1e6),
        ("read by workers, MB a gigapixel", coefficients["read_bytes"] / 1e6),
        ("start and end, s", coefficients["start_seconds"]),
    )
    trainings = tuple(
        (str(one.processes), one.step_seconds, one.network_bytes / 1e6, round(one.process_bytes / 2**20))
        for one in steps
    )
    present(
        arguments,
        question="What a gigapixel and a training step cost",
        machine=facts,
        tables=[
            Table("Prediction by workers of one core each", header, rows),
            Table("Fitted to it", ("", ""), fitted),
            Table(
                f"Training, {arguments.samples} samples a process, one core each",
                ("processes", "s a step", "MB sent a step", "MiB of a process"),
                trainings,
            ),
        ],
        raw={
            "predicted": [asdict(one) for one in predicted],
            "fitted": coefficients,
            "trained": [asdict(one) for one in steps],
        },
    )


if __name__ == "__main__":
    main()
