import dataclasses
import json

import numpy as np
import pytest
from reference import pipelines

from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.errors import ConfigError
from tinyunet.export import onnxfile
from tinyunet.export.graph import OPSET, onnx_package
from tinyunet.export.onnxfile import onnx_model, open_onnx, write_onnx


def computed(pipeline, images, path):
    """The results of the file, channels last."""
    write_onnx(path, pipeline)
    found = open_onnx(path.read_bytes())(np.moveaxis(images, -1, 1))
    return found | {"probabilities": np.moveaxis(found["probabilities"], 1, -1)}


def agrees(pipeline, images, path, *, atol=1e-5):
    found, expected = computed(pipeline, images, path), pipelines.results(pipeline, images)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if name == "labels":
            assert found[name].dtype == np.int32
            np.testing.assert_array_equal(found[name], values)
        else:
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], values, atol=atol)


PLAIN = {
    *("Abs", "Add", "ArgMax", "Cast", "Concat", "Conv", "ConvTranspose", "Div", "Gather", "Greater", "Identity"),
    *("InstanceNormalization", "Log", "Max", "MaxPool", "Min", "Mod", "Mul", "Range", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceSum", "Relu", "Reshape", "Resize", "Shape", "Slice", "Softmax", "Sqrt", "Sub", "Transpose"),
    "Where",
}
"""Operators that ONNX Runtime, OpenVINO and onnxruntime-web all have."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


# Every option of the network


@pytest.mark.parametrize("options", pipelines.OPTIONS, ids=str)
def test_every_network_computes_what_jax_does(options, path):
    pipeline = pipelines.pipeline_of(**options)
    agrees(pipeline, pipelines.images_of(pipeline, *pipelines.odd_shape(pipeline)), path)
    assert {node.op_type for node in onnx_package().load(path).graph.node} <= PLAIN


@pytest.mark.parametrize("options", [{}, {"padding": "valid"}], ids=str)
def test_one_pixel_is_predicted(options, path):
    pipeline = pipelines.pipeline_of(**options, normalisation=Normalisation("dataset", (100.0,), (30.0,)))
    agrees(pipeline, pipelines.images_of(pipeline, 1, 1), path)


# Normalisation


@pytest.mark.parametrize("mean", [127.3, 1e6 + 0.3])
def test_normalisation_by_the_data_set_keeps_a_small_contrast_on_a_large_offset(mean, path):
    pipeline = pipelines.pipeline_of(
        depth=0, channels=2, normalisation=Normalisation("dataset", (mean, 3.0), (0.7, 0.0))
    )
    rng = np.random.default_rng(0)
    images = (np.round(mean) + rng.integers(-2, 3, (1, 5, 6, 2))).astype(np.float32)
    agrees(pipeline, images, path)


@pytest.mark.parametrize("offset", [0, 40_000, 8_000_000])
def test_normalisation_by_the_image_is_that_of_float64(offset, path):
    pipeline = pipelines.pipeline_of(depth=0)
    agrees(pipeline, pipelines.images_of(pipeline, 511, 389, batch=1) + np.float32(offset), path, atol=2e-6)


def test_a_constant_image_is_zero_and_does_not_disturb_the_others(path):
    pipeline = pipelines.pipeline_of(channels=2)
    images = pipelines.images_of(pipeline, 6, 6)
    images[0] = 33.3
    images[1, ..., 0] = 1 / 3
    agrees(pipeline, images, path)


# Channels


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (ChannelRule(drop_alpha=True, collapse_grey=True, used=1), (1, 2, 3, 4)),
        (ChannelRule(drop_alpha=True, collapse_grey=False, used=3), (3, 4)),
    ],
)
def test_channels_that_hold_nothing_are_left_out(rule, given, path):
    pipeline = pipelines.pipeline_of(rule=rule)
    images = pipelines.images_of(pipeline, 5, 6)
    expected = pipelines.results(pipeline, images)["probabilities"]
    for count in given:
        more = np.concatenate([images, np.full((*images.shape[:-1], count - rule.used), 255, np.float32)], axis=-1)
        np.testing.assert_allclose(computed(pipeline, more, path)["probabilities"], expected, atol=1e-5)


def test_an_image_with_other_channels_is_refused_by_the_runtime(path):
    pipeline = pipelines.pipeline_of()
    write_onnx(path, pipeline)
    with pytest.raises(Exception, match=r"(?s)invalid dimensions.*index: 1 Got: 3 Expected: 1"):
        open_onnx(path.read_bytes())(np.zeros((1, 3, 4, 4), np.float32))


# Results


@pytest.mark.parametrize(
    "own",
    [
        {"members": 3, "temperature": 1.7, "values": (0, 128, 255)},
        {"temperature": 0.4, "values": (7, -2, 3)},
        {"members": 2, "values": None, "maps": {"foreground": (1, 2), "core": (2,)}},
    ],
    ids=str,
)
def test_members_temperature_values_and_maps(own, path):
    pipeline = pipelines.pipeline_of(**own)
    agrees(pipeline, pipelines.images_of(pipeline, 7, 9), path)
    assert {node.op_type for node in onnx_package().load(path).graph.node} <= PLAIN


def test_a_batch_is_its_images_one_by_one(path):
    pipeline = pipelines.pipeline_of()
    images = pipelines.images_of(pipeline, 9, 7, batch=3)
    together = computed(pipeline, images, path)["probabilities"]
    alone = np.concatenate([computed(pipeline, image[np.newaxis], path)["probabilities"] for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


# The file


def test_the_file_says_what_it_is():
    onnx = onnx_package()
    pipeline = pipelines.pipeline_of(rule=ChannelRule(drop_alpha=True, collapse_grey=False, used=3))
    pipeline = dataclasses.replace(pipeline, facts={"licence": "CC0-1.0"})
    model = onnx_model(pipeline)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [OPSET]
    (entry,) = model.metadata_props
    assert (entry.key, json.loads(entry.value)) == ("tinyunet", json.loads(pipeline.about()))
    assert json.loads(entry.value)["licence"] == "CC0-1.0"

    def shape(value):
        return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]

    assert [shape(value) for value in model.graph.input] == [["batch", "channels", "height", "width"]]
    assert [(value.name, shape(value)) for value in model.graph.output] == [
        ("probabilities", ["batch", 3, "height", "width"]),
        ("labels", ["batch", "height", "width"]),
    ]


def test_equal_pipelines_are_equal_bytes(path, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        write_onnx(tmp_path / name, pipelines.pipeline_of(norm="group"))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_weights_that_one_file_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr(onnxfile, "LARGEST_BYTES", 100)
    with pytest.raises(ConfigError, match=r"of 1 network are 0\.0 GiB, .* train with fewer model\.features\.$"):
        onnx_model(pipelines.pipeline_of())
    with pytest.raises(ConfigError, match=r"of 2 networks are 0\.0 GiB, .* export one fold alone\.$"):
        onnx_model(pipelines.pipeline_of(members=2))
