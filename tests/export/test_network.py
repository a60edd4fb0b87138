import pytest
from reference import pipelines

from tinyunet.export.graph import Graph
from tinyunet.export.network import add_network

# What every option computes is compared in test_onnxfile.py, where the whole pipeline runs.


def built(**options):
    pipeline = pipelines.pipeline_of(**options)
    graph = Graph()
    logits = add_network(graph, "image", pipeline.model, pipeline.members[0], dimensions=pipeline.dimensions)
    return graph, logits


def test_values_have_the_names_of_the_paper():
    graph, logits = built(depth=2)
    assert logits == "logits"
    names = [node.name for node in graph.nodes if not node.name.endswith(("_conv1", "_input"))]
    assert names == ["e1", "p1", "e2", "p2", "b", "u2", "d2", "u1", "d1", "logits"]


def test_batch_normalisation_leaves_no_node():
    kinds = [node.op_type for node in built(depth=2, convs_per_block=2)[0].nodes]
    assert set(kinds) == {"Conv", "Relu", "MaxPool", "ConvTranspose", "Concat"}
    assert kinds.count("Conv") == 2 * 5 + 1


@pytest.mark.parametrize(("skip", "joins"), [("concat", ["Concat"]), ("add", ["Add"]), ("none", [])])
def test_how_maps_are_joined(skip, joins):
    kinds = [node.op_type for node in built(skip=skip)[0].nodes]
    assert [kind for kind in kinds if kind in ("Concat", "Add")] == joins
