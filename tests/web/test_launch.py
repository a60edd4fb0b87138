import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tinyunet.errors import ConfigError
from tinyunet.web import launch
from tinyunet.web.launch import address, is_loopback, listen, names

SOURCE = Path(launch.__file__).parent.parent.parent

SERVER = """
import sys
from tinyunet.web.launch import listen, run
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("ended", flush=True)
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
taken = listen("127.0.0.1", 0)
print(taken.getsockname()[1], flush=True)
run(app, taken, patience=1)
print("after", flush=True)
"""


def test_a_port_in_use_is_one_line():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} of 127.0.0.1 is in use: stop what listens there, or choo"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("no such host", 0, "is no name or address that is known here; try 127.0.0.1"),
        ("192.0.2.1", 0, "is no address of this machine"),
        ("127.0.0.1", 65536, "from 0, for any free one, to 65535, got 65536"),
        ("a" * 300, 0, "is no name or address"),
    ],
)
def test_a_place_that_cannot_be_listened_on_is_one_line(host, port, words):
    with pytest.raises(ConfigError, match=words) as caught:
        listen(host, port)
    assert "\n" not in str(caught.value)


def test_the_address_is_one_that_opens_here():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address(taken, "127.0.0.1", "t") == f"http://127.0.0.1:{port}/?token=t"
        assert address(taken, "0.0.0.0", "t") == f"http://127.0.0.1:{port}/?token=t"
        assert address(taken, "::1", "t") == f"http://[::1]:{port}/?token=t"
        assert is_loopback(taken)
    with listen("0.0.0.0", 0) as everywhere:
        assert not is_loopback(everywhere)


def test_names_are_those_of_this_machine_and_those_given():
    assert names("0.0.0.0") == ("127.0.0.1", "localhost", "::1")
    assert names("[::1]", ["Lab.Example.org"]) == ("127.0.0.1", "localhost", "::1", "lab.example.org")
    for wrong in ("", "*", "a:80", "http://a", "a b"):
        with pytest.raises(ConfigError, match="must be one name without port or path"):
            names("127.0.0.1", [wrong])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(number):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "served"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "ended\nafter\n", "")


def test_a_browser_is_opened_at_the_address(monkeypatch):
    opened = threading.Event()
    monkeypatch.setattr(launch.webbrowser, "open", lambda url: opened.set())
    monkeypatch.setattr(launch.uvicorn.Server, "run", lambda self, sockets: opened.wait(10))
    taken = listen("127.0.0.1", 0)
    launch.run(lambda scope, receive, send: None, taken, browse="http://127.0.0.1/")
    assert opened.is_set()
    with pytest.raises(OSError, match="Bad file descriptor"):
        taken.accept()
    assert isinstance(taken, socket.socket)
