"""An ONNX graph while it grows: values have names, a node turns some into another, weights are constants."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from tinyunet import __version__
from tinyunet.errors import ConfigError

OPSET = 21
"""Version of the operators: the newest in which onnxruntime-web has all that computes on pixels in WebGPU.

In 22, pooling and transposed convolution have no kernels there, and every map would go to the CPU and back.
"""


def onnx_package(name: str = "onnx") -> ModuleType:
    """One of the packages of the extra `onnx`: `onnx`, or `onnxruntime`.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        if name == "onnxruntime":
            import onnxruntime

            return onnxruntime
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper

        return onnx
    except ImportError:
        raise ConfigError(f"ONNX needs the package {name}: pip install 'tinyunet[onnx]'.") from None


class Graph:
    """Nodes in the order in which they are computed, and constants.

    A value is known by its name. Names are given in the paper's words where there are any (`e1`, `u2`) and get a
    number where they occur again.

    Example:
        >>> graph = Graph()
        >>> doubled = graph.add("Mul", "image", graph.constant(np.float32(2), "two"), name="doubled")
        >>> graph.add("Relu", doubled), [node.op_type for node in graph.nodes]
        ('relu', ['Mul', 'Relu'])
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx_package()
        self.int32 = self._onnx.TensorProto.INT32
        self._names: dict[str, int] = {}

    def constant(self, value: Shaped[np.ndarray, "..."] | np.generic, name: str = "constant") -> str:
        """The name of a new constant."""
        name = self._fresh(name)
        self.constants.append(
            self._onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
        )
        return name

    def integers(self, *values: int) -> str:
        """The name of a new constant list of whole numbers, as shapes, axes and positions are given."""
        return self.constant(np.array(values, np.int64), "integers")

    def integer(self, value: int) -> str:
        """The name of a new constant whole number."""
        return self.constant(np.array(value, np.int64), "integer")

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Adds a node of one result.

        Args:
            kind: The operator.
            inputs: Names of values.
            name: Of the result, and of the node.
            attributes: Of the operator.

        Returns:
            The name of the result.
        """
        name = self._fresh(name or kind.lower())
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def cut(self, value: str, *, axes: list[int], starts: list[int], ends: list[int] | str, name: str = "cut") -> str:
        """A part of a value.

        Args:
            value: Its name.
            axes: Those that are cut.
            starts: First position along each of them.
            ends: The position after the last, negative ones from the end; or the name of a value that holds them.
            name: Of the result.
        """
        stop = ends if isinstance(ends, str) else self.integers(*ends)
        return self.add("Slice", value, self.integers(*starts), stop, self.integers(*axes), name=name)

    def model(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The graph as an `onnx.ModelProto`.

        Args:
            inputs: What `value_of` gives of every value that comes from outside.
            outputs: The same of those that go there.
        """
        helper = self._onnx.helper
        operators = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            helper.make_graph(self.nodes, "tinyunet", list(inputs), list(outputs), self.constants),
            opset_imports=operators,
            ir_version=helper.find_min_ir_version_for(operators),
            producer_name="tinyunet",
            producer_version=__version__,
        )

    def value_of(self, name: str, *shape: int | str, whole: bool = False) -> Any:
        """What is said of a value that comes from outside or goes there: float32, or whole numbers of 32 bits."""
        kind = self._onnx.TensorProto.INT32 if whole else self._onnx.TensorProto.FLOAT
        return self._onnx.helper.make_tensor_value_info(name, kind, list(shape))

    def _fresh(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"
