"""What does a graphics card do during a training step, and for how long?"""

import argparse
import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax

from benchmarks.measure import machine
from benchmarks.peers import ours
from benchmarks.peers.case import STEP, Case
from benchmarks.present import Table, add_output_options, present
from benchmarks.step import add_case_options, cases

QUESTION = "What a graphics card does during a training step"


def trace(case: Case, steps: int) -> list[tuple[str, float]]:
    """Name and seconds of everything that the card did in so many steps, those before not counted.

    Raises:
        SystemExit: There is no graphics card.
    """
    if jax.default_backend() != "gpu":
        raise SystemExit(f"JAX computes on the {jax.default_backend()} here; this looks into a graphics card.")
    work = ours.make(case)
    for _ in range(3):
        work.calls[STEP]()
    work.wait()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                work.calls[STEP]()
            work.wait()
        file = next(Path(folder).rglob("*.xplane.pb"))
        planes = jax.profiler.ProfileData.from_file(str(file)).planes
        lines = [line for plane in planes if plane.name.startswith("/device:GPU") for line in plane.lines]
        streams = [line for line in lines if line.name.startswith("Stream")]
        return [(event.name, event.duration_ns / 1e9) for stream in streams for event in stream.events]


def tabulate(case: Case, events: Iterable[tuple[str, float]], *, steps: int, most: int) -> list[Table]:
    """How long the card works for a step, and what takes longest.

    Args:
        case: For the title and the number of operations.
        events: Of all steps together.
        steps: How many.
        most: Rows of the second table.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for name, duration in events:
        seconds[name].append(duration)
    busy = sum(map(sum, seconds.values())) / steps
    whole = (
        ("busy, ms", 1000 * busy),
        ("kernels and copies", sum(map(len, seconds.values())) / steps),
        ("GFLOP/s of the convolutions, while busy", case.operations(STEP) / busy / 1e9),
    )
    longest = sorted(seconds.items(), key=lambda item: -sum(item[1]))[:most]
    rows = tuple((name[:80], 1000 * sum(found) / steps, len(found) / steps) for name, found in longest)
    return [
        Table(f"A training step, {case.title}", ("", "of a step"), whole),
        Table("What takes longest", ("", "ms of a step", "times a step"), rows),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    known = cases()
    parser.add_argument("--case", choices=known, default="large", help="which network (default large)")
    parser.add_argument("--steps", type=int, default=5, help="that are looked at (default 5)")
    parser.add_argument("--most", type=int, default=25, help="rows of what takes longest (default 25)")
    add_case_options(parser)
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    case = dataclasses.replace(known[arguments.case], dtype=arguments.dtype)
    facts, events = machine(), trace(case, arguments.steps)
    tables = tabulate(case, events, steps=arguments.steps, most=arguments.most)
    present(arguments, question=QUESTION, machine=facts, tables=tables, raw={"events": events})


if __name__ == "__main__":
    main()
