"""JSON from elsewhere: what is asked of it, and what it may name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyunet.data.readers import shown
from tinyunet.errors import DataError


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: It cannot be read, is not JSON, or holds something else.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{shown(file)} cannot be opened: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(file)} is not JSON: {error}. Export it again.") from error
    if not isinstance(value, dict):
        raise DataError(f"{shown(file)} must hold an object in braces, got {type(value).__name__}.")
    return value


def text(table: Mapping[str, Any], name: str) -> str | None:
    """The text at a name, or None where there is none."""
    value = table.get(name)
    return value if isinstance(value, str) and value else None


def key(table: Mapping[str, Any], name: str) -> int | str | None:
    """The id at a name, a whole number or a text, or None where there is none."""
    value = table.get(name)
    return value if isinstance(value, (int, str)) else None


def find_image(folder: Path, name: str | None, *, where: str, problems: list[str]) -> Path | None:
    """The image that a file names, inside a folder and nowhere else; else None and a problem.

    Many programs write the path of the machine they ran on, so where there is nothing at the whole of it, what follows
    the last slash is looked for.

    Args:
        folder: Where to look.
        name: What the file says.
        where: The file, for the problem.
        problems: What is wrong is added here.
    """
    if name is None:
        problems.append(f"{where}: an image has no file name.")
        return None
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    inside = folder.resolve()
    candidates = [folder.joinpath(*parts)] if ".." not in parts else []
    candidates += [folder / parts[-1]] if parts and parts[-1] != ".." else []
    for path in candidates:
        if path.is_file() and path.resolve().is_relative_to(inside):
            return path
    problems.append(f"{where} names the image {name!r}, which is not in {shown(folder)}. Put it there.")
    return None
