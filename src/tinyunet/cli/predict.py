"""Predict images, or volumes, with a run."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
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
        choices=("auto", "native", "jax"),
        default="auto",
        help="what computes: the kernels of tinyunet-native, or JAX alone; auto takes the kernels where they are "
        "installed and agree with JAX on the first tile (the default)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Predicts every input."""
    from tinyunet.runs.predict import plan_jobs, predict_files, write_record
    from tinyunet.runs.run import load

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
    notes = predict_files(
        trained,
        jobs,
        probabilities=arguments.probabilities,
        overlays=arguments.overlays,
        uncertainty=arguments.uncertainty,
        tta=arguments.tta,
        quiet=arguments.quiet,
    )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    write_record(trained, arguments.out)
    kind = "volume" if trained.dimensions == 3 else "image"
    print(f"{len(jobs)} {kind}{'s' * (len(jobs) != 1)} predicted into {arguments.out}, {trained.engine.words}")
