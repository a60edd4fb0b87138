import dataclasses
import json
import re

import pytest
from reference import tiny

from tinyunet.cli.evaluate import score_text
from tinyunet.evaluation.result import Evaluation

WALLS = 'boundary = "wall"\n[[classes]]\nname = "wall"\nvalue = 0\n[[classes]]\nname = "cell"\nvalue = 255\n'


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    root = tiny.write_pairs(tmp_path_factory.mktemp("cli") / "cells")
    (root / "dataset.toml").write_text(WALLS)
    return root


@pytest.fixture(scope="module")
def run(cells, tmp_path_factory):
    return tiny.train_tiny(cells, tmp_path_factory.mktemp("cli") / "run")


def test_the_scores_are_printed_and_written(run, cells, tmp_path, capsys):
    path = tmp_path / "scores.json"
    assert tiny.command("evaluate", run, cells, "--split", "all", "--json", path) == 0
    said = capsys.readouterr()
    assert said.err == ""
    table = json.loads(path.read_text())
    assert table["split"] == "all"
    found = Evaluation.from_dict(table)
    assert said.out == f"{score_text(found)}\n\nreport   {run}/report.html\n"
    assert len(found.images) == 6


def test_every_number_is_under_a_line_that_says_what_it_is(run, cells, tmp_path):
    path = tmp_path / "scores.json"
    tiny.command("evaluate", run, cells, "--split", "all", "--json", path)
    found = Evaluation.from_dict(json.loads(path.read_text()))
    blocks = score_text(found).split("\n\n")
    assert [re.sub(r"[\d.]+", "#", block.splitlines()[0]) for block in blocks] == [
        "All pixels of # images together (pixel accuracy #)",
        "Mean of the scores of # images (pixel accuracy #)",
        "No learning: Otsu's threshold, all pixels together (pixel accuracy #)",
        "No learning: Otsu's threshold, mean of the images (pixel accuracy #)",
        "Probability of wall, all pixels together",
        "Does the probability of wall mean what it says, all pixels together",
        "Regions that wall parts, mean of the images",
    ]
    pooled = found.pooled
    assert blocks[0].splitlines()[1].split() == ["class", "Dice", "IoU", "precision", "recall"]
    numbers = [f"{score[0]:.3f}" for score in (pooled.dice, pooled.iou, pooled.precision, pooled.recall)]
    assert blocks[0].splitlines()[2].split() == ["wall", *numbers]
    assert blocks[0].splitlines()[-1].split() == ["mean", f"{pooled.mean_dice:.3f}", "–", "–", "–"]
    t = found.threshold
    assert blocks[4].splitlines()[1] == (
        f"AUC {t.auc:.4f}   F1 at 0.5 {t.f1_at_half:.3f}   best F1 {t.best_f1:.3f} at {t.best_threshold:.3f}"
    )
    c = found.calibration
    assert blocks[5].splitlines()[1].split() == ["probabilities", "calibration", "error", "loss"]
    assert blocks[5].splitlines()[-1].split()[-2:] == [f"{c.after.error:.3f}", f"{c.after.loss:.3f}"]
    best = found.boundary.best
    assert blocks[6].splitlines()[-1].split()[:3] == [f"{best.threshold:.2f}", "(best)", f"{best.rand_f:.3f}"]


def test_calibration_is_said_before_and_after_scaling(run, cells, tmp_path):
    path = tmp_path / "scores.json"
    tiny.command("evaluate", run, cells, "--json", path)
    found = Evaluation.from_dict(json.loads(path.read_text()))
    side = dataclasses.replace(found.calibration.before, error=0.1, loss=0.25)
    scaled = dataclasses.replace(found.calibration, temperature=1.5, before=side)
    lines = score_text(dataclasses.replace(found, calibration=scaled)).split("\n\n")[5].splitlines()
    assert lines[2].split() == ["before", "scaling", "0.100", "0.250"]
    assert lines[3].startswith("after scaling, temperature 1.5 ")
    plain = dataclasses.replace(found.calibration, temperature=1.0)
    (line,) = score_text(dataclasses.replace(found, calibration=plain)).split("\n\n")[5].splitlines()[2:]
    assert line.startswith("not scaled ")


def test_a_single_file_has_no_report(run, cells, capsys):
    assert tiny.command("evaluate", run / "model.safetensors", cells) == 0
    assert "report" not in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_one_line(run, tmp_path, capsys):
    assert tiny.command("evaluate", tmp_path, tmp_path) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path} is not a run folder: it has no config.toml. Runs are made by `tinyunet train`.\n"
    )
    assert tiny.command("evaluate", run, tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith(
        f"error: {tmp_path}/none must be a folder with images/ and masks/, got no"
    )


def test_scores_that_cannot_be_written_are_one_line(run, cells, tmp_path, capsys):
    path = tmp_path / "none/scores.json"
    assert tiny.command("evaluate", run, cells, "--json", path) == 2
    assert capsys.readouterr().err == (
        f"error: {path} cannot be written: No such file or directory. Make the folder first.\n"
    )
