import numpy as np
import pytest
from flax import linen as nn
from reference.compiled import quick_jit

from tinyunet.export import operations
from tinyunet.export.graph import Graph, onnx_package
from tinyunet.export.operations import Map
from tinyunet.layers import block, conv, norm, pool, upsample

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def computed(operation, x):
    """What ONNX Runtime makes of a map (b, *space, d), channels last again, and the sizes that were promised."""
    onnx, runtime, graph = onnx_package(), onnx_package("onnxruntime"), Graph()
    result = operation(graph, Map("x", x.shape[1:-1]))
    number = onnx.TensorProto.FLOAT
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "operation",
            [onnx.helper.make_tensor_value_info("x", number, [None] * x.ndim)],
            [onnx.helper.make_tensor_value_info(result.name, number, [None] * x.ndim)],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", 21)],
        ir_version=10,
    )
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = np.moveaxis(session.run(None, {"x": np.moveaxis(x, -1, 1)})[0], 1, -1)
    assert found.shape[1:-1] == result.sizes
    return found


def agrees(operation, x, expected):
    np.testing.assert_allclose(computed(operation, x), expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("window", [(3, 3), (1, 3), (1,), (1, 3, 3), (3, 3, 3)])
def test_convolve(window, padding):
    x, kernel, bias = normal(2, *(5, 6, 4)[-max(2, len(window)) :], 3), normal(*window, 3, 2), normal(2)
    expected = quick_jit(conv.convolve, static_argnames="padding")(x, kernel, bias, padding=padding)
    agrees(lambda g, m: operations.convolve(g, m, kernel, bias, padding=padding), x, expected)


@pytest.mark.parametrize("window", [(2, 2), (1, 2), (2, 2, 2), (1, 2, 2)])
def test_conv_transpose(window):
    x, kernel, bias = normal(2, *(2, 3, 4)[: len(window)], 3), normal(*window, 3, 2), normal(2)
    expected = quick_jit(upsample.conv_transpose)(x, kernel, bias)
    agrees(lambda g, m: operations.conv_transpose(g, m, kernel, bias, name="u1"), x, expected)


@pytest.mark.parametrize("steps", [(2, 2), (2, 1), (1, 2), (2, 2, 2), (1, 2, 2), (2, 1, 2)])
def test_upsampling_and_pooling_of_some_axes(steps):
    x = normal(2, *(4, 6, 2)[: len(steps)], 2 ** steps.count(2) * 3)
    shuffled, interpolated, pooled = quick_jit(
        lambda x: (upsample.depth_to_space(x, steps), upsample.bilinear(x, factors=steps), pool.max_pool(x, steps))
    )(x)
    agrees(lambda g, m: operations.depth_to_space(g, m, block=steps, features=3, name="u1"), x, shuffled)
    agrees(lambda g, m: operations.bilinear(g, m, block=steps, name="u1"), x, interpolated)
    agrees(lambda g, m: operations.max_pool(g, m, window=steps, name="p1"), x, pooled)


@pytest.mark.parametrize("sizes", [(3, 4), (5, 2), (1, 4)])
def test_crop(sizes):
    x = normal(1, 5, 4, 2)
    assert operations.crop(Graph(), Map("x", (5, 4)), (5, 4)) == Map("x", (5, 4))
    expected = quick_jit(block.crop_to, static_argnames="shape")(x, shape=(1, *sizes, 2))
    agrees(lambda g, m: operations.crop(g, m, sizes), x, expected)


@pytest.mark.parametrize("kind", ["instance", "group"])
@pytest.mark.parametrize("space", [(4, 5), (2, 3, 4)])
def test_norms_over_the_image(kind, space):
    x, scale, bias = normal(2, *space, 16), normal(16), normal(16)
    layer = nn.InstanceNorm(epsilon=1e-5) if kind == "instance" else nn.GroupNorm(norm.group_count(16), epsilon=1e-5)
    expected = quick_jit(layer.apply)({"params": {"scale": scale, "bias": bias}}, x)
    operation = getattr(operations, f"{kind}_norm")
    agrees(lambda g, m: operation(g, m, scale, bias), x, expected)


def test_folding_is_the_normalisation_after_the_convolution():
    x, kernel, bias = normal(1, 5, 5, 2), normal(3, 3, 2, 4), normal(4)
    scale, shift, mean, var = normal(4), normal(4), normal(4), np.abs(normal(4)) + 0.1
    plain = quick_jit(conv.convolve)(x, kernel, bias)
    folded = operations.fold(kernel, bias, scale=scale, shift=shift, mean=mean, var=var)
    expected = (np.asarray(plain, np.float64) - mean) / np.sqrt(var + 1e-5) * scale + shift
    agrees(lambda g, m: operations.convolve(g, m, *folded), x, expected)
