import dataclasses
import re
import sys

import numpy as np
import pytest
from reference import tiny
from reference.untrained import untrained_run

from tinyunet.errors import CheckpointError, ConfigError, DataError, ParityError
from tinyunet.export.bioimageio import read_package
from tinyunet.runs import export as module
from tinyunet.runs.export import export_run
from tinyunet.runs.exporters import WRITERS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_pairs(tmp_path_factory.mktemp("export") / "cells")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(autouse=True)
def small_images(monkeypatch):
    """Two sizes are enough here, and one compilation each."""
    monkeypatch.setattr("tinyunet.runs.parity.SIZES", {2: ((9, 13), (7, 5))})


# What is written


def test_the_onnx_file_computes_what_the_run_does(run, tmp_path):
    made = export_run(run, tmp_path / "cells.onnx", format="onnx", licence="CC-BY-4.0", quiet=True)
    assert made.path == tmp_path / "cells.onnx"
    assert made.size_bytes == made.path.stat().st_size
    assert [comparison.shape for comparison in made.comparisons] == [(9, 13), (7, 5)]
    assert made.difference < 1e-5
    assert [comparison.equal for comparison in made.comparisons] == [1, 1]
    assert made.notes == ()


def test_test_images_of_a_data_set_are_compared(run, data, tmp_path):
    made = export_run(run, tmp_path / "cells.safetensors", format="safetensors", data=data, quiet=True)
    assert {comparison.shape for comparison in made.comparisons} == {(31, 31)}
    assert made.difference == 0


@pytest.mark.parametrize("include", [False, True])
def test_a_package_carries_an_image_of_the_data_set_only_when_asked(run, data, tmp_path, include):
    path = tmp_path / "cells.zip"
    export_run(run, path, format="bioimageio", data=data, include_image=include, quiet=True)
    _, tensors = read_package(path)
    shown = [tiny.picture(number)[0][:31, :31] for number in range(6)]
    carried = any(np.array_equal(tensors["image"][0, 0], image) for image in shown)
    assert carried == include


def test_what_a_file_cannot_do_is_said_unless_the_run_is_in_it(run, tmp_path):
    data = dataclasses.replace(run.config.data, spacing=(2.0, 1.0))
    model = dataclasses.replace(run.config.model, dtype="bfloat16")
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data, model=model))
    made = export_run(other, tmp_path / "cells.onnx", format="onnx", quiet=True)
    assert made.difference < 1e-5
    assert made.notes == (
        "The network was trained in bfloat16; the file computes in float32.",
        "The file takes volumes with a spacing of 2 × 1: it does not resample others.",
    )
    assert export_run(other, tmp_path / "cells.safetensors", format="safetensors", quiet=True).notes == ()
    objects = dataclasses.replace(data, labelling=dataclasses.replace(run.labelling, task="instances"), spacing=())
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, data=objects))
    assert module._notes(other) == ["The file gives the maps that objects are found in, not the objects."]


