"""Networks on tiles, computed by ONNX Runtime: what `tinyunet.runs.build.build_probabilities` computes by XLA."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float32

from tinyunet.export.graph import Graph, onnx_package
from tinyunet.export.network import Variables, add_network
from tinyunet.models.presets import ModelConfig

OnTiles = Callable[[Float32[np.ndarray, "n *tile c"], Bool[np.ndarray, "n *tile 1"]], Float32[np.ndarray, "n *out k"]]
"""Tiles and which of their pixels are valid -> probabilities."""


def open_on_tiles(
    config: ModelConfig, members: Sequence[Variables], *, dimensions: int, told: bool, threads: int
) -> OnTiles:
    """The mean of the probabilities that networks of one kind give.

    Args:
        config: Of the networks; they are computed in float32 whatever its `dtype` is.
        members: Variables of each, at least one.
        dimensions: Axes of space, 2 or 3.
        told: Whether they are told which pixels are valid.
        threads: How many compute.

    Raises:
        ConfigError: onnx or onnxruntime is not installed, or the graph cannot hold the network.
    """
    runtime, graph = onnx_package("onnxruntime"), Graph()
    total = ""
    for variables in members:
        logits = add_network(graph, "tiles", config, variables, dimensions=dimensions, valid="valid" if told else None)
        member = graph.add("Softmax", logits, axis=1)
        total = graph.add("Add", total, member) if total else member
    share = graph.constant(np.float32(1 / len(members)), "share")
    graph.add("Mul", total, share, name="probabilities")
    axes = ("depth", "height", "width")[-dimensions:]
    inputs = [graph.value_of("tiles", "batch", "channels", *axes)]
    inputs += [graph.value_of("valid", "batch", 1, *axes)] if told else []
    model = graph.model(inputs, [graph.value_of("probabilities", "batch", "names", *(f"out_{axis}" for axis in axes))])
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def compute(
        tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]
    ) -> Float32[np.ndarray, "n *out k"]:
        given = {"tiles": _channels_first(tiles)}
        if told:
            given["valid"] = _channels_first(valid.astype(np.float32))
        (found,) = session.run(["probabilities"], given)
        return np.ascontiguousarray(np.moveaxis(found, 1, -1))

    return compute


def _channels_first(x: Float32[np.ndarray, "n *tile c"]) -> Float32[np.ndarray, "n c *tile"]:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))
