"""Draws what `step` and `volumes` wrote with `--json`: how many times this project's time everyone else takes."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Spread, machine_line
from benchmarks.peers.case import INFERENCE, STEP
from benchmarks.step import KERAS, OURS, RIVALS, XLA_ALONE

BARS = {
    OURS: (OURS,),
    XLA_ALONE: (XLA_ALONE,),
    "plain Flax": ("plain Flax",),
    KERAS: (KERAS,),
    "fastest PyTorch as it comes": RIVALS["PyTorch as it comes"],
    "fastest PyTorch, memory kept": RIVALS["PyTorch with memory kept"],
    "ONNX Runtime": ("ONNX Runtime",),
    "OpenVINO": ("OpenVINO",),
}
"""What is drawn, and of whom the fastest counts."""
COLOURS = ("#1b6ca8", "#8fbbd9", "#b0b0b0", "#d06a6a", "#e07b39", "#f0b48a", "#6a9f58", "#a8c99b")


def read_cases(files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The machine of the first file, and what was measured by case and then by peer.

    A file of `volumes` holds one case, which takes the file's name.
    """
    contents = {file: json.loads(file.read_text(encoding="utf-8")) for file in files}
    cases: dict[str, dict[str, Any]] = {}
    for file, content in contents.items():
        raw = content["raw"]
        cases |= {file.stem: raw} if OURS in raw else raw
    return next(iter(contents.values()))["machine"], cases


def times_ours(peers: Mapping[str, Any], names: Sequence[str], kind: str) -> tuple[Spread, float] | None:
    """The ratios of the fastest of some peers to this project, round by round, and its median in milliseconds."""
    spreads = [
        Spread(tuple(peers[name]["seconds"][kind]["values"]))
        for name in names
        if name in peers and kind in peers[name]["seconds"]
    ]
    if not spreads or OURS not in peers:
        return None
    fastest = min(spreads, key=lambda spread: spread.median)
    ours = Spread(tuple(peers[OURS]["seconds"][kind]["values"]))
    return fastest.over(ours), 1000 * fastest.median


def draw(files: Sequence[Path], out: Path) -> None:
    """Draws a panel for training steps and one for inference.

    Args:
        files: From `step --json` and `volumes --json`.
        out: Where to write the picture; its suffix says the format.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    facts, cases = read_cases(files)
    rows = sum(len(found) for kind in (STEP, INFERENCE) for found in _bars(cases, kind).values())
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 1.4 + 0.125 * rows), layout="constrained")
    for panel, kind in zip(panels, (STEP, INFERENCE), strict=True):
        _draw_panel(panel, _bars(cases, kind), kind)
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS]
    figure.legend(handles, BARS, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    figure.supxlabel(machine_line(facts).split("; commit")[0], fontsize=6, color="#555555")
    figure.savefig(out, dpi=150, metadata={"Software": None} if out.suffix == ".png" else None)


def _bars(cases: Mapping[str, Any], kind: str) -> dict[str, dict[str, tuple[Spread, float]]]:
    """What there is to draw, by case and then by bar."""
    found = {}
    for case, peers in cases.items():
        bars = {bar: times_ours(peers, names, kind) for bar, names in BARS.items()}
        found[case] = {bar: value for bar, value in bars.items() if value is not None}
    return found


def _draw_panel(panel: Any, cases: Mapping[str, Mapping[str, tuple[Spread, float]]], kind: str) -> None:
    place, ticks = 0.0, {}
    for case, bars in cases.items():
        ticks[case] = place + (len(bars) - 1) / 2
        for bar, (ratio, milliseconds) in bars.items():
            middle = ratio.median
            around = [[middle - min(ratio.values)], [max(ratio.values) - middle]]
            colour = COLOURS[list(BARS).index(bar)]
            panel.barh(place, middle, color=colour, xerr=around, error_kw={"lw": 0.8, "ecolor": "#444444"})
            panel.annotate(
                f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms",
                (max(ratio.values), place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                color="#111111",
            )
            place += 1
        place += 0.8
    panel.axvline(1, color="#1b6ca8", lw=0.8)
    panel.set_yticks(list(ticks.values()), list(ticks))
    panel.invert_yaxis()
    panel.set_xlim(0, 1.15 * max(max(ratio.values) for bars in cases.values() for ratio, _ in bars.values()))
    panel.set_xlabel("time ÷ ours, median with minimum and maximum of the rounds", fontsize=8)
    panel.set_title(kind.capitalize(), fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("files", metavar="JSON", type=Path, nargs="+", help="of `step` and `volumes`")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the picture: .png or .svg")
    arguments = parser.parse_args(argv)
    draw(arguments.files, arguments.out)


if __name__ == "__main__":
    main()
