import csv
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image
from reference import tiny
from reference.served import LIMITS
from reference.untrained import CLASSES, untrained_run

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.data.labelling import ClassInfo
from tinyunet.errors import ConfigError
from tinyunet.web.serve.results import answer, labels_kind, table_json, zipped
from tinyunet.web.uploads import UploadError


def encoded(array, kind="PNG") -> bytes:
    file = io.BytesIO()
    np.save(file, array) if kind == "npy" else Image.fromarray(array).save(file, kind)
    return file.getvalue()


@pytest.fixture
def picture():
    return encoded(tiny.picture(3)[0])


def predicted(run, content, folder, *options):
    """What the command line writes of an image."""
    folder.mkdir()
    (folder / "a.png").write_bytes(content)
    assert tiny.command("predict", run, folder / "a.png", "--out", folder / "out", "--runtime", "jax", *options) == 0
    return folder / "out"


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_bytes_are_those_of_the_command_line(semantic, semantic_run, picture, tmp_path):
    out = predicted(semantic_run, picture, tmp_path / "a", "--probabilities", "--overlays", "--uncertainty")
    for result, name in (
        ("labels", "a.png"),
        ("probabilities", "a.npy"),
        ("overlay", "a_overlay.png"),
        ("uncertainty", "a_uncertainty.png"),
    ):
        found = answer(semantic, picture, result, limits=LIMITS)
        assert found.content == (out / name).read_bytes(), result
    assert found.pixels == tiny.SIDE**2
    everything = unzipped(answer(semantic, picture, "all", limits=LIMITS).content)
    assert everything["labels.png"] == (out / "a.png").read_bytes()
    assert set(everything) == {"labels.png", "probabilities.npy", "overlay.png", "uncertainty.png", "prediction.json"}
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(everything["labels.png"]))))) <= {0, 255}


def test_objects_are_a_table_in_either_form(objects, objects_run, picture, tmp_path):
    out = predicted(objects_run, picture, tmp_path / "a")
    table = answer(objects, picture, "objects", limits=LIMITS)
    assert (table.content, table.content_type) == ((out / "a.csv").read_bytes(), "text/csv; charset=utf-8")
    rows = json.loads(answer(objects, picture, "objects.json", limits=LIMITS).content)
    assert [str(row["id"]) for row in rows] == [
        row["id"] for row in csv.DictReader(io.StringIO(table.content.decode()))
    ]
    assert answer(objects, picture, "labels", limits=LIMITS).content == (out / "a.png").read_bytes()


def test_test_time_augmentation_is_that_of_the_command_line(semantic, semantic_run, picture, tmp_path):
    out = predicted(semantic_run, picture, tmp_path / "a", "--probabilities", "--tta")
    assert answer(semantic, picture, "probabilities", limits=LIMITS, tta=True).content == (out / "a.npy").read_bytes()


def test_what_the_network_cannot_give_is_refused(semantic, picture):
    with pytest.raises(UploadError, match="tells no objects apart"):
        answer(semantic, picture, "objects", limits=LIMITS)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8), "convert it to grey"),
        (np.zeros((8, 8, 5), np.uint8), "channels"),
        (np.zeros((4, 8, 8, 1), np.uint8), "axes"),
    ],
)
def test_other_images_than_those_of_the_training_are_refused(semantic, image, words):
    with pytest.raises(UploadError, match=f"^The upload .*{words}") as caught:
        answer(semantic, encoded(image, "npy"), "labels", limits=LIMITS)
    assert caught.value.status == 422
    assert "/" not in caught.value.detail


def test_what_deserves_a_look_is_said(semantic):
    found = answer(semantic, encoded(np.full((9, 9), 7, np.uint8)), "labels", limits=LIMITS)
    assert found.notes == ("The upload has one value everywhere; its labels mean nothing.",)


def test_a_prediction_that_nobody_waits_for_ends(semantic, picture):
    def leave(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        answer(semantic, picture, "labels", limits=LIMITS, progress=leave)


def test_a_run_without_flips_takes_no_augmentation(tmp_path, picture):
    run = untrained_run(tmp_path / "run", augment=AugmentConfig(flips=False, quarter_turns=False))
    with pytest.raises(ConfigError, match="neither flips nor turns"):
        answer(run, picture, "labels", limits=LIMITS, tta=True)


def test_labels_of_volumes_are_of_the_kind_of_the_upload(tmp_path):
    run = untrained_run(tmp_path / "run", patch=(8, 16, 16), axes="zyx")
    volume = np.random.default_rng(0).integers(0, 255, (5, 9, 12), np.uint8)
    labels = run.labelling.decode(run.predict(volume))
    file = io.BytesIO()
    tifffile.imwrite(file, volume, imagej=True, metadata={"axes": "ZYX"})
    for content, suffix, read in (
        (encoded(volume, "npy"), ".npy", np.load),
        (file.getvalue(), ".tif", tifffile.imread),
    ):
        found = answer(run, content, "labels", limits=LIMITS)
        assert found.name == f"labels{suffix}"
        np.testing.assert_array_equal(read(io.BytesIO(found.content)), labels)
    assert answer(run, file.getvalue(), "overlay", limits=LIMITS).content_type == "image/png"
    assert answer(run, file.getvalue(), "uncertainty", limits=LIMITS).name == "uncertainty.npy"
    with pytest.raises(UploadError, match="ask for an overlay"):
        answer(run, file.getvalue(), "view", limits=LIMITS)
    with pytest.raises(UploadError, match="has 2 axes of space"):
        answer(run, encoded(volume[0]), "labels", limits=LIMITS)


def test_labels_are_png_where_their_values_fit(semantic, objects):
    assert (labels_kind(semantic), labels_kind(objects)) == (".png", ".png")
    wide = dataclasses.replace(semantic.labelling, classes=(CLASSES[0], ClassInfo("cell", 2**17, "#ffffff")))
    data = dataclasses.replace(semantic.config.data, labelling=wide)
    run = dataclasses.replace(semantic, config=dataclasses.replace(semantic.config, data=data))
    found = answer(run, encoded(tiny.picture(3)[0]), "labels", limits=LIMITS)
    assert (found.name, found.content_type) == ("labels.tif", "image/tiff")
    assert set(np.unique(tifffile.imread(io.BytesIO(found.content)))) <= {0, 2**17}


def test_a_zip_of_the_same_files_has_the_same_bytes():
    files = {"a.png": b"1", "b.json": b"{}"}
    assert zipped(files) == zipped(files)
    assert unzipped(zipped(files)) == files


def test_numbers_that_are_none_are_null():
    assert json.loads(table_json("id,a,b\n1,nan,1e-05\n")) == [{"id": 1, "a": None, "b": 1e-5}]
    assert json.loads(table_json("id,a\n")) == []
