"""Make synthetic cells, train on them, evaluate, predict and report: everything once, in a few minutes."""

import argparse
import time
from pathlib import Path

from tinyunet.cli.main import STARTED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `demo`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("tinyunet-demo"), help="where (default tinyunet-demo)"
    )
    parser.add_argument("--minutes", metavar="M", type=float, default=2.0, help="time to train (default 2)")
    parser.add_argument("--quick", action="store_true", help="a few steps on tiny images: only whether it all works")


def run(arguments: argparse.Namespace) -> None:
    """Runs the whole way from nothing to masks."""
    from tinyunet.cli.evaluate import score_text
    from tinyunet.data.synthetic import write_cells
    from tinyunet.errors import ConfigError
    from tinyunet.runs.display import clock
    from tinyunet.runs.evaluate import evaluate
    from tinyunet.runs.predict import PredictOptions, plan_jobs, predict_files
    from tinyunet.runs.run import load
    from tinyunet.runs.train import train

    out = arguments.out
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out} exists; remove it, or choose another --out.")
    size = (64, 64) if arguments.quick else (256, 256)
    counts = (3, 1, 2) if arguments.quick else (24, 6, 6)
    cells, model, masks = out / "cells", out / "run", out / "masks"
    out.mkdir(parents=True, exist_ok=True)

    print(f"1/4  Making {sum(counts)} micrographs of cells in {cells}")
    write_cells(cells, train=counts[0], val=counts[1], test=counts[2], shape=size)
    print(f"2/4  Training in {model}")
    settings = ["batches.patch=64", "batches.margin=8", "train.validations=1"] if arguments.quick else []
    train(
        cells,
        model,
        minutes=None if arguments.quick else arguments.minutes,
        steps=3 if arguments.quick else None,
        settings=settings,
        quiet=arguments.quiet,
        started=time.monotonic(),
    )
    print("3/4  Evaluating on the test images, which the training has not seen")
    evaluation = evaluate(model, cells, quiet=arguments.quiet)
    print(f"4/4  Predicting the test images into {masks}")
    tests = sorted((cells / "images").glob("test*"))
    jobs, options = plan_jobs(tests, masks, overlays=True), PredictOptions(overlays=True)
    predict_files(load(model), jobs, options, quiet=arguments.quiet)

    print(f"\n{score_text(evaluation)}\n")
    print(f"masks    {masks}")
    print(f"report   {model / 'report.html'}   (open it in a browser)")
    print(f"time     {clock(time.monotonic() - STARTED)}")
    print("yours    tinyunet train YOUR_FOLDER --minutes 10 --out my-run")
