import dataclasses
import os
import re
import stat
from pathlib import Path

import pytest

from tinyunet.errors import CheckpointError, ConfigError
from tinyunet.models.presets import ModelConfig
from tinyunet.runs.config import Config
from tinyunet.runs.folder import (
    CONFIG,
    FORMAT,
    checked_config,
    held,
    new_run,
    read_run_config,
    refuse_existing,
    write_config,
)

CONFIGURATION = Config(seed=3, model=ModelConfig(features=2, depth=1))


def a_run(path):
    path.mkdir(parents=True)
    write_config(path, CONFIGURATION)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_run_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "runs" / "a"
    with new_run(out) as temporary:
        (temporary / "file").write_text("whole")
        assert not out.exists()
    assert names(out.parent) == ["a"]
    assert (out / "file").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_new_run_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error), new_run(tmp_path / "a") as temporary:  # noqa: PT012
        (temporary / "file").write_text("half")
        raise error
    assert names(tmp_path) == []


def test_a_new_run_that_fails_leaves_the_one_before(tmp_path):
    out = a_run(tmp_path / "a")
    with pytest.raises(ValueError, match="no"), new_run(out):
        raise ValueError("no")
    assert names(tmp_path) == ["a"]
    assert read_run_config(out) == CONFIGURATION


def test_a_new_run_replaces_the_one_before(tmp_path):
    out = a_run(tmp_path / "a")
    with new_run(out) as temporary:
        (temporary / "new").touch()
    assert names(out) == ["new"]


def test_what_a_link_points_to_is_replaced(tmp_path):
    target, link = a_run(tmp_path / "disk" / "a"), tmp_path / "link"
    link.symlink_to(target)
    with new_run(link) as temporary:
        (temporary / "new").touch()
    assert link.is_symlink()
    assert names(target) == ["new"]


def test_a_run_folder_may_be_read_by_whom_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        with new_run(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750


def test_a_run_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = rf"^The run folder {re.escape(str(tmp_path))}/file/a cannot be made: .+; choose another --out\.$"
    with pytest.raises(ConfigError, match=message), new_run(tmp_path / "file" / "a"):
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_there_or_empty_is_not_refused(tmp_path, overwrite):
    refuse_existing(tmp_path / "no", overwrite=overwrite)
    (tmp_path / "empty").mkdir()
    refuse_existing(tmp_path / "empty", overwrite=overwrite)


def test_a_run_is_refused_unless_it_may_be_overwritten(tmp_path):
    out = a_run(tmp_path / "a")
    message = (
        f"{out} is a run already: go on with it by --resume {out}, replace it by --overwrite, or choose another --out."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        refuse_existing(out, overwrite=False)
    refuse_existing(out, overwrite=True)
    assert read_run_config(out) == CONFIGURATION


def overwritten(out):
    with new_run(out):
        pass


def held_again(out):
    with held(out):
        pass


@pytest.mark.parametrize("act", [lambda out: refuse_existing(out, overwrite=True), overwritten, held_again])
def test_a_run_in_training_is_neither_replaced_nor_trained_by_another_process(tmp_path, act):
    out = a_run(tmp_path / "a")
    message = f"{out} is being trained by another process: wait for it, stop it first, or choose another --out."
    with held(out), pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        act(out)
    assert (names(tmp_path), names(out)) == (["a"], [CONFIG])
    act(out)


def test_a_training_that_fails_lets_go_of_its_run(tmp_path):
    out = a_run(tmp_path / "a")
    with pytest.raises(ValueError, match="no"), held(out):
        raise ValueError("no")
    assert names(out) == [CONFIG]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_is_no_run_is_never_overwritten(tmp_path, name, overwrite):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    message = f"{tmp_path / name} exists and is not a run folder; choose another --out."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        refuse_existing(tmp_path / name, overwrite=overwrite)


@pytest.mark.parametrize("place", [".", ".."])
def test_the_working_folder_is_never_replaced(tmp_path, monkeypatch, place):
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    message = f"{place} is the folder this was started in, or around it; choose another --out."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        refuse_existing(Path(place), overwrite=True)


def test_the_configuration_of_a_run_comes_back(tmp_path):
    write_config(tmp_path, CONFIGURATION)
    assert read_run_config(tmp_path) == CONFIGURATION
    assert (tmp_path / CONFIG).read_text().startswith(f"format = {FORMAT}\n")
    write_config(tmp_path, dataclasses.replace(CONFIGURATION, seed=4))
    assert read_run_config(tmp_path).seed == 4
    assert names(tmp_path) == [CONFIG]


def test_what_is_no_run_folder_is_named(tmp_path):
    message = f"{tmp_path} is not a run folder: it has no config.toml. Runs are made by `tinyunet train`."
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        read_run_config(tmp_path)


@pytest.mark.parametrize("content", [b"format = ", b"\xff"])
def test_a_damaged_configuration_is_named(tmp_path, content):
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(tmp_path / CONFIG))} is damaged: .+\.$"):
        read_run_config(tmp_path)


@pytest.mark.parametrize("tree", [{}, {"seed": 1}, {"format": "1"}, {"format": True}])
def test_a_configuration_without_a_format_is_foreign(tree):
    message = "a.toml holds no format version; it was not made by tinyunet."
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        checked_config(tree, where="a.toml")


def test_a_newer_format_is_refused_whatever_else_it_holds():
    message = (
        f"a.toml was made by a newer version of tinyunet (format {FORMAT + 1}, this one reads up to {FORMAT}): upgrade."
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        checked_config({"format": FORMAT + 1, "unknown": 1}, where="a.toml")


def test_an_unknown_key_of_this_format_is_named():
    with pytest.raises(ConfigError, match=r"^a\.toml: unknown key `sed`\. Did you mean 'seed'\?"):
        checked_config({"format": FORMAT, "sed": 1}, where="a.toml")
