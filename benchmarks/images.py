"""How much time and memory does the prediction of a whole image take, beside MONAI and ONNX Runtime?

All have the same network and cut the image into tiles: of at most 512², and this project of up to 1024² where an image
is large. This project and ONNX Runtime, which is given this project's smaller tiles, throw away what an inner border of
a tile can reach; MONAI's sliding window, with its own defaults, overlaps tiles by a quarter and averages them.
"""

import argparse
import dataclasses
import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.measure import cores, machine
from benchmarks.peers.case import CLASSES, Case
from benchmarks.present import Table, add_output_options, present
from benchmarks.step import OURS, XLA_ALONE, kernels, preset_case
from benchmarks.workers import Conditions, Make, Measured, Work, compare

Predict = Callable[[np.ndarray], np.ndarray]
"""From pixels, float32 (h, w, 1), to labels (h, w)."""

TILE = 512
MONAI, ONNX = "PyTorch, MONAI's sliding window", "ONNX Runtime, our tiles"
NEEDS = {MONAI: ("torch", "monai"), ONNX: ("torch", "onnxscript", "onnxruntime")}
"""Modules of the extra `bench`, by peer."""


def scene(side: int) -> np.ndarray:
    """A square image of noise: what the pixels are changes nothing about the time."""
    return np.random.default_rng(0).standard_normal((side, side, 1), dtype=np.float32)


def make_work(predict: Predict, parameters: int, sides: Sequence[int]) -> Work:
    """One call for each size of image."""
    calls = {megapixels(side): functools.partial(_predict_one, predict, side) for side in sides}
    return Work(parameters=parameters, calls=calls)


def _predict_one(predict: Predict, side: int) -> None:
    image = scene(side)
    found = predict(image)
    assert found.shape == image.shape[:2]


def megapixels(side: int) -> str:
    """The name of a size."""
    return f"{side * side / 1e6:.3g} megapixels ({side}²)"


def make_ours(case: Case, sides: Sequence[int]) -> Work:
    """This project's tiles and network."""
    import jax

    from benchmarks.peers import ours
    from tinyunet.prediction.predict import predict_labels
    from tinyunet.runs.build import LARGE_PIXELS, build_probabilities, build_tiles
    from tinyunet.training.state import initial_variables

    model = ours.model(case)
    variables = initial_variables(model, 0, channels=1, shape=case.space)
    forward = functools.partial(build_probabilities(model), variables)

    def predict(image: np.ndarray) -> np.ndarray:
        large = math.prod(image.shape[:2]) >= LARGE_PIXELS  # as `tinyunet.runs.run.Run.tiles_for`
        return predict_labels(forward, image, build_tiles(_config(case), case.space, large=large))

    return make_work(predict, sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), sides)


def make_monai(case: Case, sides: Sequence[int]) -> Work:
    """PyTorch's network under MONAI's sliding window, channels last."""
    import torch
    from monai.inferers import sliding_window_inference

    from benchmarks.peers.torch_unet import TorchSegmenter

    torch.set_num_threads(cores())
    model = TorchSegmenter(case).to(memory_format=torch.channels_last).eval()

    def predict(image: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(image).movedim(-1, 0)[None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return sliding_window_inference(batch, (TILE, TILE), 1, model)[0].argmax(0).numpy()

    return make_work(predict, sum(parameter.numel() for parameter in model.parameters()), sides)


def make_onnx(case: Case, sides: Sequence[int]) -> Work:
    """PyTorch's network exported to ONNX, on this project's tiles."""
    import tempfile
    from pathlib import Path

    import onnxruntime
    import torch

    from benchmarks.peers.runtimes import export
    from benchmarks.peers.torch_unet import TorchSegmenter
    from tinyunet.prediction.predict import predict_labels
    from tinyunet.runs.build import build_tiles

    model = TorchSegmenter(case).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores(), 1
    with tempfile.TemporaryDirectory() as folder:
        export(model, np.zeros((1, 1, TILE, TILE), np.float32), file := Path(folder) / "unet.onnx")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def forward(tiles: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return np.moveaxis(session.run(None, {name: np.moveaxis(tiles, -1, 1)})[0], 1, -1)

    # The exported network knows one size of tile, so that smaller images are filled up.
    tiles = [dataclasses.replace(spec, ladder=spec.ladder[-1:]) for spec in build_tiles(_config(case), case.space)]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    torch.set_num_threads(cores())
    return make_work(lambda image: predict_labels(forward, image, tiles), parameters, sides)


def _config(case: Case):
    from tinyunet.models.presets import ModelConfig

    names = ("features", "depth", "convs_per_block", "skip", "padding", "norm")
    return ModelConfig(**{name: getattr(case, name) for name in names})


def make_peers(case: Case, sides: Sequence[int]) -> dict[str, Make]:
    """Who takes part; what is not installed is left out with a line that says so."""
    makes = {OURS: make_ours, XLA_ALONE: make_ours, MONAI: make_monai, ONNX: make_onnx}
    if importlib.util.find_spec("tinyunet_native") is None:
        del makes[XLA_ALONE]
    for name, modules in NEEDS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            print(f"{name} is skipped: {missing[0]} is not installed; pip install 'tinyunet[bench]'.", file=sys.stderr)
            del makes[name]
    return {name: functools.partial(make, case, tuple(sides)) for name, make in makes.items()}


def tabulate(found: dict[str, Measured], sides: Sequence[int], case: Case) -> list[Table]:
    """One table for each size."""
    tables = []
    for side in sides:
        kind = megapixels(side)
        mine = found[OURS].seconds[kind]
        rows = tuple(
            (
                name,
                peer.seconds[kind].text(),
                f"{side * side / 1e6 / peer.seconds[kind].median:.2f}",
                peer.seconds[kind].over(mine).text(),
                round(peer.peak_bytes[kind] / 2**20),
            )
            for name, peer in found.items()
        )
        header = ("", "s, median (min–max)", "megapixels per second", "÷ ours, pair by pair", "peak MiB so far")
        title = f"Labels of {kind} by {case.features} features, depth {case.depth}, {CLASSES} classes, {kernels()}"
        tables.append(Table(title, header, rows))
    return tables


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[1000, 4000, 10_000], help="of the images (default 1000 4000 10000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default 3)")
    add_output_options(parser)
    arguments = parser.parse_args(argv)
    facts = machine()
    case = preset_case("tiny", batch=1, size=256)
    peers = make_peers(case, arguments.sides)
    conditions = {OURS: Conditions(memory_kept=True), XLA_ALONE: Conditions(True, {"TINYUNET_NATIVE": "off"})}
    found = compare(peers, rounds=arguments.rounds, turn_seconds=0.0, conditions=conditions)
    present(
        arguments,
        question="Prediction of whole images",
        machine=facts,
        tables=tabulate(found, arguments.sides, case),
        raw={name: dataclasses.asdict(peer) for name, peer in found.items()},
    )


if __name__ == "__main__":
    main()
