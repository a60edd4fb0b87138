"""What is done of a prediction that is not whole yet: a hidden folder beside its output, that can be gone on with."""

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.lock import take
from tinyunet.data.readers import shown
from tinyunet.data.writers import explained_writing, write_bytes
from tinyunet.errors import DataError

_PLAN = "plan.json"
_LOCK = "lock"


class Partial:
    """The bands of a prediction that are done, each in a file of its own that is whole or not there.

    Any number of processes may put different bands at the same time.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def has(self, number: int) -> bool:
        """Whether a band is done."""
        return self._file(number).exists()

    def put(self, number: int, rows: Shaped[np.ndarray, "rows *rest"]) -> None:
        """Keeps a band; once this returns it outlasts the process, and the machine's next start."""
        content = zlib.compress(np.ascontiguousarray(rows).data, 1)
        write_bytes(self._file(number), content, lasting=True)

    def get(self, number: int, shape: tuple[int, ...], dtype: np.dtype) -> Shaped[np.ndarray, "rows *rest"]:
        """The rows of a band that is done."""
        content = zlib.decompress(self._file(number).read_bytes())
        return np.frombuffer(content, dtype).reshape(shape)

    def forget(self, number: int) -> None:
        """Lets a band not be done."""
        self._file(number).unlink(missing_ok=True)

    def remember(self, name: str, value: Any) -> None:
        """Keeps plain values under a name."""
        write_bytes(self.folder / f"{name}.json", json.dumps(value).encode(), lasting=True)

    def recall(self, name: str) -> Any:
        """What was kept under a name; None if nothing was."""
        file = self.folder / f"{name}.json"
        return json.loads(file.read_bytes()) if file.exists() else None

    def move(self, name: str, target: Path) -> None:
        """Puts a file or a folder that was made here in its place; a folder that is there already is removed."""
        with explained_writing(target):
            if target.is_dir() and not target.is_symlink():
                target.replace(self.folder / ".old")
            (self.folder / name).replace(target)
            shutil.rmtree(self.folder / ".old", ignore_errors=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.rows"


def partial_folder(output: Path) -> Path:
    """Where the parts of an output are kept until it is whole.

    Example:
        >>> partial_folder(Path("masks/a.tif")).as_posix()
        'masks/.a.tif.partial'
    """
    return output.with_name(f".{output.name}.partial")


@contextmanager
def open_partial(output: Path, identity: Mapping[str, Any]) -> Iterator[Partial]:
    """What is done of an output, held against other processes; gone when the block ends well.

    Args:
        output: The file or folder that it becomes.
        identity: What it is made of, by name, as plain values: only what was made of the same is gone on with.

    Raises:
        DataError: Another process works on it, it was made of something else, or it cannot be written.
    """
    folder = partial_folder(output)
    with _locked(folder, output):
        for entry in folder.glob(".*"):  # what a process was writing when it was killed
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        plan = folder / _PLAN
        wanted = json.loads(json.dumps(identity))
        found = json.loads(plan.read_bytes()) if plan.exists() else None
        if found is None:
            for entry in folder.iterdir():  # of a process that was killed before it began, or after it had done
                if entry.name != _LOCK:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            write_bytes(plan, json.dumps(wanted).encode(), lasting=True)
        elif found != wanted:
            names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
            raise DataError(
                f"{shown(folder)} holds an unfinished prediction with other {', '.join(names)}; remove that folder, "
                "give the same command again, or choose another --out."
            )
        yield Partial(folder)
        with explained_writing(output):
            plan.unlink()  # from now on nothing here counts
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Holds a folder, which is made if need be, by a lock that ends with the process."""
    with contextlib.ExitStack() as stack:
        with explained_writing(output):
            while True:
                folder.mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process has just removed the folder
                    file = stack.enter_context((folder / _LOCK).open("ab"))
                    if not take(file):
                        raise DataError(
                            f"{shown(output)} is being written by another process: wait, or choose another --out."
                        )
                    if os.fstat(file.fileno()).st_ino == (folder / _LOCK).stat().st_ino:
                        break
        yield
