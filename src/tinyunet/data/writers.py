"""Arrays and text to files that are either whole or not there."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from tinyunet.data.readers import shown
from tinyunet.errors import DataError


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends, and vanishes when the block fails.

    So a reader, or the next start after a kill, finds the old file or the new one, never half of one.

    Args:
        path: Where the file shall be; its folder exists.

    Yields:
        Where to write it: hidden, in the same folder.

    Raises:
        DataError: The file cannot be written: no space, no permission, no such folder.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.txt")
        >>> with replace_file(path) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> path.read_text()
        'whole'
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with explained_writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # whatever failed first is what the user must hear of
            temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Like `replace_file`, of a folder: one that exists already is removed once the new one has taken its place.

    A kill between two renames can leave neither at `path`, and never half of one.

    Args:
        path: Where the folder shall be; its parent exists.

    Yields:
        An empty folder beside it, hidden.

    Raises:
        DataError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.zarr")
        >>> with replace_folder(path) as temporary:
        ...     _ = (temporary / "zarr.json").write_text("{}")
        >>> [file.name for file in path.iterdir()]
        ['zarr.json']
    """
    temporary, old = (path.with_name(f".{secrets.token_hex(8)}.tmp") for _ in range(2))
    try:
        with explained_writing(path):
            temporary.mkdir()
            yield temporary
            if path.is_dir() and not path.is_symlink():
                path.replace(old)
            try:
                temporary.replace(path)
            except OSError:
                if old.exists():
                    old.replace(path)
                raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def explained_writing(path: Path) -> Iterator[None]:
    """Turns what the file system says against writing a file into one line that names it.

    Args:
        path: The file, or the folder.

    Raises:
        DataError: It cannot be written: no space, no permission, no such folder.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(f"{shown(path)} cannot be written: {reason}. {_way_out(error)}") from error


def _way_out(error: OSError) -> str:
    # NumPy's own error for a write that came out short carries no number
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
        return "Free some space, or choose another folder."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "Make the folder first."
    return "Choose a folder that you may write to."


def write_bytes(path: Path, content: bytes, *, lasting: bool = False) -> None:
    """Write bytes, whole or not at all.

    Args:
        path: Where to.
        content: What.
        lasting: Wait until the disk has them, so that a machine that loses its power does not lose them.

    Raises:
        DataError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> write_bytes(Path(tempfile.mkdtemp(), "a.bin"), b"whole")
    """
    with replace_file(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        if lasting:
            file.flush()
            os.fsync(file.fileno())


def write_text(path: Path, content: str) -> None:
    """Write text in UTF-8 with its line ends as they are, whole or not at all.

    Raises:
        DataError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> write_text(Path(tempfile.mkdtemp(), "a.txt"), "whole")
    """
    write_bytes(path, content.encode())


def write_array(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write an array as `.npy`, whole or not at all.

    Raises:
        DataError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> write_array(Path(tempfile.mkdtemp(), "a.npy"), np.zeros((2, 2)))
    """
    with replace_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_png(path: Path, image: UInt8[np.ndarray, "h w *c"]) -> None:
    """Write an 8-bit picture as PNG, whole or not at all.

    Args:
        path: Where to.
        image: Grey (h, w) or (h, w, 1), RGB (h, w, 3) or RGBA (h, w, 4).

    Raises:
        DataError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> write_png(Path(tempfile.mkdtemp(), "a.png"), np.zeros((2, 2, 3), np.uint8))
    """
    picture = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    with replace_file(path) as temporary:
        picture.save(temporary, "PNG")
