import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from reference.pipelines import images_of, pipeline_of, results

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation, normalise
from tinyunet.errors import ConfigError
from tinyunet.export.onnxfile import open_onnx
from tinyunet.export.webpage import Page, check_webpage, is_webpage, policy, write_webpage
from tinyunet.export.webruntime import CDN, FILES, WebRuntime, integrity
from tinyunet.objects.target import ObjectConfig
from tinyunet.prediction.tiles import TileSpec

ROOT = Path(__file__).parents[2]
CLASSES = ClassInfo("ground", 0, "#000000"), ClassInfo("<b>cell</b>", 9, "#e69f00"), ClassInfo("wall", 4, "#56b4e9")
LABELLING = Labelling("semantic", CLASSES)
SPEC = TileSpec(ladder=(16, 32), halo=5, multiple=2, batch=1)
LOCAL = WebRuntime("", dict.fromkeys(FILES, b"of onnxruntime-web"))


def write(folder, pipeline, *, runtime=LOCAL, **page):
    folder.mkdir()
    page = {"name": "A & B", "labelling": LABELLING, "tiles": (SPEC, SPEC)} | page
    write_webpage(folder, pipeline, Page(**page), runtime)
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def test_the_folder_holds_the_page_and_what_it_needs(tmp_path):
    about = write(tmp_path / "page", pipeline_of(values=(0, 9, 4)), licence="CC0-1.0")
    scripts = {path.name for path in (ROOT / "src/tinyunet/export/site").iterdir() if path.suffix != ".j2"}
    made = {path.name for path in (tmp_path / "page").iterdir()}
    assert made == scripts | {"index.html", "README.txt", "model.onnx", "model.json", "onnxruntime"}
    assert {path.name for path in (tmp_path / "page" / "onnxruntime").iterdir()} == set(FILES)
    assert about["classes"][1] == {"name": "<b>cell</b>", "value": 9, "color": "#e69f00"}
    assert (about["name"], about["licence"], about["label_values"]) == ("A & B", "CC0-1.0", [0, 9, 4])
    assert about["model"]["integrity"] == integrity((tmp_path / "page" / "model.onnx").read_bytes(), "sha256")
    assert about["runtime"] == {"version": "1.30.0", "base": "onnxruntime/", "files": dict(FILES)}
    assert is_webpage(tmp_path / "page")


def test_the_page_escapes_what_it_is_told_and_allows_what_it_needs(tmp_path):
    write(tmp_path / "page", pipeline_of())
    html = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "<h1>A &amp; B</h1>" in html
    assert "This page labels each pixel of an image as ground, &lt;b&gt;cell&lt;/b&gt; or wall. It" in html
    assert policy(away=False) in html.replace("&#39;", "'")
    assert not re.search("<script>|<style|style=|onclick|http://(?!localhost)|https://", html)
    text = (tmp_path / "page" / "README.txt").read_text(encoding="utf-8")
    assert text.startswith("A & B\n=====\n")
    assert "onnxruntime-web 1.30.0, which computes" in text
    assert "each pixel of an image as ground, <b>cell</b> or wall.\n" in text


def test_a_page_may_load_its_runtime_from_elsewhere(tmp_path):
    about = write(tmp_path / "page", pipeline_of(), runtime=WebRuntime(""))
    assert about["runtime"]["base"] == CDN
    assert not (tmp_path / "page" / "onnxruntime").exists()
    assert "connect-src 'self' https://cdn.jsdelivr.net;" in policy(away=True)
    assert "https://cdn.jsdelivr.net" in (tmp_path / "page" / "README.txt").read_text(encoding="utf-8")


def test_the_licence_of_the_page_is_that_of_the_project():
    copy = ROOT / "src/tinyunet/export/site/licences/tinyunet.txt"
    assert copy.read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("normalisation", [Normalisation("image"), Normalisation("dataset", (100.0,), (50.0,))])
