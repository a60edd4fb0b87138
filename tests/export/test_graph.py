import sys

import numpy as np
import pytest

from tinyunet.errors import ConfigError
from tinyunet.export.graph import Graph, onnx_package


def test_a_name_that_occurs_again_gets_a_number():
    graph = Graph()
    assert [graph.add("Relu", "x", name="e1") for _ in range(3)] == ["e1", "e1_2", "e1_3"]
    assert [graph.add("Relu", "x"), graph.constant(np.float32(1), "relu")] == ["relu", "relu_2"]
    assert [node.output[0] for node in graph.nodes] == ["e1", "e1_2", "e1_3", "relu"]


@pytest.mark.parametrize("value", [np.float32(2.5), np.arange(6, dtype=np.int64).reshape(2, 3).T, np.zeros((0, 2))])
def test_constants_keep_value_shape_and_type(value):
    graph = Graph()
    graph.constant(value)
    found = onnx_package().numpy_helper.to_array(graph.constants[0])
    assert (found.shape, found.dtype) == (value.shape, value.dtype)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_what_installs_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"needs the package {name}: pip install 'tinyunet\[onnx\]'\.$"):
        onnx_package(name)
