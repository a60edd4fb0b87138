import numpy as np
import pytest

from tinyunet.export.borders import Border
from tinyunet.export.graph import Graph, onnx_package
from tinyunet.models.sizes import Topology

TOPOLOGIES = [
    Topology(depth=depth, padding=padding, convs_per_block=convs, hold=hold)
    for depth in (0, 1, 2, 4)
    for padding in ("same", "valid")
    for convs in (1, 3)
    for hold in {0, depth // 2, depth}
]


def by_a_graph(border, size):
    """The positions that ONNX's own reference computes."""
    onnx, graph = onnx_package(), Graph()
    result = border.add(graph, "size")
    whole = onnx.TensorProto.INT64
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "positions",
            [onnx.helper.make_tensor_value_info("size", whole, [])],
            [onnx.helper.make_tensor_value_info(result, whole, ["n"])],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", 21)],
    )
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model).run(None, {"size": np.array(size)})[0]


def test_five_pixels_by_hand():
    assert Border(multiple=4, remainder=0, lost=0).positions(5).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert Border(multiple=4, remainder=2, lost=3).positions(5).tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]


def test_the_network_takes_what_it_is_given_and_gives_back_what_is_said():
    for topology in TOPOLOGIES:
        border = Border.of(topology)
        for size in (1, 2, 3, 8, 15, 21, 38):
            assert border.whole(size) + 2 * border.lost == topology.smallest_size(size)
            assert topology.output_size(topology.smallest_size(size)) == border.whole(size)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 17])
@pytest.mark.parametrize(
    ("border", "mode"),
    [
        (Border(8, 0, 0), "edge"),
        (Border(1, 0, 0), "edge"),
        (Border(4, 2, 5), "reflect"),
        (Border(16, 4, 92), "reflect"),
    ],
)
def test_positions_are_those_of_numpy(border, mode, size):
    after = border.whole(size) - size + border.lost
    expected = np.pad(np.arange(size), (border.lost, after), mode)
    np.testing.assert_array_equal(border.positions(size), expected)
    np.testing.assert_array_equal(by_a_graph(border, size), expected)


def test_where_every_size_is_taken_nothing_is_added():
    assert Border.of(Topology(depth=0)).nothing
    assert Border.of(Topology(depth=2, hold=2)).nothing
    assert not Border.of(Topology(depth=0, padding="valid")).nothing
