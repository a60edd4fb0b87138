"""How long does a command take from nothing: help, import, the first training step, the first prediction?"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Spread, machine, turns
from benchmarks.present import Table, add_output_options, present
from benchmarks.whole import TINYUNET, Finished, run

Start = Callable[[], Finished]


def light_starts(cache: Path) -> dict[str, Start]:
    """What must be quick, beside an interpreter that does nothing."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import tinyunet": [sys.executable, "-c", "import tinyunet"],
        "tinyunet --help": [*TINYUNET, "--help"],
    }
    return {name: lambda command=command: run(command, cache=cache) for name, command in commands.items()}


def heavy_starts(folder: Path, *, size: int, settings: Sequence[str]) -> dict[str, Start]:
    """A short training and predicting one image, with an empty compilation cache and with a filled one.

    Of the training, the time to the end of its first step counts: when that step's loss stands in the log.

    The cold start of each fills the cache of the warm one, and the trainings make the run that the predictions use.

    Args:
        folder: An empty folder to work in.
        size: Height and width of the images in pixels.
        settings: Values over the product's defaults, as `key=value`.
    """
    from tinyunet.data.synthetic import write_cells

    data, model, cache = folder / "cells", folder / "run", folder / "cache"
    write_cells(data, train=4, val=1, test=1, shape=(size, size))
    options = [option for setting in settings for option in ("--set", setting)]
    # One validation, at the end: nothing but the first step comes before its loss is written down.
    length = ["--steps", "2", "--set", "train.validations=1"]
    train = [*TINYUNET, "train", data, "--out", model, *length, "--overwrite", "--quiet", *options]
    predict = [*TINYUNET, "predict", model, data / "images" / "test-000.png", "--out", folder / "masks", "--quiet"]

    def cold(name: str, start: Start) -> Finished:
        shutil.rmtree(cache / name, ignore_errors=True)
        return start()

    def first_step() -> Finished:
        shutil.rmtree(model, ignore_errors=True)
        return run(train, cache=cache / "train", until=lambda: has_stepped(model / "metrics.jsonl"))

    def prediction() -> Finished:
        return run(predict, cache=cache / "predict")

    return {
        "first step of a training, cold": lambda: cold("train", first_step),
        "first step of a training, warm": first_step,
        f"predict {size}², cold": lambda: cold("predict", prediction),
        f"predict {size}², warm": prediction,
    }


def has_stepped(log: Path) -> bool:
    """Whether a training has written down the loss of its first step."""
    return log.exists() and '"event": "train", "step": 1' in log.read_text(encoding="utf-8")


def measure(starts: Mapping[str, Start], *, rounds: int) -> dict[str, list[Finished]]:
    """Every start in turn, `rounds` times."""
    found: dict[str, list[Finished]] = {name: [] for name in starts}
    for name in turns(list(starts), rounds=rounds):
        found[name].append(starts[name]())
    return found


def tabulate(found: Mapping[str, Sequence[Finished]]) -> Table:
    """One row for each start."""
    rows = tuple(
        (
            name,
            Spread(tuple(finished.seconds for finished in all_rounds)).text(),
            round(max(finished.peak_bytes for finished in all_rounds) / 2**20),
        )
        for name, all_rounds in found.items()
    )
    title = "From the start of the process, to its exit if nothing else is said"
    return Table(title, ("", "s, median (min–max)", "peak MiB"), rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="measurements of the light ones (default 10)")
    parser.add_argument("--heavy-rounds", type=int, default=3, help="of training and prediction (default 3; 0: none)")
    parser.add_argument("--size", type=int, default=512, help="height and width of the images (default 512)")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="as in train")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        light = light_starts(folder)
        measure(light, rounds=1)  # reads the files into the system's memory, and does not count
        found = measure(light, rounds=arguments.rounds)
        if arguments.heavy_rounds:
            heavy = heavy_starts(folder, size=arguments.size, settings=arguments.settings)
            found |= measure(heavy, rounds=arguments.heavy_rounds)
    raw = {
        name: {"seconds": [f.seconds for f in all_rounds], "peak_bytes": [f.peak_bytes for f in all_rounds]}
        for name, all_rounds in found.items()
    }
    present(arguments, question="Start-up", machine=facts, tables=[tabulate(found)], raw=raw)


if __name__ == "__main__":
    main()
