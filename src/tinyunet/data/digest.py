"""By which the bytes of a file, or of a folder that is one image, are known again."""

import hashlib
import json
from pathlib import Path

from tinyunet.data.header import Unreadable
from tinyunet.data.readers import shown
from tinyunet.data.zarrarray import files_inside
from tinyunet.errors import DataError


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; neither its name nor its times matter.

    Of a folder, it is that over the names within it, in their order, and the digests of these files.

    A file that has just been decoded comes from the system's cache, so that the disk is read once.

    Args:
        path: The file, or the folder.

    Raises:
        DataError: The file cannot be opened, or the folder holds links.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a")
        >>> path.write_bytes(b"abc")
        3
        >>> file_digest(path)[:16]
        'ba7816bf8f01cfea'

    References:
        NIST (2015), FIPS 180-4, Secure hash standard, section 6.2.
    """
    try:
        if path.is_dir():
            inside = [[name, file_digest(file)] for name, file in files_inside(path).items()]
            return hashlib.sha256(json.dumps(inside).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except Unreadable as refusal:
        raise DataError(f"{shown(path)} {refusal}") from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be opened: {error.strerror}.") from error
