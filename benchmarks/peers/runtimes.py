"""PyTorch's network exported to ONNX and run for inference by ONNX Runtime or OpenVINO; needs the extra `bench`."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import cores
from benchmarks.peers.case import INFERENCE, Case
from benchmarks.peers.torch_unet import TorchSegmenter
from benchmarks.workers import Call, Work


def make_onnx_runtime(case: Case) -> Work:
    """What is timed of ONNX Runtime: its processor back end, in float32."""
    return _make(case, onnx_runtime_call)


def make_openvino(case: Case) -> Work:
    """What is timed of OpenVINO: its processor back end, in float32."""
    return _make(case, openvino_call)


def onnx_runtime_call(file: Path, images: np.ndarray) -> Call:
    """Runs the network of a file, and returns logits (b, k, *space)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores(), 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})[0]


def openvino_call(file: Path, images: np.ndarray) -> Call:
    """The same."""
    import openvino

    # The precision is said because on some processors bfloat16 is what it takes by itself.
    settings = {"INFERENCE_NUM_THREADS": cores(), "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(file), "CPU", settings).create_infer_request()
    return lambda: request.infer([images], share_inputs=True, share_outputs=True)[0]


def _make(case: Case, call: Any) -> Work:
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    model = TorchSegmenter(case).eval()
    images = np.ascontiguousarray(np.moveaxis(case.data()[0], -1, 1))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "unet.onnx"
        export(model, images, file)
        run = call(file, images)
    return Work(parameters=sum(parameter.numel() for parameter in model.parameters()), calls={INFERENCE: run})


def export(model: torch.nn.Module, images: np.ndarray, file: Path) -> None:
    """Writes a network in evaluation mode, its weights in the same file."""
    torch.onnx.export(model, (torch.from_numpy(images),), file, external_data=False, verbose=False)
