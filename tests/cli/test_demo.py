import numpy as np
import pytest
from reference import tiny


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """What the quick demonstration makes and says."""
    out = tmp_path_factory.mktemp("cli") / "demo"
    assert tiny.command("demo", "--quick", "--out", out) == 0
    return out


def test_everything_from_data_to_masks_is_made(demo):
    assert sorted(path.name for path in demo.iterdir()) == ["cells", "masks", "run"]
    assert len(list((demo / "cells/images").iterdir())) == 6
    tests = sorted(path.stem for path in (demo / "cells/images").glob("test*"))
    assert sorted(path.name for path in (demo / "masks").iterdir()) == sorted(
        name for test in tests for name in (f"{test}.png", f"{test}_overlay.png")
    )
    assert len(tests) == 2
    assert set(np.unique(tiny.pixels(demo / f"masks/{tests[0]}.png"))) <= {0, 255}
    assert (demo / "run/evaluation.json").exists()
    assert "Otsu" in (demo / "run/report.html").read_text()


def test_a_place_that_is_taken_is_refused(demo, tmp_path, capsys):
    before = tiny.contents(demo)
    assert tiny.command("demo", "--quick", "--out", demo) == 2
    assert capsys.readouterr().err == f"error: {demo} exists; remove it, or choose another --out.\n"
    assert tiny.contents(demo) == before
    (tmp_path / "file").write_text("mine")
    assert tiny.command("demo", "--quick", "--out", tmp_path / "file") == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/file exists; remove it, or choose another --out.\n"
