"""Files that one process at a time may hold."""

import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tinyunet.errors import ConfigError

if os.name == "nt":
    import msvcrt

    def _take(file: IO[Any]) -> None:
        """Locks the file, or raises `OSError`."""
        # Only on Windows has the module what is checked here on other systems.
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _take(file: IO[Any]) -> None:
        """Locks the file, or raises `OSError`."""
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def take(file: IO[Any]) -> bool:
    """Locks an open file if nobody has it; the system unlocks it when the process ends, however it ends."""
    try:
        _take(file)
    except OSError:
        return False
    return True


class Lock:
    """A file that is locked until it is released, or the process ends.

    Args:
        path: The file, in a folder that exists; it is made if need be.
        refusal: What to say where another process has it.

    Raises:
        ConfigError: Another process has it.
    """

    def __init__(self, path: Path, *, refusal: str):
        self._file = path.open("a", encoding="utf-8")
        if not take(self._file):
            self._file.close()
            raise ConfigError(refusal)

    def release(self) -> None:
        """Gives it back."""
        self._file.close()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
