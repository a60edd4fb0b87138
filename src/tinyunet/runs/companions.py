"""The other processes of a training: whether they are alive, and what they said when they ended.

A computation over several processes waits for all of them, and if one has died, for ever. So every process says every
few seconds that it is alive, on the board that JAX's coordination service keeps in process 0, and looks at what the
others say there. When one has fallen silent, or was ended by an error, the rest end too, and say which and why.
"""

import atexit
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from jax._src import distributed  # the board has no public door

from tinyunet.errors import TinyUNetError
from tinyunet.runs.abort import on_abort
from tinyunet.runs.folder import CONFIG

BEAT_SECONDS = 2.0
"""How often a process says that it is alive."""

SILENT_SECONDS = 40.0
"""A process that has said nothing for so long is dead; a shorter silence may be a long call into a library."""

ALARMED_SECONDS = 10.0
"""The same, where a computation over all processes has already failed."""

GRACE_SECONDS = 10.0
"""How long a process whose companion was ended by an error may go on, because it may be meeting the same error."""

_BOARD = "tinyunet/alive"

_NETWORK = ("Gloo", "NCCL")
"""What JAX computes with over several processes, as its errors name it; not all of them are of JAX's own kind."""


class Companions:
    """A context in which a training ends when one of its processes does. Of a single process it does nothing.

    Args:
        out: The run folder, for what is said.
        end: Ends this process with an exit status, from any thread.
    """

    def __init__(self, out: Path, *, end: Callable[[int], None] = os._exit):
        self._out = out
        self._end = end
        self._me, self._count = jax.process_index(), jax.process_count()
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._beats = 0
        self._heard: dict[int, tuple[str, float]] = {}
        self._read = time.monotonic()
        self._patience = SILENT_SECONDS

    def __enter__(self) -> "Companions":
        if self._count > 1:
            self._say()
            self._thread.start()
            self._restore = on_abort(self._explain)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._count == 1:
            return
        if isinstance(error, jax.errors.JaxRuntimeError) or any(name in str(error) for name in _NETWORK):
            # Most likely another has died, and the thread is going to find out which.
            self._patience = ALARMED_SECONDS
            self._thread.join(ALARMED_SECONDS + 3 * BEAT_SECONDS)
        self._left.set()
        self._thread.join(3 * BEAT_SECONDS)
        self._restore()
        with suppress(Exception):  # the board may be gone, and then `error` says more
            self._say(ended="" if error is None else _first_line(error))
        if error is not None:
            fault = 2 if isinstance(error, TinyUNetError | OSError) else 1
            status = 130 if isinstance(error, KeyboardInterrupt) else fault
            # This comes before JAX's own goodbye, which would wait for companions that have gone.
            atexit.register(self._leave, status)

    def _watch(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            try:
                self._say()
                said = {int(key.rpartition("/")[2]): text for key, text in _client().key_value_dir_get(_BOARD)}
            except Exception as error:  # whatever it is, there is no board any more
                process, how, grace = 0, f"cannot be reached ({_first_line(error)})", 0.0
            else:
                found = self._missing(said, time.monotonic())
                self._read = time.monotonic()
                if found is None:
                    continue
                process, how, grace = found
            if not self._left.wait(grace):
                self._give_up(process, how)
            return

    def _missing(self, said: dict[int, str], now: float) -> tuple[int, str, float] | None:
        """The first process that is not as it should be; None while all is well.

        Args:
            said: What stands on the board, of each process that has written there.
            now: On `time.monotonic`.

        Returns:
            Its number, what has become of it, and for how many seconds this process may still go on.
        """
        for process, text in said.items():
            if self._heard.get(process, ("", 0.0))[0] != text:
                self._heard[process] = text, now
        for process in range(self._count):
            text, since = self._heard.setdefault(process, ("", now))
            about = json.loads(text or '{"ended": null}')
            if process == self._me or about["ended"] == "":
                continue
            where = f"on {about['host']} " if text else ""
            if about["ended"] is not None:
                return process, f"{where}was ended by an error: {about['ended']}", GRACE_SECONDS
            if now - since > self._patience:
                return process, f"{where}has died: it has not been heard of for {now - since:.0f} s", 0.0
        return None

    def _explain(self) -> None:
        """Says what it means that JAX aborts this process, as it does at once where process 0 has gone."""
        silent = time.monotonic() - self._read > 3 * BEAT_SECONDS
        if self._me and (silent or not _answers(distributed.global_state.coordinator_address)):
            self._give_up(0, "has died, or can no longer be reached")

    def _say(self, ended: str | None = None) -> None:
        """Writes on the board that this process is alive, that it has ended well (empty), or by which error."""
        self._beats += 1
        text = json.dumps({"beat": self._beats, "host": socket.gethostname(), "ended": ended})
        _client().key_value_set(f"{_BOARD}/{self._me}", text, allow_overwrite=True)

    def _give_up(self, process: int, how: str) -> None:
        """Says which process is missing, and ends this one."""
        again = f"tinyunet train --resume {self._out}" if (self._out / CONFIG).is_file() else "the same command"
        print(
            f"error: Process {process} of {self._count} {how.rstrip('.')}. Start all processes again, with {again}.",
            file=sys.stderr,
        )
        self._leave(2)

    def _leave(self, status: int) -> None:
        """Ends this process at once."""
        sys.stdout.flush()
        sys.stderr.flush()
        if self._me == 0:
            time.sleep(3 * BEAT_SECONDS)  # the board is here, and the others are still to read it
        self._end(status)


def _answers(address: str | None) -> bool:
    """Whether anything listens at `HOST:PORT`."""
    host, _, port = (address or "").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def _client() -> Any:
    return distributed.global_state.client


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
