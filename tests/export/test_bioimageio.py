import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import pytest
from reference import pipelines

from tinyunet.export.bioimageio import Card, identifier, read_package, write_bioimageio

CARD = Card(name="Cells of mine", task="semantic", licence="CC-BY-4.0", authors=("A. Uthor",))
COVER = np.zeros((4, 8, 3), np.uint8)


def tensors_of(pipeline, shape):
    k = len(pipeline.names)
    found = {"image": np.zeros((1, pipeline.channels.used, *shape), np.float32)}
    sizes = {"probabilities": ((1, k, *shape), np.float32), "labels": ((1, *shape), np.int32)}
    return found | {name: np.zeros(*sizes.get(name, ((1, *shape), np.float32))) for name in pipeline.outputs}


@pytest.fixture
def package(tmp_path):
    pipeline = pipelines.pipeline_of(names=("ground", "cell wall"), values=(0, 255))
    tensors = tensors_of(pipeline, (5, 7))
    write_bioimageio(tmp_path / "a.zip", pipeline, CARD, weights=b"weights", tensors=tensors, cover=COVER)
    return tmp_path / "a.zip"


def description(path):
    with zipfile.ZipFile(path) as package:
        return json.loads(package.read("rdf.yaml"))


def test_what_was_packed_comes_out(package):
    weights, tensors = read_package(package)
    assert weights == b"weights"
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "image": (1, 1, 5, 7),
        "probabilities": (1, 2, 5, 7),
        "labels": (1, 5, 7),
    }


def test_every_file_is_named_with_its_hash(package):
    table = description(package)
    named = {"README.md", "cover.png", "rdf.yaml"}
    with zipfile.ZipFile(package) as files:
        for entry in (
            table["weights"]["onnx"],
            *(tensor["test_tensor"] for tensor in table["inputs"] + table["outputs"]),
        ):
            named.add(entry["source"])
            assert hashlib.sha256(files.read(entry["source"])).hexdigest() == entry["sha256"]
        assert set(files.namelist()) == named
        assert files.read(table["documentation"]).startswith(b"# Cells of mine\n")
        assert b"| cell wall | 255 |" in files.read("README.md")
        assert files.read(table["covers"][0]).startswith(b"\x89PNG")


def test_what_goes_in_and_comes_out_is_described(package):
    table = description(package)
    assert (table["format_version"], table["type"], table["license"]) == ("0.5.5", "model", "CC-BY-4.0")
    assert (table["name"], table["authors"]) == ("Cells of mine", [{"name": "A. Uthor"}])
    (given,) = table["inputs"]
    assert [axis["type"] for axis in given["axes"]] == ["batch", "channel", "space", "space"]
    assert given["axes"][2] == {"type": "space", "id": "y", "size": {"min": 1, "step": 1}, "scale": 1.0}
    probabilities, labels = table["outputs"]
    assert probabilities["axes"][1] == {"type": "channel", "channel_names": ["ground", "cell_wall"]}
    assert labels["axes"][2]["size"] == {"tensor_id": "image", "axis_id": "x"}
    assert labels["data"] == {"type": "int32", "values": [0, 255]}


def test_volumes_have_three_axes_and_their_spacing(tmp_path):
    pipeline = pipelines.pipeline_of(dimensions=3, channels=2, values=None, maps={"core": (2,)})
    pipeline = dataclasses.replace(pipeline, facts={"spacing": [2.0, 0.5, 0.5]})
    tensors = tensors_of(pipeline, (3, 5, 7))
    write_bioimageio(tmp_path / "a.zip", pipeline, CARD, weights=b"", tensors=tensors, cover=COVER)
    table = description(tmp_path / "a.zip")
    axes = table["inputs"][0]["axes"]
    assert [(axis["id"], axis["scale"]) for axis in axes[2:]] == [("z", 2.0), ("y", 0.5), ("x", 0.5)]
    assert axes[1]["channel_names"] == ["channel0", "channel1"]
    assert [output["id"] for output in table["outputs"]] == ["probabilities", "core"]
    assert "3d" in table["tags"]


def test_a_package_without_a_licence_names_none_and_repeats_its_bytes(tmp_path):
    pipeline = pipelines.pipeline_of()
    card, tensors = Card(name="Cells", task="semantic"), tensors_of(pipeline, (3, 3))
    for name in ("a.zip", "b.zip"):
        write_bioimageio(tmp_path / name, pipeline, card, weights=b"", tensors=tensors, cover=COVER)
    assert "license" not in description(tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"), [("", "_"), ("Zellkern ä", "Zellkern__"), ("3", "_3"), ("for", "for_"), ("a-b", "a_b")]
)
def test_names_for_programs(name, expected):
    assert identifier(name) == expected
    assert identifier(name).isidentifier()
