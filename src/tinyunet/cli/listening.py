"""What the commands that serve pages have in common: where they listen, and who may come in."""

import argparse
import importlib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyunet.web.guard import App, Guard


def add_options(parser: argparse.ArgumentParser, *, port: int) -> None:
    """The options of a command that listens, by default at `port`."""
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, default=port, help=f"the port (default: {port}; 0: any that is free)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name under which requests may come, such as that of a reverse proxy; may be given again",
    )


@dataclass(frozen=True)
class Door:
    """A port that has been taken, and what opens it.

    Attributes:
        listening: The socket.
        hosts: Names under which requests may come.
        host: As the user gave it.
        token: Of this start.
        browse: Whether the page is opened in the user's browser.
    """

    listening: socket.socket
    hosts: tuple[str, ...]
    host: str
    token: str
    browse: bool

    def guard(self, app: "App", *, max_body: int, body_seconds: float) -> "Guard":
        """An application that only those reach who know the token.

        Args:
            app: The application.
            max_body: Bytes of a request.
            body_seconds: That a request may take to arrive.
        """
        from tinyunet.web.guard import Guard, GuardConfig

        config = GuardConfig(
            token=self.token,
            port=self.listening.getsockname()[1],
            hosts=self.hosts,
            max_body=max_body,
            body_seconds=body_seconds,
            open_paths={"/healthz"},
        )
        return Guard(app, config)

    def serve(self, app: "App", *, said: str, end: str, patience: float = 10.0) -> None:
        """Prints the address and serves until Ctrl-C.

        Args:
            app: The guarded application.
            said: What is served, for people.
            end: What Ctrl-C does.
            patience: Seconds that requests which have begun may still take then.
        """
        from tinyunet.web.launch import address, is_loopback
        from tinyunet.web.launch import run as run_server

        if not is_loopback(self.listening):
            print(
                "note: other machines can connect, and nothing on the way is encrypted; the documentation says how to "
                "put a proxy with TLS before it.",
                file=sys.stderr,
            )
        url = address(self.listening, self.host, self.token)
        print(f"{said}. Open\n\n    {url}\n\n{end}", flush=True)
        run_server(app, self.listening, browse=url if self.browse else None, patience=patience)


@contextmanager
def opened(arguments: argparse.Namespace, *, what: str) -> Iterator[Door]:
    """Takes the port before anything is loaded that takes time, and gives it back in the end.

    Args:
        arguments: Of a command with `add_options`.
        what: The command, for messages.

    Raises:
        ConfigError: The extra `web` is not installed, or the options cannot be.
    """
    from tinyunet.cli.extra import WEB, needs_extra

    with needs_extra("web", WEB, what=what):
        importlib.import_module("python_multipart")  # which FastAPI looks for only when a form arrives
        from tinyunet.web.guard import new_token
        from tinyunet.web.launch import listen, names

    hosts = names(arguments.host, arguments.allow_host)
    with listen(arguments.host, arguments.port) as listening:
        yield Door(listening, hosts, arguments.host, new_token(), arguments.open)
