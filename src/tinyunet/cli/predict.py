"""Predict images, or volumes, with a run."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tinyunet.runs.cluster import Cluster
    from tinyunet.runs.run import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder or a model.safetensors")
    parser.add_argument("inputs", metavar="INPUT", type=Path, nargs="+", help="images or volumes, or folders of them")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to write the labels")
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="write DIR/<name>.npy, float32 (h, w, classes) or (z, y, x, classes)",
    )
    parser.add_argument(
        "--overlays", action="store_true", help="write DIR/<name>_overlay.png, to look at; of a volume three slices"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="write DIR/<name>_uncertainty.png: black is sure; of a volume .nii.gz or .npy",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="average over the flips and turns of the training, up to eight: slower, a bit better",
    )
    parser.add_argument(
        "--runtime",
        choices=("auto", "native", "onnx", "jax"),
        default="auto",
        help="what computes: the kernels of tinyunet-native, ONNX Runtime, or JAX alone; auto (the default) takes the "
        "first of them that is installed and agrees with JAX on the first tile",
    )
    parser.add_argument(
        "--region",
        metavar="Y0:Y1,X0:X1",
        help="predict these rows and columns alone, with the context around them; of a volume Z0:Z1 first",
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "fill"),
        default="stop",
        help="a part of a large image that cannot be decoded: stop, naming it, or fill it with zeros and go on",
    )
    parser.add_argument(
        "--dask",
        metavar="local|tcp://HOST:PORT",
        help="predict large images by several processes: on this machine, or by the workers of a scheduler of Dask",
    )


def run(arguments: argparse.Namespace) -> None:
    """Predicts every input."""
    from contextlib import ExitStack

    from tinyunet.runs.predict import PredictOptions, plan_jobs, predict_files, write_record
    from tinyunet.runs.run import load

    region = None if arguments.region is None else parse_region(arguments.region)
    trained = load(arguments.model, runtime=arguments.runtime)
    jobs = plan_jobs(
        arguments.inputs,
        arguments.out,
        probabilities=arguments.probabilities,
        overlays=arguments.overlays,
        uncertainty=arguments.uncertainty,
        tables=trained.finds_objects,
        volumes=trained.dimensions == 3,
    )
    options = PredictOptions(
        probabilities=arguments.probabilities,
        overlays=arguments.overlays,
        uncertainty=arguments.uncertainty,
        tta=arguments.tta,
        region=region,
        on_error=arguments.on_error,
    )
    with ExitStack() as stack:
        compute = None
        if arguments.dask is not None:
            opening = _open_cluster(arguments.dask, trained, cache=arguments.cache, quiet=arguments.quiet)
            compute = stack.enter_context(opening).compute
        notes = predict_files(trained, jobs, options, compute=compute, quiet=arguments.quiet)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    write_record(trained, arguments.out)
    kind = "volume" if trained.dimensions == 3 else "image"
    said = [f"{len(jobs)} {kind}{'s' * (len(jobs) != 1)} predicted into {arguments.out}", trained.engine.words]
    print(", ".join(filter(None, said)))


def _open_cluster(where: str, run: "Run", *, cache: bool, quiet: bool) -> "AbstractContextManager[Cluster]":
    """Workers of Dask, which is an extra."""
    from tinyunet.errors import ConfigError

    try:
        from tinyunet.runs.cluster import open_cluster
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("dask", "distributed"):
            raise
        raise ConfigError("`--dask` wants Dask, which is not installed: pip install 'tinyunet[dask]'.") from None
    return open_cluster(where, run, cache=cache, quiet=quiet)


def parse_region(text: str) -> tuple[slice, ...]:
    """A part of an image as a person writes it.

    Args:
        text: First and last pixel, the last excluded, along each axis of space.

    Raises:
        ConfigError: It is written in another way.

    Example:
        >>> parse_region("100:200,0:50")
        (slice(100, 200, None), slice(0, 50, None))
    """
    from tinyunet.errors import ConfigError

    parts = [re.fullmatch(r"(\d{1,18}):(\d{1,18})", part.strip()) for part in text.split(",")]
    if len(parts) not in (2, 3) or None in parts:
        raise ConfigError(f"`--region` must be like 100:200,0:50 (rows, columns; slices first), got {text!r}.")
    return tuple(slice(int(part[1]), int(part[2])) for part in parts if part is not None)
