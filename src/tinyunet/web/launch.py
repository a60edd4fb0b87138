"""Starting a server: the port first, then what takes time, then the address on stdout; Ctrl-C ends it well."""

import errno
import logging
import os
import socket
import threading
import webbrowser
from collections.abc import Sequence

import uvicorn

from tinyunet.errors import ConfigError
from tinyunet.runs.stop import stop_on_signal
from tinyunet.web.guard import LOOPBACK, App

_EVERYWHERE = ("", "0.0.0.0", "::")
BACKLOG = 128
"""Connections that may wait until the model is loaded."""


def listen(host: str, port: int) -> socket.socket:
    """Takes a port, before anything that takes time is loaded.

    Args:
        host: A name or an address of this machine.
        port: 0 for any that is free.

    Returns:
        A socket that listens: whoever connects waits until the server runs.

    Raises:
        ConfigError: The port is in use or not allowed, or the host is none of this machine's.

    Example:
        >>> taken = listen("127.0.0.1", 0)
        >>> taken.getsockname()[0]
        '127.0.0.1'
        >>> taken.close()
    """
    if not 0 <= port < 2**16:
        raise ConfigError(f"`--port` must be from 0, for any free one, to 65535, got {port}.")
    try:
        (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ConfigError(f"`--host` {host!r} is no name or address that is known here; try 127.0.0.1.") from None
    found = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # so that a port is free again as soon as the server before has ended
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        raise ConfigError(_why_not(error, host, port)) from None
    return found


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use: stop what listens there, or choose another with --port (0: any)."
    if error.errno == errno.EACCES:
        return f"Port {port} of {host} may not be taken by you: choose one from 1024 on with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"`--host` {host} is no address of this machine; try 127.0.0.1."
    return f"Port {port} of {host} cannot be listened on: {error.strerror}."


def names(host: str, allowed: Sequence[str] = ()) -> tuple[str, ...]:
    """The names under which requests may reach the server.

    Args:
        host: That is listened on; of all addresses, 0.0.0.0, no name follows.
        allowed: Further ones, as a reverse proxy passes them on.

    Raises:
        ConfigError: A further one is no name.

    Example:
        >>> names("192.0.2.7", ["lab.example.org"])
        ('127.0.0.1', 'localhost', '::1', '192.0.2.7', 'lab.example.org')
    """
    for name in allowed:
        if not name or any(letter in name for letter in "/*@ ,") or name.count(":") == 1:
            raise ConfigError(f"`--allow-host` must be one name without port or path, got {name!r}.")
    own = () if host in _EVERYWHERE else (host,)
    return tuple(dict.fromkeys(name.strip("[]").lower() for name in (*LOOPBACK, *own, *allowed)))


def address(listening: socket.socket, host: str, token: str) -> str:
    """What to open in a browser on this machine.

    Args:
        listening: The socket.
        host: As the user gave it.
        token: Of this start.
    """
    name = "127.0.0.1" if host in _EVERYWHERE else host.strip("[]")
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listening.getsockname()[1]}/?token={token}"


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return str(listening.getsockname()[0]) in LOOPBACK


def run(app: App, listening: socket.socket, *, browse: str | None = None, patience: float = 10.0) -> None:
    """Serves until Ctrl-C or SIGTERM, which end it well: running requests get `patience`, and the caller goes on.

    Args:
        app: The guarded application.
        listening: The socket, which is closed in the end.
        browse: An address that is opened in the user's browser.
        patience: Seconds that requests which have begun may still take.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",  # faults of ours, but not what clients do wrong
        access_log=False,  # addresses may hold the token
        server_header=False,
        proxy_headers=False,  # nobody's word for where a request comes from is taken
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(patience)),
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it would warn of every damaged form
    if browse is not None:
        threading.Thread(target=webbrowser.open, args=(browse,), daemon=True).start()
    try:
        with stop_on_signal() as asked:  # uvicorn, once it has ended, raises again the signal that ended it
            if not asked.is_set():
                uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
