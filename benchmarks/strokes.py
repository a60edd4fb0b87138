"""How much is lost where only a few strokes of each training image are annotated, instead of every pixel?"""

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tomli_w
from skimage.draw import line

from benchmarks.measure import machine
from benchmarks.present import Cell, Table, add_output_options, present
from benchmarks.scores import pick
from benchmarks.whole import Training, train_and_evaluate
from tinyunet.data.check import Examination, examine
from tinyunet.data.labelfile import write_labels
from tinyunet.data.labelling import IGNORE, Labelling
from tinyunet.data.masks import read_mask

SCORES = ("Dice, all pixels", "Dice, mean of images", "F1 at 0.5", "AUC", "adapted Rand F, best threshold")


def strokes(labels: np.ndarray, *, length: int, per_class: int, seed: int) -> np.ndarray:
    """Labels as someone leaves them who draws a few straight strokes into each class, one pixel wide.

    A stroke begins at a random pixel of its class and runs in a random direction; where it would leave its class it
    ends.

    Args:
        labels: Class of every pixel.
        length: The longest stroke in pixels.
        per_class: Strokes in each class.
        seed: Of where they lie.

    Returns:
        The labels on the strokes, -1 elsewhere.
    """
    rng = np.random.default_rng(seed)
    drawn = np.full(labels.shape, IGNORE, labels.dtype)
    for k in np.unique(labels[labels >= 0]):
        rows, columns = np.nonzero(labels == k)
        for _ in range(per_class):
            start, angle = rng.integers(len(rows)), rng.uniform(0, 2 * np.pi)
            end = rows[start] + length * np.sin(angle), columns[start] + length * np.cos(angle)
            ys, xs = line(rows[start], columns[start], round(end[0]), round(end[1]))
            inside = (ys >= 0) & (xs >= 0) & (ys < labels.shape[0]) & (xs < labels.shape[1])
            ys, xs = ys[inside], xs[inside]
            own = labels[ys, xs] == k
            stop = len(own) if own.all() else int(np.argmin(own))
            drawn[ys[:stop], xs[:stop]] = k
    return drawn


def write_strokes(found: Examination, out: Path, *, length: int, per_class: int) -> float:
    """A copy of a data set whose training and validation masks hold strokes alone; test masks stay whole.

    Returns:
        The share of the training pixels that are still annotated.
    """
    test = {*found.split.test}
    value = next(v for v in range(255, -1, -1) if v not in [one.value for one in found.labelling.classes])
    sparse = dataclasses.replace(found.labelling, ignore=value)
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True)
    kept = pixels = 0
    lines = ["name,split"]
    for seed, sample in enumerate(found.folder.samples):
        if sample.mask is None:
            continue
        shutil.copy(sample.image, out / "images" / sample.image.name)
        labels = found.labelling.encode(read_mask(sample.mask), where=str(sample.mask))
        if sample.name not in test:
            labels = strokes(labels, length=length, per_class=per_class, seed=seed)
            kept, pixels = kept + int((labels >= 0).sum()), pixels + labels.size
        write_labels(out / "masks" / f"{sample.name}.png", labels, sparse)
        part = next(part for part in ("train", "val", "test") if sample.name in getattr(found.split, part))
        lines.append(f"{sample.name},{part}")
    (out / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "dataset.toml").write_text(tomli_w.dumps(_declared(sparse)), encoding="utf-8")
    return kept / max(1, pixels)


def _declared(labelling: Labelling) -> dict[str, object]:
    """`dataset.toml` of a labelling, whose sparse masks alone would not say what their values mean."""
    plain = labelling.to_dict()
    return {key: value for key, value in plain.items() if key != "kind"} | {"task": "semantic"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strokes", description=__doc__)
    parser.add_argument(
        "--data", metavar="FOLDER", type=Path, required=True, help="images of two axes, with test images"
    )
    parser.add_argument("--steps", metavar="N", type=int, default=800, help="of both trainings (default 800)")
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="default 0")
    parser.add_argument("--length", metavar="PX", type=int, default=40, help="the longest stroke (default 40 pixels)")
    parser.add_argument("--per-class", metavar="N", type=int, default=20, help="strokes in each class (default 20)")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="as in train")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    found = examine(arguments.data)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        share = write_strokes(found, place / "data", length=arguments.length, per_class=arguments.per_class)
        done: dict[str, Training] = {}
        for name, data in ((f"{share:.1%} of the pixels", place / "data"), ("every pixel", arguments.data)):
            done[name] = train_and_evaluate(
                data,
                place / name.split()[0],
                length=["--steps", str(arguments.steps)],
                seed=arguments.seed,
                settings=arguments.settings,
            )
    rows: list[tuple[Cell, ...]] = []
    for name, training in done.items():
        scores = pick(training.scores)
        rows.append((name, *(None if scores[s] is None else f"{scores[s]:.4f}" for s in SCORES)))
    data = arguments.data.resolve().name
    title = (
        f"{data}, {arguments.steps} steps, {arguments.per_class} strokes of at most {arguments.length} pixels a class"
    )
    present(
        arguments,
        question=f"Strokes instead of whole masks on {data}",
        machine=facts,
        tables=[Table(title, ("annotated", *SCORES), tuple(rows))],
        raw={name: dataclasses.asdict(training) for name, training in done.items()},
    )


if __name__ == "__main__":
    main()
