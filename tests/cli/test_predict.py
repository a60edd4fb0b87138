import json

import numpy as np
import pytest
from reference import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=1)


def test_files_and_folders_are_predicted(run, tmp_path, capsys):
    for name in ("new/a.png", "new/b.png", "c.png"):
        tiny.save(tmp_path / name, tiny.picture(1)[0])
    out = tmp_path / "out"
    assert tiny.command("predict", run, tmp_path / "new", tmp_path / "c.png", "--out", out) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png", "prediction.json"]
    record = json.loads((out / "prediction.json").read_text())
    assert record["model"] == str(run)
    assert record["tiles_at_once"] == 1
    assert record["large_images"]["from_pixels"] == 2**20
    assert record["large_images"]["largest_tile"] == [1024, 1024] > record["largest_tile"]
    by = f"kernels for {record['kernels']}, within {record['difference']:.0e} of XLA" if record["kernels"] else "XLA"
    assert said == f"3 images predicted into {out}, by {by}\n"


def test_what_computes_can_be_chosen(run, tmp_path, capsys):
    tiny.save(tmp_path / "a.png", tiny.picture(1)[0])
    out = tmp_path / "out"
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", out, "--runtime", "jax") == 0
    assert capsys.readouterr().out == f"1 image predicted into {out}, by XLA\n"
    assert json.loads((out / "prediction.json").read_text())["runtime"] == "jax"


def test_every_option_writes_its_file(run, tmp_path, capsys):
    tiny.save(tmp_path / "a.png", tiny.picture(1)[0])
    out = tmp_path / "out"
    options = ["--probabilities", "--overlays", "--tta"]
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", out, *options) == 0
    assert capsys.readouterr().out.startswith(f"1 image predicted into {out}, by ")
    assert sorted(path.name for path in out.iterdir()) == ["a.npy", "a.png", "a_overlay.png", "prediction.json"]
    assert np.load(out / "a.npy").shape == (tiny.SIDE, tiny.SIDE, 2)


def test_notes_go_to_stderr(run, tmp_path, capsys):
    tiny.save(tmp_path / "a.png", np.array([[5]], np.uint8))
    assert tiny.command("predict", run, tmp_path / "a.png", "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == f"note: {tmp_path}/a.png has one value everywhere; its labels mean nothing.\n"


def test_two_inputs_of_one_name_are_an_error(run, tmp_path, capsys):
    for name in ("a.png", "a.jpg"):
        tiny.save(tmp_path / name, tiny.picture(1)[0])
    out = tmp_path / "out"
    assert tiny.command("predict", run, tmp_path / "a.png", tmp_path / "a.jpg", "--out", out) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/a.png and {tmp_path}/a.jpg would both write {out}/a.png; rename one, or use two --out.\n"
    )
    assert not out.exists()


def test_only_the_files_that_are_asked_for_can_be_in_the_way(run, tmp_path):
    for name in ("a.png", "a.npy"):
        tiny.save(tmp_path / "new" / name, tiny.picture(1)[0])
    assert tiny.command("predict", run, tmp_path / "new", "--out", tmp_path / "out") == 0
    assert tiny.command("predict", run, tmp_path / "new", "--out", tmp_path / "out", "--probabilities") == 2
