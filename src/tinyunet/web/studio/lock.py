"""One studio at a time for a folder."""

import os
from pathlib import Path
from typing import IO

from tinyunet.data.readers import shown
from tinyunet.errors import ConfigError

if os.name == "nt":
    import msvcrt

    def _take(file: IO[str]) -> None:
        """Locks the file, or raises `OSError`."""
        # Only on Windows has the module what is checked here on other systems.
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _take(file: IO[str]) -> None:
        """Locks the file, or raises `OSError`."""
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """A lock that the system gives up when the process ends, however it ends.

    Args:
        path: The lock's file, in a folder that exists.
        folder: What is locked, for the message.

    Raises:
        ConfigError: Another process has it.
    """

    def __init__(self, path: Path, *, folder: Path):
        self._file = path.open("a", encoding="utf-8")
        try:
            _take(self._file)
        except OSError:
            self._file.close()
            raise ConfigError(
                f"{shown(folder)} is open in another studio: use that one, stop it first, or open another folder."
            ) from None

    def release(self) -> None:
        """Gives it back."""
        self._file.close()
