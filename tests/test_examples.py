"""Every example runs to its end, at tiny sizes."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

TINY = {
    "01_train_and_predict.py": ["--steps", "2", "--size", "32"],
    "02_unet_in_jax.py": ["--steps", "2", "--size", "32", "--features", "4"],
    "03_skips_matter.py": [
        *("--steps", "2", "--size", "32", "--set", "model.features=2", "--set", "model.depth=1"),
        *("--set", "batches.margin=0", "--set", "augment.warp_probability=0.0", "--picture", "skips.png"),
    ],
    "04_any_size.py": ["--size", "150", "--tile", "64", "--depth", "2"],
    "05_volumes.py": ["--steps", "2", "--size", "16", "--features", "2"],
    "docs/pictures/make.py --volumes": ["--volumes", "--steps", "2", "--size", "64", "--out", "volume.png"],
    "docs/pictures/make.py": ["--steps", "2", "--size", "32", "--out", "prediction.png"],
}

SAYS = {
    "01_train_and_predict.py": "69 × 27 pixels, ",
    "02_unet_in_jax.py": "Dice on images not seen: ",
    "03_skips_matter.py": "red: missed, violet: invented, green: right: skips.png",
    "04_any_size.py": "1 × 1 pixels in 1 tiles: differs from the whole by at most ",
    "05_volumes.py": "(16, 16, 4) voxels, the same place: True",
    "docs/pictures/make.py --volumes": "volume.png: test-00",
    "docs/pictures/make.py": "prediction.png: test-00",
}


def script(name: str) -> Path:
    """The file of an entry above."""
    name = name.split()[0]
    return ROOT / name if "/" in name else EXAMPLES / name


@pytest.mark.parametrize("name", TINY)
def test_it_runs_to_its_end(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *TINY[name]])
    runpy.run_path(str(script(name)), run_name="__main__")
    assert SAYS[name] in capsys.readouterr().out


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {name for name in TINY if "/" not in name}


def test_examples_are_short_and_numbered():
    for number, path in enumerate(sorted(EXAMPLES.glob("*.py")), start=1):
        assert path.name.startswith(f"{number:02}_")
        assert len(path.read_text(encoding="utf-8").splitlines()) < 100


def test_examples_say_how_to_run_them():
    for name in TINY:
        relative = script(name).relative_to(ROOT)
        assert f"    python {relative}" in script(name).read_text(encoding="utf-8")
