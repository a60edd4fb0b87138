"""Does training wait for data? The share of its time that it does, and how fast batches come when nothing else runs."""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.present import Table, add_output_options, present
from benchmarks.whole import TINYUNET, read_log, run


def read_batches(data: Path, *, count: int, settings: Sequence[str]) -> tuple[float, float]:
    """Seconds to the first batch, and the mean of the seconds to each further one, taken as soon as it is ready.

    A mean, because threads read ahead: most batches are ready at once, and a few pay for all of them.

    Args:
        data: A data-set folder.
        count: Batches to read, at least 2.
        settings: Values over the product's defaults, as `key=value`.
    """
    from tinyunet.data.batches import Sampler, batches
    from tinyunet.runs.prepare import open_store, resolve
    from tinyunet.runs.request import read_request

    config, examination = resolve(read_request(None, settings), data)
    names = config.data.split.train
    store = open_store(config, examination.folder, names)
    sampler = Sampler(visits=(1,) * len(names), read=store, config=config.batches, seed=config.seed)
    times = [time.perf_counter()]
    for _ in batches(sampler, first=0, last=count):
        times.append(time.perf_counter())
    first, *others = (after - before for before, after in itertools.pairwise(times))
    return first, statistics.mean(others)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="a data-set folder (default: synthetic cells)")
    parser.add_argument("--size", type=int, default=512, help="height and width of the synthetic images (default 512)")
    parser.add_argument("--steps", metavar="N", type=int, default=100, help="of the training (default 100; 0: none)")
    parser.add_argument("--batches", metavar="N", type=int, default=200, help="to read alone (default 200)")
    parser.add_argument("--set", metavar="KEY=VALUE", dest="settings", action="append", default=[], help="as in train")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    options = [option for setting in arguments.settings for option in ("--set", setting)]
    raw, rows = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        data, out = arguments.data, Path(temporary) / "run"
        if data is None:
            from tinyunet.data.synthetic import write_cells

            data = write_cells(Path(temporary) / "cells", val=1, test=1, shape=(arguments.size, arguments.size))
        first, further = read_batches(data, count=arguments.batches, settings=arguments.settings)
        raw |= {"first_batch_seconds": first, "further_batch_seconds": further}
        rows += [
            ("reading alone: first batch, ms", f"{1000 * first:.1f}"),
            ("reading alone: each further batch, ms", f"{1000 * further:.2f}"),
        ]
        if arguments.steps:
            length = ["--steps", str(arguments.steps), "--quiet"]
            run([*TINYUNET, "train", data, "--out", out, *length, *options], cache=Path(temporary))
            log = read_log(out)
            raw["training"] = log
            rows += [
                (f"training, {arguments.steps} steps: ms a step", f"{1000 * log['step_seconds']:.1f}"),
                (f"training, {arguments.steps} steps: share of time waiting", f"{100 * log['waiting']:.2f} %"),
            ]
    title = arguments.data.resolve().name if arguments.data else f"Synthetic cells of {arguments.size}²"
    table = Table(title, ("", "figure"), tuple(rows))
    present(arguments, question="Loading", machine=facts, tables=[table], raw=raw)


if __name__ == "__main__":
    main()
