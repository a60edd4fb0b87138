import pytest
from reference import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    return tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run", steps=1)


def test_the_report_is_written_again_alike(run, capsys):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert tiny.command("report", run) == 0
    assert capsys.readouterr() == (f"{run}/report.html\n", "")
    assert (run / "report.html").read_bytes() == before


def test_what_is_no_run_has_no_report(tmp_path, capsys):
    assert tiny.command("report", tmp_path) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"error: {tmp_path}")
    assert text.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
