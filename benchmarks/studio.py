"""What does the studio reach with a few strokes, drawn with the mouse in a browser, from an empty folder on?"""

import argparse
import html
import io
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.measure import machine
from benchmarks.painting import Stroke, strokes
from benchmarks.present import Table, add_output_options, present
from benchmarks.webpage import chromium
from tinyunet.data.check import examine
from tinyunet.data.masks import read_mask
from tinyunet.runs.live.canvas import UNPAINTED
from tinyunet.runs.page.charts import Series, line_chart

SHARES = (0.002, 0.005, 0.01, 0.015, 0.0195)
"""How much of the painted images has been painted by the end of each round."""

LAST_SECONDS = 8.0
"""A burst of training that has begun is not cut off: so much earlier it is paused, to keep to the minutes."""

COLOURS = ("#1b6ca8", "#e07b39", "#6a9f58", "#555555")

MOST_DIAMETER = 256
"""Of the page's brush: the slider of its size goes there by equal factors."""

MARGIN = 16
"""Of the page around an image that is shown as a whole, in pixels of the window."""


@dataclass(frozen=True)
class Round:
    """What was reached with so much paint.

    Attributes:
        strokes: Painted so far.
        share: Of the pixels of the painted images.
        steps: Of training so far.
        seconds: Of training so far, as the studio counts them: its predictions of the image that is looked at included.
        dice: Of each class, all pixels of the untouched images together.
        first: Seconds from the first stroke to the first prediction; in the first round alone.
    """

    strokes: int
    share: float
    steps: int
    seconds: float
    dice: tuple[float, ...]
    first: float | None


class Studio:
    """The studio's page in a browser, driven with mouse and keyboard as a person does.

    Args:
        page: Of Playwright, to be sent to the studio.
        address: That the command printed, with its token.
    """

    def __init__(self, page: Any, address: str):
        self.page, self.base = page, address.partition("?")[0]
        page.goto(address)
        page.locator("#empty").wait_for()

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the page shows."""
        return json.loads(self._get("api/state"))

    def _get(self, path: str) -> bytes:
        answer = self.page.request.get(self.base + path)
        if not answer.ok:
            raise SystemExit(f"The studio answers {answer.status} to {path}: {answer.text()[:200]}")
        return answer.body()

    def picture(self, identity: str, what: str) -> np.ndarray:
        """One of an image's pictures, as the page gets it."""
        return np.asarray(Image.open(io.BytesIO(self._get(f"api/images/{identity}/{what}.png"))))

    def drop(self, files: Sequence[Path]) -> list[str]:
        """Chooses files; their ids in the studio, in the same order."""
        count = len(self.state["images"]) + len(files)
        self.page.locator("#files").set_input_files(files)
        images = self.wait(lambda state: len(state["images"]) == count)["images"]
        return [one["id"] for one in images[-len(files) :]]

    def train(self, run: bool) -> None:
        """On, or paused, by the page's button."""
        button = self.page.locator("#training-run")
        wanted = "Play" if run else "Pause"
        self.page.wait_for_function("(e) => !e.disabled", arg=button.element_handle())
        if button.text_content() == wanted:
            button.click()
            self.page.locator("#training-run", has_text="Pause" if run else "Play").wait_for()

    def open(self, number: int) -> None:
        """Shows an image of the list as a whole."""
        pick = self.page.locator("#images .pick").nth(number)
        pick.click()
        self.page.locator(f"#images li:nth-child({number + 1}) .pick[aria-current=true]").wait_for()
        self.page.locator("#canvas[aria-busy=false]").wait_for()
        self.page.keyboard.press("0")

    def paint(self, stroke: Stroke, shape: tuple[int, int]) -> None:
        """Draws a stroke into the image that is shown, and waits until it is saved.

        Args:
            stroke: To draw.
            shape: Of the image.
        """
        keyboard, mouse = self.page.keyboard, self.page.mouse
        keyboard.press(str(stroke.label + 1))
        if self.page.locator("#size-value").text_content() != f"{stroke.diameter} px":
            self.page.locator("#size").fill(str(round(100 * math.log(stroke.diameter) / math.log(MOST_DIAMETER))))
            self.page.locator("#size-value", has_text=f"{stroke.diameter} px").wait_for()
        box = self.page.locator("#canvas").bounding_box()
        height, width = shape
        scale = min((box["width"] - 2 * MARGIN) / width, (box["height"] - 2 * MARGIN) / height, 8)
        places = [
            (
                box["x"] + box["width"] / 2 + (x + 0.5 - width / 2) * scale,
                box["y"] + box["height"] / 2 + (y + 0.5 - height / 2) * scale,
            )
            for y, x in stroke.path
        ]
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place)
        mouse.up()
        self.page.locator("#saved[data-state=saved]").wait_for()

    def wait(self, ready: Callable[[dict[str, Any]], Any], *, seconds: float = 900.0) -> dict[str, Any]:
        """The state as soon as it is as wanted."""
        end = time.monotonic() + seconds
        while not ready(state := self.state):
            if state["training"]["state"] == "failed" or time.monotonic() > end:
                raise SystemExit(f"The studio does not get on: {state['training']}")
            time.sleep(0.1)
        return state


