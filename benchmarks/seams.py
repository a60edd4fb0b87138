"""Are the objects of a large image the same, predicted tile by tile or in one piece, those across seams included?"""

import argparse
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import machine, peak_bytes
from benchmarks.present import Cell, Table, add_output_options, present
from tinyunet.data.folder import open_folder
from tinyunet.data.normalise import normalise
from tinyunet.data.sample import sample_image
from tinyunet.evaluation.matching import aligned, object_counts
from tinyunet.objects.decode import decode_objects
from tinyunet.objects.target import ObjectConfig
from tinyunet.prediction.batches import Forward
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_grid
from tinyunet.runs.build import build_model, build_probabilities
from tinyunet.runs.run import Run, load

PIECE = 256
"""Pixels of a side of what is taken of each image."""


def mosaic(run: Run, data: Path, side: int) -> np.ndarray:
    """A square of side² pieces of images as the network sees them, float32 (h, w, c); images come again if too few."""
    pieces: list[np.ndarray] = []
    for sample in open_folder(data, minimum_pairs=1).samples:
        pixels = normalise(run.channels.apply(sample_image(sample), where=str(sample.image)), run.normalisation)
        if min(pixels.shape[:2]) >= PIECE and len(pieces) < side**2:
            pieces.append(pixels[:PIECE, :PIECE])
    if not pieces:
        raise SystemExit(f"{data} has no image of {PIECE}×{PIECE} pixels or more.")
    rows = [[pieces[(side * y + x) % len(pieces)] for x in range(side)] for y in range(side)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def whole_specs(shape: Sequence[int], specs: Sequence[TileSpec]) -> tuple[TileSpec, ...]:
    """The same network's tiles, of which one holds all."""
    return tuple(
        dataclasses.replace(spec, ladder=(math.ceil(size / spec.multiple) * spec.multiple + 2 * spec.lost,), batch=1)
        for size, spec in zip(shape, specs, strict=True)
    )


def across_seams(instances: np.ndarray, specs: Sequence[TileSpec]) -> int:
    """Objects that lie on both sides of a line where two tiles meet."""
    crossing: set[int] = set()
    for axis, plan in enumerate(plan_grid(instances.shape, specs).axes):
        ids = np.moveaxis(instances, axis, 0)
        for _, cut in plan.cores[:-1]:
            crossing |= set(np.unique(ids[cut][ids[cut] == ids[cut - 1]]).tolist())
    return len(crossing - {0})


def compare(
    forward: Forward, image: np.ndarray, specs: Sequence[TileSpec], config: ObjectConfig, *, classes: int = 3
) -> dict[str, float]:
    """Predicts and decodes an image tile by tile and in one piece, and counts what differs."""
    tiles = len(plan_grid(image.shape[:-1], specs))
    found = {}
    for name, chosen in (("tiled", specs), ("whole", whole_specs(image.shape[:-1], specs))):
        start = time.perf_counter()
        probabilities = predict_probabilities(forward, image, chosen, classes=classes)
        middle = time.perf_counter()
        found[name] = probabilities, decode_objects(probabilities, config), middle - start, time.perf_counter() - middle
    (first, tiled, *seconds), (second, whole, *others) = found["tiled"], found["whole"]
    counts = object_counts(tiled, whole)
    renamed, truth = aligned(tiled, whole)
    differing = renamed != truth
    return {
        "megapixels": whole.size / 1e6,
        "tiles": tiles,
        "objects, tiled": int(tiled.max()),
        "objects, whole": int(whole.max()),
        "objects across seams": across_seams(whole, specs),
        "objects that match at an intersection over union of 0.95": int(counts.matched[-1]),
        "objects of which any pixel differs": len(np.unique(truth[differing & (truth > 0)])),
        "pixels that differ": int(differing.sum()),
        "largest difference of a probability": float(np.abs(first - second).max()),
        "prediction, tiled, s": seconds[0],
        "prediction, whole, s": others[0],
        "decoding, s": seconds[1],
    }


def _forward(run: Run) -> Forward:
    compiled = build_probabilities(build_model(run.config.model, classes=len(run.classes)))
    return functools.partial(compiled, run.variables)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seams", description=__doc__)
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="a data-set folder of 2-D images")
    parser.add_argument("--run", metavar="RUN", type=Path, required=True, help="a run of the task instances")
    parser.add_argument("--side", type=int, default=8, help=f"pieces of {PIECE} pixels along a side (default 8)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    run = load(arguments.run)
    if not run.finds_objects:
        parser.error(f"{arguments.run} does not find objects; train with --set data.task=instances.")
    image = mosaic(run, arguments.data, arguments.side)
    figures: dict[str, float] = compare(_forward(run), image, run.tiles, run.config.objects)
    figures["peak memory, MiB"] = round(peak_bytes() / 2**20)
    rows: tuple[tuple[Cell, ...], ...] = tuple(figures.items())
    title = f"A mosaic of {arguments.data.resolve().name}, {image.shape[0]}×{image.shape[1]} pixels"
    present(
        arguments,
        question="Objects across the seams of tiles",
        machine=facts,
        tables=[Table(title, ("", ""), rows)],
        raw=figures,
    )


if __name__ == "__main__":
    main()
