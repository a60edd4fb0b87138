"""The U-Net and its head as nodes of an ONNX graph, batch normalisation folded into the convolutions.

Values have the paper's names, as in `tinyunet.models.unet`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tinyunet.errors import ConfigError
from tinyunet.export import operations
from tinyunet.export.graph import Graph
from tinyunet.export.operations import Map
from tinyunet.layers.upsample import MADE_UP
from tinyunet.models.presets import ModelConfig

Variables = Mapping[str, Any]
"""`params`, and `batch_stats` where the network has them."""


def add_network(
    graph: Graph,
    image: str,
    config: ModelConfig,
    variables: Variables,
    *,
    dimensions: int,
    valid: str | None = None,
) -> str:
    """Adds a segmenter's network to a graph.

    Args:
        graph: Where to.
        image: The name of an image (b, c, *space), normalised and of a size that the network takes.
        config: The network; the graph computes in float32 whatever its `dtype` is.
        variables: Of the segmenter.
        dimensions: Axes of space, 2 or 3.
        valid: The name of a map (b, 1, *space) of ones inside the image and zeros outside; there every map is held at
            zero, as by `tinyunet.models.unet.UNet`. None: the image is all there is.

    Returns:
        The name of the logits (b, k, *out).

    Raises:
        ConfigError: `valid` is given, and the network interpolates between pixels, some of which would be outside.
    """
    if valid is not None and config.upsample == "bilinear":
        raise ConfigError("A network with bilinear upsampling cannot be told in ONNX which pixels are valid.")
    network = _Network(graph, config, variables, dimensions)
    smallest = tuple(axis.smallest_size(1) for axis in network.topologies)
    x = network.body(Map(image, smallest), None if valid is None else Map(valid, smallest))
    head = variables["params"]["head"]
    return operations.convolve(graph, x, head["kernel"], head["bias"], name="logits").name


class _Network:
    """The body; linen numbers its blocks, and its upsamplings, in the order in which they are used."""

    def __init__(self, graph: Graph, config: ModelConfig, variables: Variables, dimensions: int):
        self.graph = graph
        self.config = config
        self.unet = config.unet()
        self.topologies = self.unet.topologies(dimensions)
        self.params: Variables = variables["params"]["unet"]
        self.statistics: Variables = variables.get("batch_stats", {}).get("unet", {})
        self.blocks = 0
        self.upsamplings = 0

    def body(self, x: Map, valid: Map | None) -> Map:
        """Down, bottom, up, with skips."""
        skips = []
        x = self._inside(x, valid)
        for stage in range(1, self.config.depth + 1):
            e = self._block([x], valid, name=f"e{stage}")
            skips.append((e, valid))
            x = self._pool(e, stage)
            valid = None if valid is None else self._pool(valid, stage)
        x = self._block([x], valid, name="b")
        for stage in range(self.config.depth, 0, -1):
            e, valid = skips.pop()
            u = self._inside(self._upsample(x, stage), valid)
            e = operations.crop(self.graph, e, u.sizes)
            if self.config.skip == "add":
                u = Map(self.graph.add("Add", u.name, e.name, name=f"u{stage}_plus_e{stage}"), u.sizes)
            x = self._block([u, e] if self.config.skip == "concat" else [u], valid, name=f"d{stage}")
        return x

    def _inside(self, x: Map, valid: Map | None) -> Map:
        """A map that is zero outside the image."""
        return x if valid is None else Map(self.graph.add("Mul", x.name, valid.name, name="inside"), x.sizes)

    def _steps(self, stage: int) -> tuple[int, ...]:
        """By how much the pooling after a stage, and the upsampling back to it, change each axis of space."""
        return tuple(2 if stage > axis.hold else 1 for axis in self.topologies)

    def _pool(self, x: Map, stage: int) -> Map:
        window = self._steps(stage)
        return x if set(window) == {1} else operations.max_pool(self.graph, x, window=window, name=f"p{stage}")

    def _block(self, maps: Sequence[Map], valid: Map | None, *, name: str) -> Map:
        block = f"ConvBlock_{self.blocks}"
        self.blocks += 1
        params = self.params[block]
        x = maps[0]
        if len(maps) > 1:
            x = Map(self.graph.add("Concat", *(m.name for m in maps), name=f"{name}_input", axis=1), x.sizes)
        shortcut = x
        for i in range(self.config.convs_per_block):
            last = i == self.config.convs_per_block - 1
            x = self._convolve_normalise(x, params, self.statistics.get(block, {}), i, name=f"{name}_conv{i + 1}")
            if self.config.residual and last:
                x = self._add_shortcut(x, operations.crop(self.graph, shortcut, x.sizes), params)
            x = Map(self.graph.add("Relu", x.name, name=name if last else f"{name}_relu{i + 1}"), x.sizes)
            x = self._inside(x, valid)
        return x

    def _convolve_normalise(self, x: Map, params: Variables, statistics: Variables, i: int, *, name: str) -> Map:
        kernel, bias = (params[f"Conv_{i}"][part] for part in ("kernel", "bias"))
        norm = self.config.norm
        if norm == "none":
            return operations.convolve(self.graph, x, kernel, bias, padding=self.config.padding, name=name)
        weights = params[f"{_NORMS[norm]}_{i}"]
        scale, shift = weights["scale"], weights["bias"]
        if norm == "batch":
            running = statistics[f"{_NORMS[norm]}_{i}"]
            kernel, bias = operations.fold(
                kernel, bias, scale=scale, shift=shift, mean=running["mean"], var=running["var"]
            )
        x = operations.convolve(self.graph, x, kernel, bias, padding=self.config.padding, name=name)
        if norm == "batch":
            return x
        normalise = operations.instance_norm if norm == "instance" else operations.group_norm
        return normalise(self.graph, x, scale, shift)

    def _add_shortcut(self, x: Map, shortcut: Map, params: Variables) -> Map:
        if "shortcut" in params:
            weights = params["shortcut"]
            shortcut = operations.convolve(self.graph, shortcut, weights["kernel"], weights["bias"], name="shortcut")
        return Map(self.graph.add("Add", x.name, shortcut.name, name="residual"), x.sizes)

    def _upsample(self, x: Map, stage: int) -> Map:
        """Undoes the pooling after a stage."""
        kind = self.config.upsample
        weights = self.params[f"{_UPSAMPLINGS[kind]}_{self.upsamplings}"]
        self.upsamplings += 1
        block, name = self._steps(stage), f"u{stage}"
        if kind == "transpose":
            return operations.conv_transpose(self.graph, x, weights["kernel"], weights["bias"], name=name)
        inner = weights["Conv_0"]
        x = operations.convolve(self.graph, x, inner["kernel"], inner["bias"], name=f"{name}_conv")
        if set(block) == {1}:
            return x
        if kind == "bilinear":
            x = operations.bilinear(self.graph, x, block=block, name=name)
        else:
            x = operations.depth_to_space(self.graph, x, block=block, features=self.unet.width(stage), name=name)
        made_up = 0 if self.config.padding == "same" else MADE_UP[kind]
        known = [size - 2 * made_up * (step - 1) for size, step in zip(x.sizes, block, strict=True)]
        return operations.crop(self.graph, x, known)


_NORMS = {"batch": "BatchNorm", "group": "GroupNorm", "instance": "InstanceNorm"}
_UPSAMPLINGS = {"transpose": "ConvTranspose", "bilinear": "BilinearUpsample", "pixel_shuffle": "PixelShuffle"}
