"""After how many seconds does a training reach which score? Curves of finished runs beside each other."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.present import Table, add_output_options, present

COLOURS = ("#1b6ca8", "#e07b39", "#6a9f58", "#9467bd", "#b0b0b0", "#8c564b")


@dataclass(frozen=True)
class Curve:
    """The validations of one run, in order.

    Args:
        seconds: Since the training began.
        steps: Done by then.
        scores: Mean Dice of the classes on the validation images.
    """

    seconds: tuple[float, ...]
    steps: tuple[int, ...]
    scores: tuple[float, ...]

    def seconds_to(self, score: float) -> float | None:
        """Seconds until a score is reached, interpolated between validations; None if it never is.

        Example:
            >>> Curve((10.0, 20.0), (1, 2), (0.5, 0.9)).seconds_to(0.7)
            15.0
        """
        before = None
        for now, found in zip(self.seconds, self.scores, strict=True):
            if found >= score:
                if before is None:
                    return now
                then, was = before
                return then + (now - then) * (score - was) / (found - was)
            before = now, found
        return None


def read_curve(run: Path) -> Curve:
    """From a run's log."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    looks = [event for event in map(json.loads, lines) if event["event"] == "validate"]
    return Curve(*(tuple(look[key] for look in looks) for key in ("seconds", "step", "score")))


def draw(curves: Mapping[str, Curve], out: Path) -> None:
    """Draws score against minutes.

    Args:
        curves: By what they are called.
        out: Where to write the picture; its suffix says the format.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        panel.plot([s / 60 for s in curve.seconds], curve.scores, "o-", ms=3, lw=1.4, color=colour, label=name)
    panel.set_xlabel("minutes of training")
    panel.set_ylabel("mean Dice on the validation images")
    panel.set_xlim(left=0)
    panel.grid(color="#e5e5e5")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="lower right")
    figure.savefig(out, dpi=150, metadata={"Software": None} if out.suffix == ".png" else None)


def tabulate(curves: Mapping[str, Curve]) -> Table:
    """Seconds to shares of the best score that all of them reach."""
    common = min(max(curve.scores) for curve in curves.values())
    targets = [round(common * share, 4) for share in (0.95, 0.98, 0.99, 1.0)]
    rows = tuple(
        (name, curve.steps[-1], curve.seconds[-1], max(curve.scores), *(curve.seconds_to(t - 5e-5) for t in targets))
        for name, curve in curves.items()
    )
    header = ("", "steps", "seconds in all", "best", *(f"seconds to {target:.4f}" for target in targets))
    return Table("Mean Dice of the classes on the validation images", header, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("runs", metavar="NAME=RUN", nargs="+", help="run folders, and what the curves are called")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw them into a .png or .svg")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    curves = {name: read_curve(Path(run)) for name, _, run in (given.partition("=") for given in arguments.runs)}
    if arguments.picture is not None:
        draw(curves, arguments.picture)
    raw = {name: vars(curve) for name, curve in curves.items()}
    present(arguments, question="Time to score", machine=machine(), tables=[tabulate(curves)], raw=raw)


if __name__ == "__main__":
    main()
