"""What do the skips and the way of upsampling contribute, all trained for the same number of steps?"""

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.present import Cell, Table, add_output_options, present
from benchmarks.scores import mean, pick
from benchmarks.whole import Training, train_and_evaluate

VARIANTS = {
    "concat, transpose": ("concat", "transpose"),
    "add, transpose": ("add", "transpose"),
    "none, transpose": ("none", "transpose"),
    "concat, bilinear": ("concat", "bilinear"),
    "concat, pixel_shuffle": ("concat", "pixel_shuffle"),
}
"""Skip and upsampling by name; the first is the founding page's."""

SCORES = ("Dice, all pixels", "Dice, mean of images", "F1 at 0.5", "AUC", "adapted Rand F, best threshold")


def tabulate(trainings: Mapping[str, Sequence[Training]], *, title: str) -> Table:
    """A row for each variant; scores are means over the seeds, with the lowest and the highest where there are more."""
    rows: list[tuple[Cell, ...]] = []
    for name, runs in trainings.items():
        picked = [pick(training.scores) for training in runs]
        scores = [_spread([scores[score] for scores in picked]) for score in SCORES]
        seconds = min(training.step_seconds for training in runs)
        rows.append((name, runs[0].parameters, f"{seconds:.3f}", *scores))
    header = ("skip, upsampling", "parameters", "s per step", *SCORES)
    return Table(title, header, tuple(rows))


def _spread(values: list[float | None]) -> Cell:
    average = mean(values)
    if average is None:
        return None
    known = [value for value in values if value is not None]
    return f"{average:.4f}" + (f" ({min(known):.4f}–{max(known):.4f})" if len(known) > 1 else "")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument(
        "--data", metavar="FOLDER", type=Path, required=True, help="a data-set folder with a test split"
    )
    parser.add_argument("--steps", metavar="N", type=int, default=400, help="of every training (default 400)")
    parser.add_argument("--seeds", metavar="S", type=int, nargs="+", default=[0], help="default 0")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="which (default all)")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="as in train")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep the runs there; otherwise they are thrown away")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    trainings: dict[str, list[Training]] = {name: [] for name in arguments.variants}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            for name in arguments.variants:
                skip, upsample = VARIANTS[name]
                out = (arguments.out or Path(temporary)) / f"{skip}-{upsample}-{seed}"
                chosen = [f"model.skip={skip}", f"model.upsample={upsample}"]
                settings = [*arguments.settings, *chosen]
                length = ["--steps", str(arguments.steps)]
                trainings[name].append(
                    train_and_evaluate(arguments.data, out, length=length, seed=seed, settings=settings)
                )
    data = arguments.data.resolve().name
    seeds = ", ".join(map(str, arguments.seeds))
    title = f"{data}, {arguments.steps} steps, seeds {seeds}; mean (lowest–highest); s per step: the fastest seed's"
    present(
        arguments,
        question=f"Skips and upsampling on {data}",
        machine=facts,
        tables=[tabulate(trainings, title=title)],
        raw={name: [dataclasses.asdict(training) for training in runs] for name, runs in trainings.items()},
    )


if __name__ == "__main__":
    main()
