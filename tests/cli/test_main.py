import errno
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import tifffile
from PIL import Image
from reference import tiny

import tinyunet
from tinyunet.cli import main as module
from tinyunet.cli.main import COMMANDS, main
from tinyunet.errors import ConfigError, DataError


def failing(error):
    def run(arguments):
        raise error

    return run


def call(monkeypatch, run, *options):
    """The exit status of a command that does what the test says."""
    monkeypatch.setattr("tinyunet.cli.report.run", run)
    return main(["report", "somewhere", *options])


def test_a_command_that_works_exits_with_0(monkeypatch, capsys):
    seen = []
    assert call(monkeypatch, seen.append) == 0
    assert seen[0].folder == Path("somewhere")
    assert capsys.readouterr() == ("", "")


def test_what_the_user_can_mend_exits_with_2_and_one_line_for_each_problem(monkeypatch, capsys):
    assert call(monkeypatch, failing(DataError("a.png is empty.", "b.png has no mask."))) == 2
    assert capsys.readouterr() == ("", "error: a.png is empty.\nerror: b.png has no mask.\n")


def test_our_own_fault_exits_with_1_and_says_how_to_report_it(monkeypatch, capsys):
    assert call(monkeypatch, failing(KeyError("nothing"))) == 1
    assert capsys.readouterr().err == (
        "internal error: KeyError: 'nothing'\n"
        "This is a fault of tinyunet. Please report it with the command you gave, `tinyunet --version`, and what the "
        "same command prints with --debug.\n"
    )


@pytest.mark.parametrize("error", [ConfigError("wrong"), KeyError("nothing"), OSError(errno.ENOSPC, "full")])
def test_a_traceback_is_shown_on_demand_only(monkeypatch, capsys, error):
    call(monkeypatch, failing(error))
    assert "Traceback" not in capsys.readouterr().err
    call(monkeypatch, failing(error), "--debug")
    text = capsys.readouterr().err
    assert text.startswith("Traceback (most recent call last):")
    assert "in failing" not in text
    assert "test_main.py" in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "run/metrics.jsonl"),
            "run/metrics.jsonl cannot be read or written: No space left on device. Free some space, or choose another "
            "folder.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "run"),
            "run cannot be read or written: Permission denied. Choose a folder that you may read and write.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "A file cannot be read or written: No space left on device. Free some space, or choose another folder.",
        ),
    ],
)
def test_a_full_disk_is_the_users_to_mend_wherever_it_is_met(monkeypatch, capsys, error, text):
    assert call(monkeypatch, failing(error)) == 2
    assert capsys.readouterr().err == f"error: {text}\n"


def test_other_errors_of_the_system_are_ours(monkeypatch, capsys):
    assert call(monkeypatch, failing(FileNotFoundError(errno.ENOENT, "No such file", "x"))) == 1
    assert capsys.readouterr().err.startswith("internal error: FileNotFoundError: ")


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    assert call(monkeypatch, failing(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys, tinyunet.cli.report as report\n"
        "def run(arguments):\n    print('x' * 100_000, flush=True)\n"
        "report.run = run\n"
        "from tinyunet.cli.main import main\nsys.exit(main(['report', 'somewhere']))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    place = {**os.environ, "PYTHONPATH": str(Path(tinyunet.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=place, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_files_that_libraries_complain_about_are_silent(monkeypatch, capfd, tmp_path):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, tiny.picture(0)[0])
    path.write_bytes(path.read_bytes()[:400])

    def run(arguments):
        with warnings.catch_warnings():
            warnings.warn_explicit("Truncated", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
        logging.getLogger("tifffile").error("corrupt")
        from tinyunet.data.readers import read_image

        with pytest.raises(DataError):
            read_image(path)

    assert call(monkeypatch, run) == 0
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("tifffile").level != logging.CRITICAL + 1


def test_warnings_of_others_are_shown(monkeypatch):
    with pytest.warns(UserWarning, match="^mine$"):
        call(monkeypatch, lambda arguments: warnings.warn("mine", UserWarning, stacklevel=1))


def test_help_lists_every_command_with_what_it_does(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^    {name}  +\w", text, re.MULTILINE)


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"tinyunet {tinyunet.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "d", "--stpes", "3"], "unrecognized arguments: --stpes 3"),
        (["train", "d", "--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["train", "d", "--steps", "3", "--minutes", "3"], "argument --minutes: not allowed with argument --steps"),
        (["predict", "r"], "the following arguments are required: INPUT, --out"),
    ],
)
def test_a_command_that_makes_no_sense_exits_with_2(capsys, arguments, text):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert text in capsys.readouterr().err


def test_the_cache_of_compiled_programs_is_used_unless_it_is_refused(monkeypatch, tmp_path):
    used = []
    monkeypatch.setattr("tinyunet.runs.cache.use_compilation_cache", lambda: used.append("cache"))
    monkeypatch.setattr("tinyunet.cli.evaluate.run", lambda arguments: used.append("run"))
    main(["evaluate", "r", "d", "--no-cache"])
    assert used == ["run"]
    main(["evaluate", "r", "d"])
    assert used == ["run", "cache", "run"]
    call(monkeypatch, lambda arguments: used.append("report"))  # which compiles nothing
    assert used[3:] == ["report"]


def test_the_module_is_the_command():
    place = {**os.environ, "PYTHONPATH": str(Path(tinyunet.__file__).parent.parent)}
    line = [sys.executable, "-m", "tinyunet", "check", "no such folder"]
    done = subprocess.run(line, env=place, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no such folder must be a folder with images/ and masks/, got nothing there.")
    assert done.stderr.count("\n") == 1


def test_an_image_that_pillow_would_warn_of_is_checked_in_silence(tmp_path, capfd):
    data = tiny.write_pairs(tmp_path / "cells")
    Image.fromarray(tiny.picture(0)[0]).save(data / "images/0.png", pnginfo=None)
    assert tiny.command("check", data) == 0
    assert capfd.readouterr().err == ""
    assert module.STARTED > 0
