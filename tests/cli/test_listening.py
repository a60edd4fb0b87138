"""What the commands that serve pages have in common."""

import argparse
import socket

import pytest

from tinyunet.cli.listening import add_options, opened
from tinyunet.errors import ConfigError


def options(*given):
    parser = argparse.ArgumentParser()
    add_options(parser, port=8420)
    return parser.parse_args(given)


def test_it_listens_on_this_machine_alone_unless_told_otherwise():
    found = options()
    assert (found.host, found.port, found.open, found.allow_host) == ("127.0.0.1", 8420, False, [])


def test_the_port_is_taken_and_given_back():
    with opened(options("--port", "0", "--allow-host", "lab.example.org"), what="it") as door:
        port = door.listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        assert door.hosts == ("127.0.0.1", "localhost", "::1", "lab.example.org")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_every_start_has_a_token_of_its_own():
    with opened(options("--port", "0"), what="it") as one, opened(options("--port", "0"), what="it") as other:
        assert one.token != other.token


@pytest.mark.parametrize("given", [("--port", "70000"), ("--allow-host", "a/b"), ("--host", "no.such.host.invalid")])
def test_what_cannot_be_is_said_before_anything_is_loaded(given):
    with pytest.raises(ConfigError, match=f"`{given[0]}`"), opened(options("--port", "0", *given), what="it"):
        pass


def test_who_can_connect_from_elsewhere_is_said(capsys, monkeypatch):
    served = []
    monkeypatch.setattr("tinyunet.web.launch.run", lambda app, *_, **options: served.append((app, options)))
    with opened(options("--port", "0", "--host", "0.0.0.0", "--open"), what="it") as door:
        door.serve("app", said="A page", end="Ctrl-C stops it.", patience=1.0)
        url = f"http://127.0.0.1:{door.listening.getsockname()[1]}/?token={door.token}"
    out, err = capsys.readouterr()
    assert out == f"A page. Open\n\n    {url}\n\nCtrl-C stops it.\n"
    assert err.startswith("note: other machines can connect")
    assert served == [("app", {"browse": url, "patience": 1.0})]
