"""The whole pipeline as one ONNX model: raw pixels in, probabilities and labels out, images of any size.

Three choices that keep it to operators which every runtime computes alike:

- An image is continued beyond its border by Gather with computed positions, not by Pad: Pad mirrors once at most, and
  the position of a pixel is a whole number whatever computes it.
- Mean and standard deviation of an image are taken in float32, since WebGPU knows no float64: of rows first, since one
  sum over a large image is off in the fifth digit, and the mean a second time of what the first left over. Something
  is computed between rows and columns (differences to the first, roots), or OpenVINO would sum over both at once.
- Labels are 32-bit integers, which JavaScript has arrays of.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tinyunet.errors import ConfigError
from tinyunet.evaluation.temperature import FLOOR
from tinyunet.export.borders import Border
from tinyunet.export.graph import Graph, onnx_package
from tinyunet.export.network import add_network
from tinyunet.export.pipeline import Pipeline

KEY = "tinyunet"
"""The one entry of the file's metadata: JSON."""

LARGEST_BYTES = 2**31 - 2**20
"""What one ONNX file can hold, less a little for what is no weight."""


def onnx_model(pipeline: Pipeline) -> Any:
    """The pipeline as an `onnx.ModelProto`.

    Input `image`, float32 (batch, channels, height, width), or (batch, channels, depth, height, width), as a file holds
    it. Results: `probabilities`, float32 (batch, names, height, width), and `labels`, int32 (batch, height, width), or
    the pipeline's maps, float32 (batch, height, width).

    Raises:
        ConfigError: The package onnx is not installed, or the weights are too many for one file.
    """
    onnx = onnx_package()
    _check_size(pipeline)
    graph = Graph()
    image = graph.cut("image", axes=[1], starts=[0], ends=[pipeline.channels.used], name="used")
    wide = _scale(graph, _continue(graph, _centre(graph, image, pipeline), pipeline), pipeline)
    members = []
    for variables in pipeline.members:
        logits = add_network(graph, wide, pipeline.model, variables, dimensions=pipeline.dimensions)
        members.append(graph.add("Softmax", _crop(graph, logits, pipeline), axis=1))
    plain = _mean(graph, members)
    _add_results(graph, plain, pipeline)

    channels = "channels" if pipeline.takes_more_channels else pipeline.channels.used
    features: dict[str, tuple[int, ...]] = {"probabilities": (len(pipeline.names),)}
    model = graph.model(
        [graph.value_of("image", "batch", channels, *pipeline.axes)],
        [
            graph.value_of(name, "batch", *features.get(name, ()), *pipeline.axes, whole=name == "labels")
            for name in pipeline.outputs
        ],
    )
    onnx.helper.set_model_props(model, {KEY: pipeline.about()})
    return model


def write_onnx(path: Path, pipeline: Pipeline) -> None:
    """Writes the pipeline as one file, after ONNX's own checker has looked at it.

    Raises:
        ConfigError: As `onnx_model`.
    """
    onnx, model = onnx_package(), onnx_model(pipeline)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def open_onnx(content: bytes) -> Callable[[Float32[np.ndarray, "b c *space"]], dict[str, np.ndarray]]:
    """The function of a file, computed by ONNX Runtime on the CPU: from images to its results by name.

    Raises:
        ConfigError: The package onnxruntime is not installed.
    """
    runtime = onnx_package("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda image: dict(zip(names, session.run(names, {"image": image}), strict=True))


def _check_size(pipeline: Pipeline) -> None:
    """Refuses what does not go into one file."""
    import jax

    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(list(pipeline.members)))
    if size > LARGEST_BYTES:
        count = len(pipeline.members)
        way_out = "export one fold alone" if count > 1 else "train with fewer model.features"
        raise ConfigError(
            f"The weights of {count} network{'s' * (count > 1)} are {size / 2**30:.1f} GiB, and one ONNX file holds 2: "
            f"{way_out}."
        )


def _centre(graph: Graph, image: str, pipeline: Pipeline) -> str:
    """The first half of `tinyunet.data.normalise.normalise`; all of it where an image is normalised by itself.

    The halves are apart, the image's continuation between them, since OpenVINO makes one multiplication and addition
    of both where they are neighbours, x f - mean f, and loses a small contrast on a large offset.
    """
    if pipeline.normalisation.kind == "image":
        return _normalise_by_itself(graph, image, pipeline.dimensions)
    mean, _ = pipeline.affine()
    return graph.add("Sub", image, graph.constant(_per_channel(mean, pipeline), "mean"), name="centred")


