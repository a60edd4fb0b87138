"""Every stroke on disk before it is answered: a file that grows at its end, and is read again after a kill."""

import json
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tinyunet.data.writers import explained_writing, write_bytes

_MAGIC = b"TNU1"
_FRAME = struct.Struct("<4sIII")  # magic, bytes of the head, bytes of the body, CRC of both


class Entry(NamedTuple):
    """One line of a journal.

    Attributes:
        head: What it is, as JSON.
        body: Bytes that belong to it.
    """

    head: dict[str, Any]
    body: bytes


class Journal:
    """A journal of entries, each of which is on disk whole or not at all.

    Args:
        path: The file; made if it is not there. What a kill left half written at its end is cut off.

    Raises:
        DataError: It cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "journal")
        >>> journal = Journal(path)
        >>> journal.append({"image": "a"}, b"paint")
        >>> journal.close()
        >>> again = Journal(path)
        >>> [*again.entries()]
        [Entry(head={'image': 'a'}, body=b'paint')]
        >>> again.close()
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        with explained_writing(path):
            path.touch()
            self.size = sum(_FRAME.size + length for length in self._lengths())
            self._file = path.open("r+b", buffering=0)
            self._cut()

    def _cut(self) -> None:
        """Takes away what lies behind the last whole entry."""
        self._file.truncate(self.size)
        self._file.seek(self.size)

    def _lengths(self) -> Iterator[int]:
        for entry, length in _read(self.path.read_bytes()):
            del entry
            yield length

    def entries(self) -> Iterator[Entry]:
        """All entries, the oldest first."""
        for entry, _ in _read(self.path.read_bytes()):
            yield entry

    def append(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Adds an entry, and returns when the disk has it.

        Raises:
            DataError: It cannot be written; nothing of it is left then.
        """
        with self._lock, explained_writing(self.path):
            frame = memoryview(_frame(head, body))
            try:
                while frame:
                    frame = frame[self._file.write(frame) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._cut()
                raise
            self.size = self._file.tell()

    def replace(self, entries: list[Entry]) -> None:
        """Puts other entries in the place of all that there are, in one step.

        Raises:
            DataError: They cannot be written; the old ones stay.
        """
        content = b"".join(_frame(entry.head, entry.body) for entry in entries)
        with self._lock:
            write_bytes(self.path, content, lasting=True)
            self._file.close()
            self._file = self.path.open("r+b", buffering=0)
            self.size = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _frame(head: dict[str, Any], body: bytes) -> bytes:
    said = json.dumps(head, sort_keys=True).encode()
    return _FRAME.pack(_MAGIC, len(said), len(body), zlib.crc32(said + body)) + said + body


def _read(content: bytes) -> Iterator[tuple[Entry, int]]:
    """The entries that are whole, and the bytes that each takes after its frame; the first that is not ends them."""
    at = 0
    while at + _FRAME.size <= len(content):
        magic, head, body, crc = _FRAME.unpack_from(content, at)
        begin, end = at + _FRAME.size, at + _FRAME.size + head + body
        if magic != _MAGIC or end > len(content) or zlib.crc32(content[begin:end]) != crc:
            return
        yield Entry(json.loads(content[begin : begin + head]), content[begin + head : end]), head + body
        at = end
