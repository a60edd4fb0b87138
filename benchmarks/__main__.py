"""Runs every benchmark that needs no data of one's own, one after the other, and puts what they say in one folder."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SUITE = {
    "convolution": ("--rounds", "7"),
    "step": ("--rounds", "7", "--turn-seconds", "0.5"),
    "volumes": ("--rounds", "7", "--turn-seconds", "0.5"),
    "images": (),
    "start": (),
    "augmentation": (),
    "loading": (),
}
"""The scripts and their options."""
QUICK = {
    "convolution": ("--rounds", "3"),
    "step": ("--rounds", "3", "--turn-seconds", "0.2", "--cases", "seed16", "tiny"),
    "volumes": ("--rounds", "3", "--turn-seconds", "0.2"),
    "images": ("--rounds", "1", "--sides", "1000", "4000"),
    "start": ("--rounds", "3", "--heavy-rounds", "1"),
    "augmentation": ("--rounds", "5"),
    "loading": ("--steps", "20", "--batches", "50"),
}
"""The same for a first look."""


def run_all(names: Sequence[str], out: Path, *, quick: bool) -> list[str]:
    """Runs scripts in processes of their own; one that fails does not keep the others from running.

    Args:
        names: Of the scripts.
        out: The folder for NAME.json, NAME.md and the chart.
        quick: With few rounds.

    Returns:
        The names of those that failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        began = time.monotonic()
        print(f"{name} …", file=sys.stderr, end=" ", flush=True)
        options = (QUICK if quick else SUITE)[name]
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--markdown", "--json", out / f"{name}.json"]
        with (out / f"{name}.md").open("w", encoding="utf-8") as said, (out / f"{name}.log").open("w") as log:
            status = subprocess.run(command, stdout=said, stderr=log).returncode
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
        if status:
            failed.append(name)
            print(f"{name} ended with status {status}; {out / f'{name}.log'} says why.", file=sys.stderr)
    return failed


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="for tables, figures and the chart")
    parser.add_argument("--only", nargs="+", choices=SUITE, default=list(SUITE), help="which (default all)")
    parser.add_argument("--quick", action="store_true", help="few rounds and cases: minutes instead of an hour")
    arguments = parser.parse_args(argv)
    failed = run_all(arguments.only, arguments.out, quick=arguments.quick)
    drawn = [file for name in ("step", "volumes") if (file := arguments.out / f"{name}.json").exists()]
    if drawn:
        from benchmarks.chart import draw

        draw(drawn, arguments.out / "speed.png")
    for name in arguments.only:
        print((arguments.out / f"{name}.md").read_text(encoding="utf-8"))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
