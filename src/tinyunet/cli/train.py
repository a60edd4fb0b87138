"""Train a segmenter on a folder of images, or of volumes, and their masks."""

import argparse
from pathlib import Path

from tinyunet.cli.main import STARTED
from tinyunet.cli.request import add_request_arguments
from tinyunet.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument("data", metavar="DATA", type=Path, nargs="?", help="folder with images/ and masks/")
    parser.add_argument("--out", metavar="RUN", type=Path, help="the run folder to make")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a run that was stopped or killed")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", metavar="M", type=float, help="time it may take in all")
    length.add_argument("--steps", metavar="N", type=int, help="number of steps")
    parser.add_argument("--seed", metavar="S", type=int, help="of everything random (default 0)")
    add_request_arguments(parser)
    parser.add_argument(
        "--folds", metavar="K", type=int, help="cross-validate: K networks, each scored on its K-th of the images"
    )
    parser.add_argument("--init", metavar="RUN", type=Path, help="start from the weights of another run")
    parser.add_argument("--overwrite", action="store_true", help="replace a run that is there")
    parser.add_argument(
        "--devices", metavar="N", type=int, help="train on so many devices of each process (default all)"
    )
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="train together with other processes: the address of process 0, or auto as JAX finds out",
    )
    parser.add_argument("--process", metavar="I/N", help="with --coordinator: this is process I of N, from 0")


def run(arguments: argparse.Namespace) -> None:
    """Trains, or goes on training, then says what to do next."""
    from tinyunet.runs.processes import is_main, join

    join(arguments.coordinator, arguments.process)
    from tinyunet.runs.folder import FOLDS
    from tinyunet.runs.folds import resume_folds, train_folds
    from tinyunet.runs.train import resume, train

    if arguments.resume is not None:
        others = ("data", "out", "minutes", "steps", "seed", "config", "init", "folds")
        if any(getattr(arguments, name) is not None for name in others) or arguments.settings or arguments.overwrite:
            raise ConfigError(
                "--resume takes everything from the run; give it no data and no other options, "
                "but for --devices, --coordinator and --process."
            )
        continued = resume_folds if (arguments.resume / FOLDS).is_file() else resume
        out = continued(arguments.resume, devices=arguments.devices, quiet=arguments.quiet).path
        data = "DATA"
    else:
        for name, value in (("DATA", arguments.data), ("--out RUN", arguments.out)):
            if value is None:
                raise ConfigError(f"{name} is missing: tinyunet train DATA --out RUN, or tinyunet train --resume RUN.")
        out, data = arguments.out, arguments.data
        if arguments.folds is not None and arguments.init is not None:
            raise ConfigError("--folds begins each network anew: it does not go with --init.")
        chosen = {
            "minutes": arguments.minutes,
            "steps": arguments.steps,
            "seed": arguments.seed,
            "config": arguments.config,
            "settings": arguments.settings,
            "overwrite": arguments.overwrite,
            "devices": arguments.devices,
            "quiet": arguments.quiet,
        }
        if arguments.folds is not None:
            train_folds(data, out, folds=arguments.folds, **chosen)
        else:
            train(data, out, init=arguments.init, started=STARTED, **chosen)
    if not is_main():
        return
    if (out / "model.safetensors").is_file():
        print(f"weights  {out / 'model.safetensors'}")
    if (out / "report.html").is_file():  # not yet where folds were stopped
        print(f"report   {out / 'report.html'}")
    print(f"next     tinyunet evaluate {out} {data}")
