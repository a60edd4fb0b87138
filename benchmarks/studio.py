"""What does the studio reach with a few strokes: from an empty folder, over its own interface, on 2 cores?"""

import argparse
import html
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.draw import disk

from benchmarks.measure import machine
from benchmarks.present import Table, add_output_options, present
from tinyunet.data.check import examine
from tinyunet.data.masks import read_mask
from tinyunet.data.readers import read_image
from tinyunet.runs.page.charts import Series, line_chart

SHARES = (0.002, 0.005, 0.01, 0.015, 0.02)
"""How much of the painted images has been painted by the end of each round."""

LAST_SECONDS = 8.0
"""A burst of training that has begun is not cut off: so much earlier it is paused, to keep to the minutes."""

COLOURS = ("#1b6ca8", "#e07b39", "#6a9f58", "#555555")

_NOTHING, _LENGTH, _STRIDE = 254, 25, 1.5


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


def brush(labels: np.ndarray, k: int) -> int:
    """The radius with which one paints inside a class: about half of how far its middle is from its border."""
    inside = ndimage.distance_transform_edt(labels == k)
    return int(np.clip(round(0.5 * float(np.mean(inside[inside > 0]))), 1, 3)) if (labels == k).any() else 1


def stroke(labels: np.ndarray, allowed: np.ndarray, k: int, *, radius: int, rng: np.random.Generator) -> np.ndarray:
    """The pixels of a short wavering stroke of a round brush inside a class, as a careful hand draws it.

    Args:
        labels: Class of every pixel.
        allowed: Where the stroke may begin.
        k: The class.
        radius: Of the brush.
        rng: Draws it.
    """
    starts = np.argwhere(allowed & (labels == k))
    painted = np.zeros(labels.shape, bool)
    if not len(starts):
        return painted
    place, angle = starts[rng.integers(len(starts))].astype(float), rng.uniform(0, 2 * np.pi)
    for _ in range(_LENGTH):
        painted[disk(tuple(place), radius + 0.5, shape=labels.shape)] = True
        for _ in range(12):
            turn = angle + rng.normal(0, 0.4)
            ahead = place + _STRIDE * np.array([np.sin(turn), np.cos(turn)])
            pixel = tuple(np.rint(ahead).astype(int))
            if all(0 <= p < side for p, side in zip(pixel, labels.shape, strict=True)) and labels[pixel] == k:
                place, angle = ahead, turn
                break
            angle += rng.normal(0, 1.2)
        else:
            break
    return painted & (labels == k)


