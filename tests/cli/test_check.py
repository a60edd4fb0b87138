import json
import shutil

import pytest
from reference import tiny

from tinyunet.data.check import examine
from tinyunet.data.folder import open_folder


@pytest.fixture
def cells(tmp_path):
    return tiny.write_pairs(tmp_path / "cells")


SMALL = [part for setting in tiny.SETTINGS if not setting.startswith("batches.p") for part in ("--set", setting)]


def checked(data, *options):
    """The exit status of `check`, of a network that is quick to compile; the patch is planned."""
    return tiny.command("check", data, *SMALL, *options)


def found_in(text):
    """What `check` printed of the data, without what it plans."""
    return [line for line in text.splitlines() if not line.startswith(("plan", "memory"))]


def test_what_is_planned_is_said_of_images_too(cells, capsys):
    assert checked(cells) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "plan      batches.patch = 32 × 32: no image is larger than 32 × 32" in lines
    assert "plan      batches.batch = 2: as asked for" in lines
    assert lines[-1].startswith("memory    a training step takes 0.0")


def test_what_is_in_the_folder_is_printed(cells, capsys):
    assert checked(cells) == 0
    said = capsys.readouterr()
    assert found_in(said.out) == list(examine(cells).lines())
    assert said.err == ""
    assert said.out.startswith(f"{cells}: 6 images, 6 of them with a mask\n")


def test_what_is_wrong_goes_to_stderr_and_what_was_understood_is_said_all_the_same(cells, capsys):
    (cells / "masks/0.png").unlink()
    (cells / "images/1.png").write_text("no image")
    assert checked(cells) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 2
    assert said.err.count("error: ") == 2
    assert f"{cells}: 4 images" in said.out
    assert "problem" not in said.out


def test_the_findings_are_written_for_programs_problems_included(cells, tmp_path):
    (cells / "images/1.png").write_text("no image")
    path = tmp_path / "found.json"
    assert checked(cells, "--json", path) == 2
    table = json.loads(path.read_text())
    assert table == json.loads(json.dumps({**examine(cells).to_dict(), "plan": None}))
    assert len(table["problems"]) == 1


def test_the_task_and_the_seed_are_those_given(cells, capsys):
    assert checked(cells, "--task", "foreground", "--seed", 3) == 0
    text = capsys.readouterr().out
    assert found_in(text) == list(examine(cells, task="foreground", seed=3).lines())
    assert "task      foreground" in text


def test_types_that_differ_are_a_note_where_all_images_are_normalised_alike(cells, capsys):
    tiny.save(cells / "images/0.png", tiny.pixels(cells / "images/0.png").astype("uint16"))
    assert checked(cells) == 0
    assert "different types" not in capsys.readouterr().out
    assert checked(cells, "--set", "data.normalise=dataset") == 0
    assert "note      Images are stored in different types: uint16 (1), uint8 (5). " in capsys.readouterr().out


def test_the_split_that_would_be_drawn_is_written(cells, capsys):
    drawn = examine(cells, seed=5).split
    assert checked(cells, "--write-split", "--seed", 5) == 0
    assert capsys.readouterr().out.startswith(f"split     written to {cells}/split.csv: 4 train, 1 val, 1 test\n")
    declared = open_folder(cells).declared
    for part in ("train", "val", "test"):
        assert {name for name, place in declared.items() if place == part} == set(getattr(drawn, part))


def test_images_without_a_mask_become_unlabelled(cells, capsys):
    (cells / "masks/3.png").unlink()
    (cells / "images/.hidden.png").write_text("")
    assert checked(cells, "--write-split") == 0
    assert "4 train" not in capsys.readouterr().out
    assert open_folder(cells).declared["3"] == "unlabelled"


def test_a_split_that_is_declared_is_not_replaced(cells, tmp_path, capsys):
    (cells / "split.csv").write_text("mine")
    assert checked(cells, "--write-split") == 2
    assert capsys.readouterr().err == f"error: {cells}/split.csv exists; remove it to have a new one written.\n"
    assert (cells / "split.csv").read_text() == "mine"
    shutil.move(cells, tmp_path / "parts/train")
    (tmp_path / "parts/train/split.csv").unlink()
    assert checked(tmp_path / "parts", "--write-split") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/parts says by its sub-folders which image is for what; a split.csv would contradict them.\n"
    )
    assert not (tmp_path / "parts/split.csv").exists()


def test_too_few_images_have_no_split(tmp_path, capsys):
    data = tiny.write_pairs(tmp_path / "one", count=1)
    assert checked(data, "--write-split") == 2
    assert "at least 2 images with masks are needed" in capsys.readouterr().err
    assert not (data / "split.csv").exists()
