import shutil
from pathlib import Path

import numpy as np
import pytest
from reference import tiny
from reference.untrained import untrained_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from tinyunet.runs import export as module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("cli") / "run").path


@pytest.fixture(autouse=True)
def small_images(monkeypatch):
    monkeypatch.setattr("tinyunet.runs.parity.SIZES", {2: ((9, 13), (7, 5))})


def test_what_was_compared_is_printed(run, tmp_path, capsys):
    path = tmp_path / "cells.onnx"
    assert tiny.command("export", run, "--format", "onnx", "--out", path) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "compared with the run on"
    assert [line.split("  ")[0] for line in lines[1:3]] == ["9 × 13", "7 × 5"]
    assert all(line.endswith("100 %") for line in lines[1:3])
    assert lines[4].startswith(f"{path}   0.")
    assert float(lines[4].split()[-1]) < 1e-5
    assert err == ""


def test_where_a_page_has_its_runtime_from_is_said(run, tmp_path, capsys):
    path = tmp_path / "Cells"
    assert tiny.command("export", run, "--format", "web", "--out", path, "--onnxruntime-web", "cdn") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"{path}   0.")
    assert err == "note: The page loads onnxruntime-web 1.30.0 from https://cdn.jsdelivr.net, and checks it.\n"


def test_a_file_that_is_there_is_replaced_only_when_asked(run, tmp_path, capsys):
    path = tmp_path / "cells.safetensors"
    path.write_bytes(b"something")
    options = ("export", run, "--format", "safetensors", "--out", path)
    assert tiny.command(*options) == 2
    assert capsys.readouterr().err == f"error: {path} exists; replace it by --overwrite, or choose another --out.\n"
    assert path.read_bytes() == b"something"
    assert tiny.command(*options, "--overwrite") == 0
    assert path.read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_run_without_weights_is_refused(run, tmp_path, capsys):
    other = Path(shutil.copytree(run, tmp_path / "run"))
    (other / "model.safetensors").unlink()
    assert tiny.command("export", other, "--format", "onnx", "--out", tmp_path / "cells.onnx") == 2
    assert capsys.readouterr().err == (
        f"error: There are no weights at {other}/model.safetensors; a finished or stopped training writes them.\n"
    )
    assert not (tmp_path / "cells.onnx").exists()


def test_weights_that_do_not_fit_are_named(run, tmp_path, capsys):
    weights = tmp_path / "model.safetensors"
    with safe_open(run / "model.safetensors", framework="numpy") as file:
        tensors, metadata = load_file(run / "model.safetensors"), file.metadata()
    del tensors["params/head/kernel"]
    save_file(tensors, weights, metadata=metadata)
    assert tiny.command("export", weights, "--format", "onnx", "--out", tmp_path / "cells.onnx") == 2
    assert capsys.readouterr().err == (
        f"error: {weights} does not fit its own configuration: params/head/kernel of shape (1, 2, 2) is missing. "
        "Copy it again from the training that made it, or train anew.\n"
    )
    assert list(tmp_path.iterdir()) == [weights]


def test_an_export_that_differs_is_our_fault(run, tmp_path, capsys, monkeypatch):
    def wrong(path, run, label):
        path.write_bytes(b"x")
        return lambda image: {"probabilities": np.zeros((*image.shape[:-1], 2), np.float32)}

    monkeypatch.setattr(module, "WRITERS", {"onnx": (".onnx", wrong)})
    assert tiny.command("export", run, "--format", "onnx", "--out", tmp_path / "cells.onnx") == 1
    text = capsys.readouterr().err
    assert text.startswith(
        f"internal error: ParityError: {tmp_path}/cells.onnx is not written: its probabilities differ"
    )
    assert list(tmp_path.iterdir()) == []