def test_a_page_is_a_folder_and_is_replaced_by_the_next(run, tmp_path):
    made = export_run(run, tmp_path / "Cells", format="web", onnxruntime_web="cdn", quiet=True)
    files = [path for path in (tmp_path / "Cells").rglob("*") if path.is_file()]
    assert made.size_bytes == sum(path.stat().st_size for path in files)
    assert made.difference < 1e-5
    assert made.notes == ("The page loads onnxruntime-web 1.30.0 from https://cdn.jsdelivr.net, and checks it.",)
    (tmp_path / "Cells" / "of an older version.js").touch()
    export_run(run, tmp_path / "Cells", format="web", onnxruntime_web="cdn", overwrite=True, quiet=True)
    assert sorted(path for path in (tmp_path / "Cells").rglob("*") if path.is_file()) == sorted(files)
    assert "<h1>Cells</h1>" in (tmp_path / "Cells" / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["Cells"]


# What is refused


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_page_is_not_replaced(run, tmp_path, overwrite):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(
        ConfigError, match=r" holds files that are no page of ours, and is not replaced; choose another"
    ):
        export_run(run, tmp_path, format="web", onnxruntime_web="cdn", overwrite=overwrite, quiet=True)
    with pytest.raises(ConfigError, match=r"/mine\.txt is no folder; choose another --out\.$"):
        export_run(run, tmp_path / "mine.txt", format="web", overwrite=overwrite, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_page_is_replaced_only_when_asked(run, tmp_path):
    (tmp_path / "model.json").write_text('{"format": "tinyunet web page, version 1"}')
    with pytest.raises(ConfigError, match=r" exists; replace it by --overwrite, or choose another --out\.$"):
        export_run(run, tmp_path, format="web", onnxruntime_web="cdn", quiet=True)


def test_what_a_page_cannot_hold_is_said_before_anything_is_fetched(run, tmp_path):
    model = dataclasses.replace(run.config.model, norm="group")
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, model=model))
    with pytest.raises(CheckpointError, match="GroupNorm"):  # weights that do not fit come first
        export_run(other, tmp_path / "Cells", format="web", onnxruntime_web="no/such/folder", quiet=True)
    data = dataclasses.replace(run.config.data, channels=dataclasses.replace(run.channels, used=1))
    values = tuple(dataclasses.replace(info, value=info.value + 70_000) for info in run.labelling.classes)
    data = dataclasses.replace(data, labelling=dataclasses.replace(run.labelling, classes=values))
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, data=data))
    with pytest.raises(
        ConfigError, match=r"^A page cannot hold this model: masks of PNG hold values from 0 to 65535, "
    ):
        export_run(other, tmp_path / "Cells", format="web", onnxruntime_web="no/such/folder", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_web_is_for_pages_alone(run, tmp_path):
    with pytest.raises(ConfigError, match=r"is part of the format web alone: leave out --onnxruntime-web\.$"):
        export_run(run, tmp_path / "a.onnx", format="onnx", onnxruntime_web="cdn", quiet=True)


@pytest.mark.parametrize(
    ("name", "added", "text"),
    [
        ("probabilities", np.float32(2e-4), r"by 0\.0002, and 0\.0001 is allowed; .* on 100 % of"),
        (
            "labels",
            1,
            r"and 0\.0001 is allowed; its labels equal the run's on 0 % of the pixels, and 99\.9 % is wanted\.",
        ),
    ],
)
def test_a_file_that_computes_something_else_is_not_written(run, tmp_path, monkeypatch, name, added, text):
    suffix, write = WRITERS["onnx"]

    def wrong(path, run, label):
        exported = write(path, run, label)
        return lambda image: exported(image) | {name: exported(image)[name] + added}

    monkeypatch.setattr(module, "WRITERS", {"onnx": (suffix, wrong)})
    path = tmp_path / "cells.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(
        ParityError, match=rf"cells\.onnx is not written: its probabilities differ from the run's .*{text}"
    ):
        export_run(run, path, format="onnx", overwrite=True, quiet=True)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("cells.onnx", b"the old one")]


@pytest.mark.parametrize(
    ("name", "format", "text"),
    [
        ("cells.zip", "onnx", r"A file of the format onnx must end in \.onnx, got \S+/cells\.zip\."),
        ("folder.onnx", "onnx", r"\S+/folder\.onnx is a folder; choose the name of a file\."),
        ("there.onnx", "onnx", r"\S+/there\.onnx exists; replace it by --overwrite, or choose another --out\."),
        ("cells.onnx", "tflite", r"`format` must be one of onnx, .*, got 'tflite'\."),
    ],
)
def test_a_place_that_cannot_be_used_is_named(run, tmp_path, name, format, text):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "there.onnx").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=f"^{text}$"):
        export_run(run, tmp_path / name, format=format, quiet=True)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_not_there_is_named(run, tmp_path):
    with pytest.raises(
        DataError, match=r"no/cells\.onnx cannot be written: No such file or directory\. Make the folder"
    ):
        export_run(run, tmp_path / "no" / "cells.onnx", format="onnx", quiet=True)


def test_the_run_itself_is_not_overwritten(run):
    weights = run.path / "model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(ConfigError, match=f"^{re.escape(str(weights))} is the run itself; choose another --out.$"):
        export_run(run.path, weights, format="safetensors", overwrite=True, quiet=True)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_said_before_anything_is_done(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'tinyunet\[onnx\]'"):
        export_run("no/such/run", tmp_path / "cells.onnx", format="onnx")


@pytest.mark.parametrize(("format", "suffix", "data"), [("onnx", ".onnx", "cells"), ("bioimageio", ".zip", None)])
def test_an_image_that_cannot_be_carried_is_refused(tmp_path, format, suffix, data):
    with pytest.raises(
        ConfigError, match=r"carried by the format bioimageio alone, and taken from --data: give both\.$"
    ):
        export_run("no/such/run", tmp_path / f"a{suffix}", format=format, data=data, include_image=True)
