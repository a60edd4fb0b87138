"""What the layers do to a feature map, as nodes of an ONNX graph: channels first, weights as linen stores them.

Only plain operators that every runtime has: Conv, ConvTranspose, MaxPool, Resize, InstanceNormalization, Slice,
Reshape, Transpose, Shape, Concat, Add and Mul.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinyunet.export.graph import Graph
from tinyunet.layers.correlate import Padding
from tinyunet.layers.norm import EPSILON, group_count


@dataclass(frozen=True)
class Map:
    """A feature map in the graph.

    Attributes:
        name: Of the value, (b, d, *space).
        sizes: Of its axes of space, for the smallest image that the network takes. By how much a map is cropped is
            the same for images of all sizes, and read off these.
    """

    name: str
    sizes: tuple[int, ...]


def convolve(
    graph: Graph, x: Map, kernel: ArrayLike, bias: ArrayLike, *, padding: Padding = "same", name: str = "conv"
) -> Map:
    """`tinyunet.layers.conv.convolve`."""
    taps = np.asarray(kernel)
    if taps.ndim != len(x.sizes) + 2:  # a window of one pixel is stored with any number of axes
        taps = taps.reshape(*(1,) * len(x.sizes), *taps.shape[-2:])
    window = taps.shape[:-2]
    around = [(size - 1) // 2 if padding == "same" else 0 for size in window]
    weights = _weights(graph, np.moveaxis(taps, (-1, -2), (0, 1)), bias, name)
    made = graph.add("Conv", x.name, *weights, name=name, kernel_shape=list(window), pads=[*around, *around])
    return Map(made, tuple(n + 2 * a - w + 1 for n, a, w in zip(x.sizes, around, window, strict=True)))


def conv_transpose(graph: Graph, x: Map, kernel: ArrayLike, bias: ArrayLike, *, name: str) -> Map:
    """`tinyunet.layers.upsample.conv_transpose`: its kernel is turned over on every axis."""
    taps = np.asarray(kernel)
    block = taps.shape[:-2]
    turned = np.flip(taps, axis=tuple(range(len(block))))
    weights = _weights(graph, np.moveaxis(turned, (-2, -1), (0, 1)), bias, name)
    made = graph.add("ConvTranspose", x.name, *weights, name=name, kernel_shape=list(block), strides=list(block))
    return Map(made, _enlarged(x.sizes, block))


def depth_to_space(graph: Graph, x: Map, *, block: Sequence[int], features: int, name: str) -> Map:
    """`tinyunet.layers.upsample.depth_to_space`; ONNX's operator of that name knows no third axis."""
    doubled = [axis for axis, step in enumerate(block) if step == 2]
    shape = graph.add("Shape", x.name)
    batch = graph.cut(shape, axes=[0], starts=[0], ends=[1])
    space = graph.cut(shape, axes=[0], starts=[2], ends=[2 + len(block)])
    apart = graph.add("Concat", batch, graph.integers(*(2 for _ in doubled), features), space, axis=0)
    first = 2 + len(doubled)  # of the axes of space
    order = [0, first - 1]
    for axis in range(len(block)):
        order += [first + axis, *([1 + doubled.index(axis)] if axis in doubled else [])]
    blocks = graph.add("Transpose", graph.add("Reshape", x.name, apart), perm=order)
    fine = graph.add("Mul", space, graph.integers(*block))
    whole = graph.add("Concat", batch, graph.integers(features), fine, axis=0)
    return Map(graph.add("Reshape", blocks, whole, name=name), _enlarged(x.sizes, block))


def bilinear(graph: Graph, x: Map, *, block: Sequence[int], name: str) -> Map:
    """`tinyunet.layers.upsample.bilinear`."""
    scales = graph.constant(np.array([1, 1, *block], np.float32), "scales")
    options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return Map(graph.add("Resize", x.name, "", scales, name=name, **options), _enlarged(x.sizes, block))