def test_the_model_computes_what_the_pipeline_does_once_the_page_has_normalised(tmp_path, normalisation):
    pipeline = pipeline_of(normalisation=normalisation, values=(0, 9, 4))
    about = write(tmp_path / "page", pipeline)
    images = images_of(pipeline, 7, 13, batch=1)
    assert about["normalisation"] == normalisation.kind
    given = normalise(images[0], normalisation) if about["normalisation"] == "image" else images[0]
    found = open_onnx((tmp_path / "page" / "model.onnx").read_bytes())(np.moveaxis(given, -1, 0)[np.newaxis])
    expected = results(pipeline, images)
    np.testing.assert_allclose(np.moveaxis(found["probabilities"], 1, -1), expected["probabilities"], atol=1e-5)
    np.testing.assert_array_equal(found["labels"], expected["labels"])


def test_a_part_is_given_as_much_as_its_result_looks_at(tmp_path):
    valid = pipeline_of(depth=2, padding="valid")
    (axis, _) = valid.topologies
    spec = TileSpec(ladder=(axis.smallest_size(18),), halo=10, multiple=4, batch=1, border="mirror")
    about = write(tmp_path / "page", valid, tiles=(spec, spec))
    tiles = about["tiles"]["height"]
    assert tiles == {"ladder": [38], "halo": 10, "lost": 10, "multiple": 4, "margin": 13}
    assert axis.receptive_radius() == 13  # more than the network loses


def test_objects_have_their_rule_and_less_room(tmp_path):
    labelling = Labelling("instances", (CLASSES[0], ClassInfo("cell", 1, "#e69f00")))
    pipeline = pipeline_of(values=None, maps={"foreground": (1, 2), "core": (2,)})
    about = write(tmp_path / "page", pipeline, labelling=labelling, objects=ObjectConfig(smallest_px=7))
    assert "finds the objects in an image and numbers them." in (tmp_path / "page" / "index.html").read_text()
    assert (about["objects"]["smallest_px"], about["label_values"], about["most_pixels"]) == (7, None, 25_000_000)


def test_of_many_classes_some_are_named(tmp_path):
    write(tmp_path / "page", pipeline_of(), labelling=classes(9))
    assert "as 0, 1, 2, 3, 4, 5 or one of 3 other classes." in (tmp_path / "page" / "index.html").read_text()


def classes(count, *, first=0):
    return Labelling("semantic", tuple(ClassInfo(str(i), first + i, "#000000") for i in range(count)))


@pytest.mark.parametrize(
    ("options", "labelling", "text"),
    [
        ({"dimensions": 3}, LABELLING, "it was trained on volumes, and browsers read images. Take --format onnx."),
        (
            {"norm": "instance"},
            LABELLING,
            "it cuts images into tiles, which do not agree where model.norm = 'instance' looks at a whole tile. "
            "Take --format onnx, or train with model.norm=batch.",
        ),
        (
            {"rule": ChannelRule(drop_alpha=False, collapse_grey=False, used=5)},
            LABELLING,
            "it wants images of 5 channels, and those that browsers read have up to 4. Take --format onnx.",
        ),
        ({}, classes(256), "it has 256 classes, and a page up to 255. Take --format onnx."),
        (
            {},
            classes(3, first=-1),
            "masks of PNG hold values from 0 to 65535, and class '0' has -1. Take --format onnx.",
        ),
    ],
)
def test_what_a_page_cannot_hold_is_named(options, labelling, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(f'A page cannot hold this model: {text}')}$"):
        check_webpage(pipeline_of(**options), labelling)


def test_masks_in_colour_have_values_as_large_as_they_like():
    check_webpage(pipeline_of(), dataclasses.replace(classes(3, first=0xFF0000), kind="rgb"))


@pytest.mark.parametrize("content", [None, "no JSON", "[]", '{"format": "something else"}'])
def test_other_folders_are_no_pages(tmp_path, content):
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    assert not is_webpage(tmp_path)