@contextmanager
def opened(folder: Path, options: Sequence[str]) -> Iterator[Studio]:
    """A studio in a process of its own, in a browser; both are stopped in the end."""
    command = [sys.executable, "-m", "tinyunet", "studio", str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = next(line.strip() for line in process.stdout if "token=" in line)
        with chromium() as browser:
            yield Studio(browser.new_page(viewport={"width": 1440, "height": 900}), address)
    finally:
        process.terminate()
        process.communicate(timeout=120)


def dice_of(pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: int) -> tuple[float, ...]:
    """Dice of each class over predictions and truths, all pixels together; a label below 0 takes no part."""
    found = []
    for k in range(classes):
        both = sum(int(((p == k) & (t == k)).sum()) for p, t in pairs)
        either = sum(int(((p == k) & (t >= 0)).sum() + (t == k).sum()) for p, t in pairs)
        found.append(2 * both / either if either else float("nan"))
    return tuple(found)


def measure(
    data: Path,
    folder: Path,
    *,
    images: int,
    minutes: float,
    seed: int,
    shares: Sequence[float],
    options: Sequence[str],
    screenshots: Path | None,
) -> list[Round]:
    """Paints some training images in rounds, and scores the untouched test images after each.

    Args:
        data: A data set of images of two axes and two classes with test images.
        folder: That the studio works in.
        images: How many images are painted.
        minutes: Of training in all, the same after each round of strokes.
        seed: Of the strokes.
        shares: Of the pixels of the painted images that are painted by the end of each round.
        options: Of the command.
        screenshots: A folder for a picture of the page after each round.
    """
    found = examine(data, task="semantic" if (data / "dataset.toml").exists() else None)
    samples = {sample.name: sample for sample in found.folder.samples}
    if found.labelling.num_classes != 2:
        raise SystemExit("A new folder of the studio has two classes, and this data set another number.")

    def truth(name: str) -> np.ndarray:
        mask = samples[name].mask
        assert mask is not None
        labels = found.labelling.encode(read_mask(mask), where=str(mask))
        return np.minimum(labels, 1) if found.labelling.task == "instances" else labels

    rng, rounds, count = np.random.default_rng(seed), [], 0
    names = list(found.split.train[:images])
    with opened(folder, options) as studio:
        identities = studio.drop([samples[name].image for name in [*names, *found.split.test]])
        painted = [(identity, truth(name)) for identity, name in zip(identities, names, strict=False)]
        before = [np.zeros(labels.shape, bool) for _, labels in painted]
        tests = [(identity, truth(name)) for identity, name in zip(identities[images:], found.split.test, strict=True)]
        studio.wait(lambda state: state["training"]["state"] != "compiling")
        for number, share in enumerate(shares, start=1):
            began, first = time.monotonic(), None
            for place, (identity, labels) in enumerate(painted):
                wrong = None
                if number > 1:
                    wrong = ndimage.binary_opening(studio.picture(identity, "prediction") != labels, np.ones((3, 3)))
                studio.open(place)
                for one in strokes(labels, before[place], wrong, pixels=int(share * labels.size), rng=rng):
                    studio.paint(one, labels.shape)
                    count += 1
            studio.open(0)
            studio.train(True)
            if number == 1:
                studio.wait(lambda state: state["images"][0]["predictionNumber"])
                first = time.monotonic() - began
            until = max(1.0, 60 * minutes - LAST_SECONDS) * number / len(shares)
            studio.wait(lambda state, until=until: state["training"]["seconds"] >= until)
            studio.train(False)
            state = studio.wait(_all_shown)
            pairs = [(studio.picture(identity, "prediction"), labels) for identity, labels in tests]
            paint = [studio.picture(identity, "labels") != UNPAINTED for identity, _ in painted]
            rounds.append(
                Round(
                    strokes=count,
                    share=sum(int(one.sum()) for one in paint) / sum(one.size for one in paint),
                    steps=state["training"]["step"],
                    seconds=state["training"]["seconds"],
                    dice=dice_of(pairs, found.labelling.num_classes),
                    first=first,
                )
            )
            print(rounds[-1], file=sys.stderr, flush=True)
            if screenshots is not None:
                screenshots.mkdir(parents=True, exist_ok=True)
                studio.page.screenshot(path=screenshots / f"{number}.png")
    return rounds


def _all_shown(state: Mapping[str, Any]) -> bool:
    """Whether the training rests, and all images have been predicted by its last weights."""
    version = state["training"]["version"]
    rests = state["training"]["state"] == "paused"
    return rests and all(one["predictionVersion"] == version for one in state["images"])


def draw(rounds: Sequence[Round], names: Sequence[str], out: Path, *, title: str) -> None:
    """Draws the score against the share that is painted, as SVG."""
    across = [100 * one.share for one in rounds]
    columns = {name: [one.dice[k] for one in rounds] for k, name in enumerate(names)}
    columns["mean"] = [float(np.mean(one.dice)) for one in rounds]
    series = [
        Series(name=name, points=tuple(zip(across, column, strict=True)), dots=True) for name, column in columns.items()
    ]
    label = "painted, % of the pixels of the painted images"
    chart = line_chart(series, title=title, x_label=label, y_range=(0.4, 1.0))
    assert chart is not None
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -18 {chart.width} {chart.height + 18}" '
        'font-family="sans-serif" font-size="11" fill="#444444">',
        f'<rect y="-18" width="{chart.width}" height="{chart.height + 18}" fill="#ffffff"/>',
        f'<text x="{chart.left}" y="-4">{html.escape(title)}</text>',
    ]
    for y, text in chart.y_ticks:
        lines.append(f'<path d="M{chart.left} {y}H{chart.right}" stroke="#dddddd"/>')
        lines.append(f'<text x="{chart.left - 7}" y="{y + 4}" text-anchor="end">{text}</text>')
    for x, text in chart.x_ticks:
        lines.append(f'<path d="M{x} {chart.bottom}v4" stroke="#444444"/>')
        lines.append(f'<text x="{x}" y="{chart.bottom + 17}" text-anchor="middle">{text}</text>')
    lines.append(
        f'<text x="{(chart.left + chart.right) / 2}" y="{chart.height - 4}" text-anchor="middle">{label}</text>'
    )
    for curve, colour in zip(chart.curves, itertools.cycle(COLOURS)):
        lines.append(f'<path d="{curve.line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y, _ in curve.dots]
        lines.append(
            f'<text x="{chart.right + 8}" y="{curve.label_y + 4}" fill="{colour}">{html.escape(curve.name)}</text>'
        )
    out.write_text("\n".join([*lines, "</svg>\n"]), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio", description=__doc__)
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="images with test images")
    parser.add_argument("--images", metavar="N", type=int, default=3, help="images that are painted (default 3)")
    parser.add_argument("--minutes", metavar="M", type=float, default=3.0, help="of training in all (default 3)")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="of the strokes (default 0)")
    parser.add_argument("--shares", metavar="S", type=float, nargs="+", default=list(SHARES), help="painted, by round")
    parser.add_argument("--features", metavar="F", type=int, help="of the network, as in studio")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="draw the curve into an .svg")
    parser.add_argument("--screenshots", metavar="DIR", type=Path, help="show the page after each round")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    options = [] if arguments.features is None else ["--features", str(arguments.features)]
    with tempfile.TemporaryDirectory() as place:
        rounds = measure(
            arguments.data,
            Path(place) / "studio",
            images=arguments.images,
            minutes=arguments.minutes,
            seed=arguments.seed,
            shares=arguments.shares,
            options=options,
            screenshots=arguments.screenshots,
        )
    names = examine(arguments.data).labelling.names
    data = arguments.data.resolve().name
    header = ("painted", "strokes", "steps", "training, s", *(f"Dice, {name}" for name in names), "mean")
    rows = [
        (
            f"{one.share:.2%}",
            one.strokes,
            one.steps,
            f"{one.seconds:.0f}",
            *(f"{score:.4f}" for score in one.dice),
            f"{np.mean(one.dice):.4f}",
        )
        for one in rounds
    ]
    title = (
        f"{data}, {arguments.images} images painted; the first prediction {rounds[0].first:.1f} s after a stroke began"
    )
    present(
        arguments,
        question=f"Score against strokes in the studio on {data}",
        machine=facts,
        tables=[Table(title, header, tuple(rows))],
        raw={"rounds": [asdict(one) for one in rounds]},
    )
    if arguments.picture is not None:
        draw(rounds, names, arguments.picture, title=f"{data}, {arguments.images} painted images")


if __name__ == "__main__":
    main()
