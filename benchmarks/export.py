"""Does an ONNX file compute what its run does, in ONNX Runtime and in OpenVINO, on real images of odd sizes?"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from benchmarks.present import Cell, Table, add_output_options, present
from tinyunet.export.onnxfile import open_onnx
from tinyunet.runs.exporters import WRITERS, Label, channels_first, channels_last
from tinyunet.runs.parity import Comparison, Exported, compare, cut_out_images
from tinyunet.runs.run import Run, load


def by_onnx_runtime(path: Path) -> Exported:
    """The results of a file, by ONNX Runtime on the CPU."""
    compute = open_onnx(path.read_bytes())
    return lambda image: channels_last(compute(channels_first(image)))


def by_openvino(path: Path) -> Exported:
    """The same by OpenVINO."""
    import onnx
    import openvino

    # The precision is said because on some processors bfloat16 is what it takes by itself.
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # A result that another one is a copy of has both names, and some that are not the file's.
    declared = [one.name for one in onnx.load(path, load_external_data=False).graph.output]
    names = [next(name for name in declared if name in output.get_names()) for output in model.outputs]

    def exported(image: np.ndarray) -> dict[str, np.ndarray]:
        found = model([channels_first(image)])
        return channels_last({name: found[name] for name in names})

    return exported


RUNTIMES: Mapping[str, Callable[[Path], Exported]] = {"ONNX Runtime": by_onnx_runtime, "OpenVINO": by_openvino}


def measure(
    run: Run, images: Sequence[np.ndarray], runtimes: Sequence[str]
) -> tuple[float, dict[str, list[Comparison]]]:
    """The size of a run's file in MiB, and for each runtime how it compares on every image."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        WRITERS["onnx"][1](path, run, Label(name="model"))
        size = path.stat().st_size / 2**20
        for name in runtimes:
            found[name] = compare(run, RUNTIMES[name](path), images, progress=lambda done, what: None)
    return size, found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument(
        "--run",
        metavar=("RUN", "DATA"),
        dest="runs",
        type=Path,
        nargs=2,
        action="append",
        required=True,
        help="a run, and the data set whose test images are taken; may be repeated",
    )
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES), help="default: all")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts, rows, raw = machine(), list[tuple[Cell, ...]](), {}
    for path, data in arguments.runs:
        run = load(path)
        began = time.perf_counter()
        size, found = measure(run, cut_out_images(run, data), arguments.runtimes)
        raw[str(path)] = {"size_mib": size, "seconds": time.perf_counter() - began}
        for name, comparisons in found.items():
            for one in comparisons:
                sides = "×".join(map(str, one.shape))
                share = f"{100 * one.equal:.4f} %"
                rows.append((data.resolve().name, sides, name, f"{one.difference:.1e}", share, f"{size:.2f}"))
                raw[str(path)][f"{name}, {sides}"] = {"difference": one.difference, "equal": one.equal}
    header = ("run on", "image", "runtime", "largest difference", "equal labels", "file, MiB")
    title = "Probabilities of the file against the run's by JAX"
    present(
        arguments,
        question="Does an exported network compute the same?",
        machine=facts,
        tables=[Table(title, header, tuple(rows))],
        raw=raw,
    )


if __name__ == "__main__":
    main()
