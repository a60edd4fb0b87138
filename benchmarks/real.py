"""What scores does a training of so many minutes reach on a data set, processes started and programs compiled anew?"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.present import Cell, Table, add_output_options, present
from benchmarks.scores import further, mean, pick, pick_baseline
from benchmarks.whole import Training, train_and_evaluate

COSTS: Mapping[str, Callable[[Training], float]] = {
    "steps": lambda training: training.steps,
    "training, s": lambda training: training.train.seconds,
    "evaluation, s": lambda training: training.evaluate.seconds,
    "peak memory of the training, MiB": lambda training: training.train.peak_bytes / 2**20,
    "peak memory of the evaluation, MiB": lambda training: training.evaluate.peak_bytes / 2**20,
    "share of time waiting for data": lambda training: training.waiting,
}


def tabulate(trainings: Mapping[int, Training], *, title: str) -> Table:
    """A row for each score and cost; columns for the mean, for each seed, and for no learning at all."""
    scores = {seed: pick(training.scores) | further(training.scores) for seed, training in trainings.items()}
    otsu = pick_baseline(next(iter(trainings.values())).scores)
    rows: list[tuple[Cell, ...]] = []
    for name in next(iter(scores.values())):
        values = [scores[seed][name] for seed in trainings]
        if any(value is not None for value in values):
            rows.append((name, *(_score(value) for value in (mean(values), *values, otsu.get(name)))))
    for name, cost in COSTS.items():
        costs = [cost(training) for training in trainings.values()]
        rows.append(
            (name, *(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in (mean(costs), *costs)), None)
        )
    header = ("", "mean", *(f"seed {seed}" for seed in trainings), "Otsu's threshold")
    return Table(title, header, tuple(rows))


def _score(value: float | None) -> Cell:
    return None if value is None else f"{value:.4f}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument(
        "--data", metavar="FOLDER", type=Path, required=True, help="a data-set folder with a test split"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", metavar="M", type=float, default=10.0, help="of every training (default 10)")
    length.add_argument("--steps", metavar="N", type=int, help="instead of minutes, for a trial")
    parser.add_argument("--seeds", metavar="S", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="as in train")
    parser.add_argument("--tta", action="store_true", help="evaluate with test-time augmentation")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep the runs there; otherwise they are thrown away")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    chosen = ["--minutes", f"{arguments.minutes:g}"] if arguments.steps is None else ["--steps", str(arguments.steps)]
    trainings = {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            trainings[seed] = train_and_evaluate(
                arguments.data,
                (arguments.out or Path(temporary)) / f"seed-{seed}",
                length=chosen,
                seed=seed,
                settings=arguments.settings,
                tta=arguments.tta,
            )
    amount = f"{chosen[1]} {chosen[0].removeprefix('--')}"
    options = [*arguments.settings, *(["test-time augmentation"] if arguments.tta else [])]
    title = f"{arguments.data.resolve().name}, {amount} from scratch, {', '.join(options) or 'the defaults'}"
    present(
        arguments,
        question=f"Scores after {amount} on {arguments.data.resolve().name}",
        machine=facts,
        tables=[tabulate(trainings, title=title)],
        raw={f"seed {seed}": dataclasses.asdict(training) for seed, training in trainings.items()},
    )


if __name__ == "__main__":
    main()
