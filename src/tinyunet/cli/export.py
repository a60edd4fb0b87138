"""Write a run as a file or a page for others to use, and compare what it computes with the run."""

import argparse
import sys
from pathlib import Path

from tinyunet.cli.tables import table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `export`."""
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder or a model.safetensors")
    parser.add_argument(
        "--format",
        choices=("onnx", "stablehlo", "safetensors", "bioimageio", "web"),
        required=True,
        help="onnx, or stablehlo for JAX: the whole pipeline; safetensors: weights and configuration; bioimageio: a "
        "package of bioimage.io; web: a page that computes in its visitors' browsers",
    )
    parser.add_argument(
        "--out", metavar="PATH", type=Path, required=True, help="the file to write, and for web the folder"
    )
    parser.add_argument(
        "--data", metavar="DATA", type=Path, help="compare on test images of this data set, not on images made up"
    )
    parser.add_argument("--licence", metavar="ID", default="", help="of the model, as CC-BY-4.0, to be written down")
    parser.add_argument("--author", metavar="NAME", dest="authors", action="append", default=[], help="of the model")
    parser.add_argument(
        "--include-image",
        action="store_true",
        help="let a package carry a test image of DATA; without it, none of yours is in the file",
    )
    parser.add_argument(
        "--onnxruntime-web",
        metavar="DIR|cdn",
        help="what a page computes with: the folder of that npm package, or cdn for a public host; by default npm "
        "fetches it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file, or a page, that is there")


def run(arguments: argparse.Namespace) -> None:
    """Exports, and prints how the file compares with the run."""
    from tinyunet.runs.export import export_run

    made = export_run(
        arguments.model,
        arguments.out,
        format=arguments.format,
        data=arguments.data,
        licence=arguments.licence,
        authors=arguments.authors,
        include_image=arguments.include_image,
        onnxruntime_web=arguments.onnxruntime_web,
        overwrite=arguments.overwrite,
        quiet=arguments.quiet,
    )
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    rows = [[" × ".join(map(str, c.shape)), f"{c.difference:.1e}", f"{100 * c.equal:.4g} %"] for c in made.comparisons]
    print(table(["compared with the run on", "largest difference", "equal labels"], rows))
    print(f"\n{made.path}   {made.size_bytes / 2**20:.2f} MiB   largest difference {made.difference:.1e}")