def strokes(
    labels: np.ndarray, before: np.ndarray, wrong: np.ndarray | None, *, pixels: int, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """Strokes of the classes in turn until so many pixels are painted, or there is nothing left to correct.

    Args:
        labels: The truth.
        before: What is painted already; what is painted now is added.
        wrong: Where the prediction is wrong, and wide enough to be seen; None where nothing is predicted yet.
        pixels: The most that may be painted in all.
        rng: Draws them.
    """
    classes = [k for k in np.unique(labels).tolist() if k >= 0]
    radius = {k: brush(labels, k) for k in classes}
    for turn in range(2000):
        begin = ~before if wrong is None else wrong & ~before
        open_classes = [k for k in classes if (begin & (labels == k)).any()]
        if not open_classes:
            return
        k = open_classes[turn % len(open_classes)]
        new = stroke(labels, begin, k, radius=radius[k], rng=rng)
        if (before | new).sum() > pixels:
            return
        before |= new
        yield k, new


class Studio:
    """A studio in a process of its own, asked as its page asks.

    Args:
        folder: That it opens.
        options: Further ones of the command.
    """

    def __init__(self, folder: Path, options: Sequence[str]):
        command = [sys.executable, "-m", "tinyunet", "studio", str(folder), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        url = next(line.strip() for line in self.process.stdout if "token=" in line)
        self.base, _, self.token = url.partition("/?token=")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
        """What is answered."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        request = urllib.request.Request(self.base + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read()

    @property
    def state(self) -> dict[str, Any]:
        """Everything that the page shows."""
        return json.loads(self.ask("GET", "/api/state"))

    def picture(self, identity: str, what: str) -> np.ndarray:
        """One of an image's pictures."""
        return np.asarray(Image.open(io.BytesIO(self.ask("GET", f"/api/images/{identity}/{what}.png"))))

    def train(self, run: bool) -> None:
        """On, or paused."""
        self.ask("POST", "/api/training", json.dumps({"run": run}).encode())

    def drop(self, image: np.ndarray, name: str) -> str:
        """Drops an image in; its id."""
        head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        form = head + _png(image) + b"\r\n--b--\r\n"
        return json.loads(self.ask("POST", "/api/images", form, "multipart/form-data; boundary=b"))["added"][0]

    def paint(self, identity: str, k: int, pixels: np.ndarray) -> None:
        """Sends a stroke: the box around it."""
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        size = f"x={columns[0]}&y={rows[0]}&width={box.shape[1]}&height={box.shape[0]}"
        body = _png(np.where(box, k, _NOTHING).astype(np.uint8))
        self.ask("POST", f"/api/images/{identity}/strokes?{size}", body, "image/png")

    def wait(self, ready: Any, *, seconds: float = 900.0) -> dict[str, Any]:
        """The state as soon as it is as wanted."""
        end = time.monotonic() + seconds
        while not ready(state := self.state):
            if state["training"]["state"] == "failed" or time.monotonic() > end:
                raise SystemExit(f"The studio does not get on: {state['training']}")
            time.sleep(0.1)
        return state


@contextmanager
def opened(folder: Path, options: Sequence[str]) -> Iterator[Studio]:
    """A studio that is stopped in the end."""
    studio = Studio(folder, options)
    try:
        yield studio
    finally:
        studio.process.terminate()
        studio.process.communicate(timeout=120)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def dice_of(pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: int) -> tuple[float, ...]:
    """Dice of each class over predictions and truths, all pixels together; a label below 0 takes no part."""
    found = []
    for k in range(classes):
        both = sum(int(((p == k) & (t == k)).sum()) for p, t in pairs)
        either = sum(int(((p == k) & (t >= 0)).sum() + (t == k).sum()) for p, t in pairs)
        found.append(2 * both / either if either else float("nan"))
    return tuple(found)


def measure(
    data: Path, folder: Path, *, images: int, minutes: float, seed: int, shares: Sequence[float], options: Sequence[str]
) -> list[Round]:
    """Paints some training images in rounds, and scores the untouched test images after each.

    Args:
        data: A data set of images of two axes with test images.
        folder: That the studio works in.
        images: How many images are painted.
        minutes: Of training in all, the same after each round of strokes.
        seed: Of the strokes.
        shares: Of the pixels of the painted images that are painted by the end of each round.
        options: Of the command.
    """
    found = examine(data, task="semantic" if (data / "dataset.toml").exists() else None)
    samples = {sample.name: sample for sample in found.folder.samples}

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        mask = samples[name].mask
        assert mask is not None
        labels = found.labelling.encode(read_mask(mask), where=str(mask))
        if found.labelling.task == "instances":
            labels = np.minimum(labels, 1)
        pixels = found.channels.apply(read_image(samples[name].image), where=name)
        return (pixels[..., 0] if pixels.shape[-1] == 1 else pixels), labels

    classes, rng = found.labelling.num_classes, np.random.default_rng(seed)
    painted, rounds, count, done = {}, [], 0, 0.0
    with opened(folder, options) as studio:
        for k, one in enumerate(found.labelling.classes):
            body = json.dumps({"name": one.name, "color": one.color}).encode()
            studio.ask(*(("PATCH", f"/api/classes/{k}") if k < 2 else ("POST", "/api/classes")), body)
        for name in found.split.train[:images]:
            pixels, labels = read(name)
            painted[studio.drop(pixels, name)] = labels, np.zeros(labels.shape, bool)
        tests = {studio.drop(*(read(name)[:1]), name): read(name)[1] for name in found.split.test}
        looked_at = next(iter(painted))
        studio.ask("POST", "/api/focus", json.dumps({"image": looked_at}).encode())
        studio.wait(lambda state: state["training"]["state"] != "compiling")
        for number, share in enumerate(shares, start=1):
            began, first = time.monotonic(), None
            for identity, (labels, before) in painted.items():
                wrong = None
                if number > 1:
                    wrong = ndimage.binary_opening(studio.picture(identity, "prediction") != labels, np.ones((3, 3)))
                for k, pixels in strokes(labels, before, wrong, pixels=int(share * labels.size), rng=rng):
                    studio.paint(identity, k, pixels)
                    count += 1
            studio.train(True)
            if number == 1:
                studio.wait(lambda state: state["images"][0]["predictionVersion"])
                first = time.monotonic() - began
            until = max(1.0, 60 * minutes - LAST_SECONDS) * number / len(shares)
            done = studio.wait(lambda state, until=until: state["training"]["seconds"] >= until)["training"]["seconds"]
            studio.train(False)
            state = studio.wait(_all_shown)
            pairs = [(studio.picture(identity, "prediction"), labels) for identity, labels in tests.items()]
            area = sum(labels.size for labels, _ in painted.values())
            rounds.append(
                Round(
                    strokes=count,
                    share=sum(int(before.sum()) for _, before in painted.values()) / area,
                    steps=state["training"]["step"],
                    seconds=done,
                    dice=dice_of(pairs, classes),
                    first=first,
                )
            )
            print(rounds[-1], file=sys.stderr, flush=True)
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
    title = f"{data}, {arguments.images} images painted; the first prediction {rounds[0].first:.1f} s after the paint"
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
