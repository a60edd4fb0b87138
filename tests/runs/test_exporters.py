import dataclasses
import json
import zipfile

import jax
import numpy as np
import pytest
from reference import tiny
from reference.untrained import untrained_run

from tinyunet.errors import ConfigError, ParityError
from tinyunet.export.graph import onnx_package
from tinyunet.export.onnxfile import open_onnx
from tinyunet.runs import exporters as module
from tinyunet.runs.exporters import WRITERS, Label
from tinyunet.runs.parity import telling_images
from tinyunet.runs.run import load

IMAGE = tiny.picture(3, side=21)[0][..., np.newaxis]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("exporters") / "run", members=2, temperature=1.5)


@pytest.fixture(scope="module")
def expected(run):
    return run.probabilities(IMAGE)


@pytest.mark.parametrize("format", WRITERS)
def test_what_was_written_computes_what_the_run_does(run, expected, format, tmp_path):
    label = Label(name="cells", licence="CC0-1.0", images=(tiny.picture(1)[0][..., np.newaxis],))
    exported = WRITERS[format][1](tmp_path / "file", run, label)
    found = exported(IMAGE)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    if format != "safetensors":
        np.testing.assert_array_equal(found["labels"], run.labelling.decode(run.predict(IMAGE)))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_onnx_file_gives_the_values_of_masks_and_says_so(run, tmp_path):
    WRITERS["onnx"][1](tmp_path / "a", run, Label(name="cells", licence="CC0-1.0", images=(IMAGE,)))
    labels = open_onnx((tmp_path / "a").read_bytes())(np.float32(IMAGE[np.newaxis, np.newaxis, ..., 0]))["labels"]
    np.testing.assert_array_equal(labels[0], run.labelling.decode(run.predict(IMAGE)))
    (entry,) = onnx_package().load(tmp_path / "a").metadata_props
    facts = json.loads(entry.value)
    assert facts["licence"] == "CC0-1.0"
    assert facts["labelling"]["classes"][1] == {"name": "foreground", "value": 255, "color": "#e69f00"}
    assert (facts["names"], facts["label_values"]) == (["background", "foreground"], [0, 255])


def test_the_weights_of_one_network_are_written_as_they_are(run, tmp_path):
    trained = load(run.path)
    WRITERS["safetensors"][1](tmp_path / "a", trained, Label(name="cells", images=(IMAGE,)))
    assert (tmp_path / "a").read_bytes() == (trained.path / "model.safetensors").read_bytes()


def test_the_package_carries_the_image_it_is_given_and_its_results(run, tmp_path):
    label = Label(name="my", authors=("A", "B"), images=(IMAGE,))
    WRITERS["bioimageio"][1](tmp_path / "a.zip", run, label)
    with zipfile.ZipFile(tmp_path / "a.zip") as package:
        table = json.loads(package.read("rdf.yaml"))
        image = np.load(package.open("test_image.npy"))
        labels = np.load(package.open("test_labels.npy"))
    np.testing.assert_array_equal(image[0, 0], IMAGE[..., 0])
    np.testing.assert_array_equal(labels[0], run.labelling.decode(run.predict(IMAGE)))
    assert (table["name"], table["authors"]) == ("U-Net my", [{"name": "A"}, {"name": "B"}])


def test_a_package_that_does_not_give_its_own_results_is_no_package(run, tmp_path, monkeypatch):
    read = module.read_package

    def changed(path):
        weights, tensors = read(path)
        return weights, tensors | {"labels": tensors["labels"] + 1}

    monkeypatch.setattr(module, "read_package", changed)
    with pytest.raises(ParityError, match=r"^The package does not give its own test results\.$"):
        WRITERS["bioimageio"][1](tmp_path / "a.zip", run, Label(name="cells", images=(IMAGE,)))


def nothing_found(run):
    head = jax.tree.map(np.zeros_like, run.variables["params"]["head"])
    head["bias"] = np.array([30, 0], np.float32)
    variables = run.variables | {"params": run.variables["params"] | {"head": head}}
    return dataclasses.replace(run, variables=variables, others=())


def test_a_package_carries_the_first_image_in_which_something_is_found(run, tmp_path, monkeypatch):
    assert len(list(telling_images(run))) == 12
    compute = {1: 0, 2: 1}
    image, tensors = module._test(
        run, lambda image: {"labels": np.array([compute[int(image.max())]])}, [np.full((2, 2, 1), n) for n in (1, 2)]
    )
    assert (image.max(), tensors["image"].shape, tensors["labels"]) == (2, (1, 1, 2, 2), [1])


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ((), r"finds nothing in images that are made up: give some by --data DATA --include-image\.$"),
        ((IMAGE,), r"finds nothing in the test images: give other by --data DATA --include-image\.$"),
    ],
)
def test_a_package_of_a_network_that_finds_nothing_is_refused(run, images, text, tmp_path):
    with pytest.raises(ConfigError, match=text):
        WRITERS["bioimageio"][1](tmp_path / "a.zip", nothing_found(run), Label(name="cells", images=images))
