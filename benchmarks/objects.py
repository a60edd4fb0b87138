"""How long does it take to make the target of objects, to find them again, to score and to measure them?"""

import argparse
import tracemalloc
from collections.abc import Sequence

import numpy as np

from benchmarks.measure import Call, in_turn, machine
from benchmarks.present import Table, add_output_options, present
from tinyunet.data.synthetic import cells
from tinyunet.evaluation.matching import object_counts
from tinyunet.objects.decode import decode_objects
from tinyunet.objects.measure import measure_objects
from tinyunet.objects.target import ObjectConfig, object_labels

TILE = 256
DECODE = "objects from probabilities"


def micrograph(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic image of side² tiles of 256² pixels, and its objects."""
    images, rows, count = [], [], 0
    for y in range(side):
        row = []
        for x in range(side):
            image, instances = cells(y * side + x, shape=(TILE, TILE))
            row.append(np.where(instances > 0, instances + count, 0))
            images.append(image)
            count += int(instances.max())
        rows.append(np.concatenate(row, axis=1))
    bands = [np.concatenate(images[side * y : side * (y + 1)], axis=1) for y in range(side)]
    return np.concatenate(bands, axis=0), np.concatenate(rows, axis=0).astype(np.int32)


def make_calls(image: np.ndarray, instances: np.ndarray) -> dict[str, Call]:
    """Each step on the whole image; the probabilities are those of the truth with some noise."""
    config = ObjectConfig()
    labels = object_labels(instances, config)
    noise = np.random.default_rng(0).normal(0, 0.8, (*labels.shape, 3))
    sure = np.exp(3 * np.eye(3)[labels] + noise)
    probabilities = (sure / sure.sum(axis=-1, keepdims=True)).astype(np.float32)
    found = decode_objects(probabilities, config)
    return {
        "target: rims and cores": lambda: object_labels(instances, config),
        DECODE: lambda: decode_objects(probabilities, config),
        "matching with the truth": lambda: object_counts(found, instances),
        "table of measurements": lambda: measure_objects(found, image),
    }


def peak_allocated(call: Call) -> int:
    """Bytes that NumPy's arrays made by a call take at most at one time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objects", description=__doc__)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[4, 8, 16], help=f"tiles of {TILE} pixels along a side (default 4 8 16)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    columns, titles, raw = {}, [], {}
    for side in arguments.sides:
        image, instances = micrograph(side)
        calls = make_calls(image, instances)
        spreads = in_turn(calls, rounds=arguments.rounds)
        megapixels = instances.size / 1e6
        columns[f"{megapixels:.1f} megapixels"] = {
            **{f"{name}, ms": spread.text(scale=1000 / megapixels, digits=0) for name, spread in spreads.items()},
            **{f"{DECODE}, memory, MB": f"{peak_allocated(calls[DECODE]) / 1e6 / megapixels:.0f}"},
        }
        titles.append(f"{int(instances.max())} objects")
        raw[str(side)] = {name: spread.values for name, spread in spreads.items()}
    rows = tuple((name, *(column[name] for column in columns.values())) for name in next(iter(columns.values())))
    title = f"Per megapixel, median (min–max); {', '.join(titles)}"
    present(
        arguments,
        question="Objects",
        machine=facts,
        tables=[Table(title, ("", *columns), rows)],
        raw=raw,
    )


if __name__ == "__main__":
    main()
