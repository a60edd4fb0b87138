import os
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest
from PIL import Image
from reference import tiny

from tinyunet.cli import serve as module
from tinyunet.web.launch import listen


def test_a_run_is_served_until_it_is_interrupted(semantic_run, tmp_path):
    tiny.save(tmp_path / "a.png", tiny.picture(1)[0])
    assert tiny.command("predict", semantic_run, tmp_path / "a.png", "--out", tmp_path / "out", "--runtime", "jax") == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyunet", "serve", semantic_run, "--port", "0", "--runtime", "jax", "--no-cache"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        said = [process.stdout.readline() for _ in range(5)]
        assert said[0] == f"Serving {semantic_run}, by XLA. Open\n"
        url = said[2].strip()
        with httpx.Client(follow_redirects=True, timeout=60) as client:
            assert "Segment images" in client.get(url).text
            found = client.post(url.split("?")[0] + "api/predict", content=(tmp_path / "a.png").read_bytes())
        assert found.content == (tmp_path / "out" / "a.png").read_bytes()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
    assert said[4] == "Ctrl-C stops it.\n"
    assert np.asarray(Image.open(tmp_path / "out" / "a.png")).shape == (tiny.SIDE, tiny.SIDE)


def test_a_port_in_use_is_said_before_the_model_is_loaded(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tinyunet.runs.run.load", lambda *arguments, **options: pytest.fail("it was loaded"))
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert tiny.command("serve", tmp_path, "--port", port) == 2
    assert capsys.readouterr().err.startswith(f"error: Port {port} of 127.0.0.1 is in use: stop what listens there")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-upload", "0"], "`--max-upload` must be above 0, got 0.0."),
        (["--max-upload", "nan"], "`--max-upload` must be above 0, got nan."),
        (["--max-pixels", "0"], "`--max-pixels` must be at least 1, got 0."),
        (["--queue", "-1"], "`--queue` must be at least 0, got -1."),
        (["--timeout", "-3"], "`--timeout` must be above 0, got -3.0."),
        (["--port", "70000"], "`--port` must be from 0, for any free one, to 65535, got 70000."),
        (["--allow-host", "a:80"], "`--allow-host` must be one name without port or path, got 'a:80'."),
        (["--port", "0"], "There is no run at "),
    ],
)
def test_wrong_options_are_one_line(options, words, tmp_path, capsys):
    assert tiny.command("serve", tmp_path / "none", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {words}")
    assert error.count("\n") == 1


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    assert tiny.command("serve", tmp_path) == 2
    assert capsys.readouterr().err == (
        "error: `tinyunet serve` wants python_multipart, which is not installed: pip install 'tinyunet[web]'.\n"
    )


def test_other_machines_are_let_in_with_a_note(semantic_run, monkeypatch, capsys):
    served = {}

    def run_server(app, listening, *, browse, **_):
        served.update(hosts=app.app.config.hosts, browse=browse)

    monkeypatch.setattr("tinyunet.web.launch.run", run_server)
    options = ["--host", "0.0.0.0", "--port", "0", "--allow-host", "lab.example.org", "--open", "--runtime", "jax"]
    assert tiny.command("serve", semantic_run, *options) == 0
    out, err = capsys.readouterr()
    assert err.startswith("note: other machines can connect, and nothing on the way is encrypted;")
    assert served["hosts"] == ("127.0.0.1", "localhost", "::1", "lab.example.org")
    assert served["browse"] in out
    assert module.__doc__
