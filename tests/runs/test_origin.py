import sys
from pathlib import Path

import jax
import pytest
from reference import tiny

from tinyunet.layers.paths import instruction_set
from tinyunet.runs.origin import command_of, origin_of
from tinyunet.runs.prepare import resolve
from tinyunet.runs.request import read_request
from tinyunet.runs.session import Session


def test_it_says_where_and_how(tmp_path):
    data = tiny.write_pairs(tmp_path / "cells")
    resolved, examination = resolve(read_request(None, [*tiny.SETTINGS, "train.steps=6"]), data)
    origin = origin_of(Session(resolved, examination.folder, common=0))
    assert (origin["steps"], origin["jax"], origin["processes"]) == (6, jax.__version__, 1)
    assert origin["devices"] == [jax.devices()[0].device_kind]
    assert origin["kernels"] == (instruction_set() or "XLA")
    assert origin["parameters"] > 50


@pytest.mark.parametrize(
    ("program", "recorded"),
    [
        ("/usr/bin/tinyunet", "tinyunet train 'my cells' --steps 4"),
        ("C:/Scripts/tinyunet.exe", "tinyunet train 'my cells' --steps 4"),
        ("/lib/tinyunet/__main__.py", "tinyunet train 'my cells' --steps 4"),
        ("notebook.py", "tinyunet.train('d', 'r', seed=0, init='old')"),
        ("", "tinyunet.train('d', 'r', seed=0, init='old')"),
    ],
)
def test_a_training_begun_by_a_command_records_it_ready_to_paste(monkeypatch, program, recorded):
    monkeypatch.setattr(sys, "argv", [program, "train", "my cells", "--steps", "4"])
    options = {"steps": None, "seed": 0, "settings": [], "init": Path("old")}
    assert command_of(Path("d"), Path("r"), options) == recorded