def max_pool(graph: Graph, x: Map, *, window: Sequence[int], name: str) -> Map:
    """`tinyunet.layers.pool.max_pool`."""
    made = graph.add("MaxPool", x.name, name=name, kernel_shape=list(window), strides=list(window))
    return Map(made, tuple(size // step for size, step in zip(x.sizes, window, strict=True)))


def crop(graph: Graph, x: Map, sizes: Sequence[int]) -> Map:
    """`tinyunet.layers.block.crop_to`, the sizes being those of the smallest image."""
    surplus = [have - want for have, want in zip(x.sizes, sizes, strict=True)]
    axes = [axis for axis, extra in enumerate(surplus) if extra]
    if not axes:
        return x
    starts = [surplus[axis] // 2 for axis in axes]
    ends = [start - surplus[axis] for start, axis in zip(starts, axes, strict=True)]  # a convolution takes both sides
    return Map(graph.cut(x.name, axes=[axis + 2 for axis in axes], starts=starts, ends=ends), tuple(sizes))


def instance_norm(graph: Graph, x: Map, scale: ArrayLike, bias: ArrayLike) -> Map:
    """Every channel of every image by its own mean and variance."""
    weights = _weights(graph, scale, bias, "norm")
    return Map(graph.add("InstanceNormalization", x.name, *weights, name="norm", epsilon=EPSILON), x.sizes)


def group_norm(graph: Graph, x: Map, scale: ArrayLike, bias: ArrayLike) -> Map:
    """Every group of channels by its mean and variance: a group is made one long channel, and parted again."""
    channels = np.size(np.asarray(scale))
    groups = group_count(channels)
    joined = Map(graph.add("Reshape", x.name, graph.integers(0, groups, -1), name="groups"), x.sizes)
    plain = instance_norm(graph, joined, np.ones(groups), np.zeros(groups))
    parted = graph.add("Reshape", plain.name, graph.add("Shape", x.name), name="parted")
    shape = (channels, *(1,) * len(x.sizes))
    factor, shift = _weights(graph, np.reshape(scale, shape), np.reshape(bias, shape), "norm")
    return Map(graph.add("Add", graph.add("Mul", parted, factor), shift, name="norm"), x.sizes)


def fold(
    kernel: ArrayLike, bias: ArrayLike, *, scale: ArrayLike, shift: ArrayLike, mean: ArrayLike, var: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution that does a trained batch normalisation too, in float64.

        kernel' = kernel f,   bias' = (bias - mean) f + shift,   f = scale / sqrt(var + 1e-5)

    Args:
        kernel: Of the convolution, the features last.
        bias: Of the convolution.
        scale: Of the normalisation.
        shift: Of the normalisation.
        mean: Its running average.
        var: Its running average.

    Example:
        >>> one = np.ones(1)
        >>> kernel, bias = fold(np.ones((1, 1, 1)), one, scale=2 * one, shift=one, mean=one, var=4 * one)
        >>> kernel.round(3).item(), bias.round(3).item()
        (1.0, 1.0)
    """
    taps, offset, factor, added, average, spread = (
        np.asarray(a, np.float64) for a in (kernel, bias, scale, shift, mean, var)
    )
    factor = factor / np.sqrt(spread + EPSILON)
    return taps * factor, (offset - average) * factor + added


def _weights(graph: Graph, kernel: Any, bias: Any, name: str) -> tuple[str, str]:
    """A pair of constants in float32."""
    return (
        graph.constant(np.asarray(kernel, np.float32), f"{name}_kernel"),
        graph.constant(np.asarray(bias, np.float32), f"{name}_bias"),
    )


def _enlarged(sizes: Sequence[int], block: Sequence[int]) -> tuple[int, ...]:
    """The sizes of a map whose every pixel has become a block."""
    return tuple(size * step for size, step in zip(sizes, block, strict=True))