def _scale(graph: Graph, wide: str, pipeline: Pipeline) -> str:
    """The second half."""
    if pipeline.normalisation.kind == "image":
        return wide
    mean, factor = pipeline.affine()
    rest = mean - mean.astype(np.float32)  # what float32 could not hold of the mean
    if np.any(np.abs(rest) * factor > 1e-6):
        wide = graph.add("Sub", wide, graph.constant(_per_channel(rest, pipeline), "rest_of_mean"))
    return graph.add("Mul", wide, graph.constant(_per_channel(factor, pipeline), "factor"), name="normalised")


def _per_channel(numbers: np.ndarray, pipeline: Pipeline) -> np.ndarray:
    """A number for each channel, so that it goes with images (b, c, *space)."""
    return numbers.astype(np.float32).reshape(-1, *(1,) * pipeline.dimensions)


def _normalise_by_itself(graph: Graph, image: str, dimensions: int) -> str:
    """Every image of the batch by its own mean and standard deviation; a constant channel becomes 0."""
    x = image
    for _ in range(2):  # a mean in float32 is off by rounding, and the mean of what is left is not
        mean = graph.add("ReduceMean", x, graph.integers(1 + dimensions), keepdims=1)
        for axis in range(dimensions, 1, -1):
            first = graph.cut(mean, axes=[axis], starts=[0], ends=[1], name="first")
            others = graph.add("Sub", mean, first)
            mean = graph.add("Add", first, graph.add("ReduceMean", others, graph.integers(axis), keepdims=1))
        x = graph.add("Sub", x, mean)
    rms = x
    for axis in range(1 + dimensions, 1, -1):
        rms = graph.add("Sqrt", graph.add("ReduceMean", graph.add("Mul", rms, rms), graph.integers(axis), keepdims=1))
    axes = graph.integers(*range(2, 2 + dimensions))
    highest = graph.add("ReduceMax", image, axes, keepdims=1)
    lowest = graph.add("ReduceMin", image, axes, keepdims=1)
    varies = graph.add("Greater", highest, lowest, name="varies")
    # Where nothing varies, x is 0 up to rounding, and must be neither blown up nor divided by 0.
    one = graph.constant(np.float32(1), "one")
    return graph.add("Div", x, graph.add("Where", varies, rms, one, name="std"), name="normalised")


def _continue(graph: Graph, image: str, pipeline: Pipeline) -> str:
    """The image beyond its borders, as far as the network asks."""
    shape = graph.add("Shape", "image", name="shape")
    for axis, topology in enumerate(pipeline.topologies, start=2):
        border = Border.of(topology)
        if not border.nothing:
            size = graph.add("Gather", shape, graph.integer(axis), name="size", axis=0)
            image = graph.add("Gather", image, border.add(graph, size), name="wide", axis=axis)
    return image


def _crop(graph: Graph, logits: str, pipeline: Pipeline) -> str:
    """The part that is the image's: the first pixels along each axis."""
    if all(Border.of(topology).multiple == 1 for topology in pipeline.topologies):
        return logits
    axes = list(range(2, 2 + pipeline.dimensions))
    shape = graph.add("Shape", "image", name="shape")
    sizes = graph.cut(shape, axes=[0], starts=[2], ends=[2 + pipeline.dimensions], name="sizes")
    return graph.cut(logits, axes=axes, starts=[0] * len(axes), ends=sizes, name="inside")


def _mean(graph: Graph, members: Sequence[str]) -> str:
    """The mean of the probabilities of all networks."""
    total = members[0]
    for member in members[1:]:
        total = graph.add("Add", total, member)
    if len(members) == 1:
        return total
    return graph.add("Mul", total, graph.constant(np.float32(1 / len(members)), "share"), name="mean_probabilities")


def _add_results(graph: Graph, plain: str, pipeline: Pipeline) -> None:
    """`tinyunet.evaluation.temperature.scale_probabilities`, and what is decided by the unscaled probabilities."""
    if pipeline.temperature == 1:
        graph.add("Identity", plain, name="probabilities")
    else:
        logs = graph.add("Log", graph.add("Max", plain, graph.constant(np.float32(FLOOR), "floor")))
        scaled = graph.add("Mul", logs, graph.constant(np.float32(1 / pipeline.temperature), "inverse_temperature"))
        graph.add("Softmax", scaled, name="probabilities", axis=1)
    for name, places in pipeline.maps.items():
        part = graph.add("Gather", plain, graph.integers(*places), axis=1)
        graph.add("ReduceSum", part, graph.integers(1), name=name, keepdims=0)
    if pipeline.values is not None:
        ids = graph.add("ArgMax", plain, name="ids", axis=1, keepdims=0)
        if pipeline.values == tuple(range(len(pipeline.names))):
            graph.add("Cast", ids, name="labels", to=graph.int32)
        else:
            table = graph.constant(np.array(pipeline.values, np.int32), "label_values")
            graph.add("Gather", table, ids, name="labels", axis=0)
