"""`split.csv`: the user's own split, one line `name,split` for each image."""

import csv
from collections.abc import Collection
from pathlib import Path

from tinyunet.data.readers import shown
from tinyunet.errors import suggest

SPLITS = ("train", "val", "test", "unlabelled")


def read_split_file(path: Path, names: Collection[str]) -> tuple[dict[str, str] | None, list[str]]:
    r"""Read a `split.csv` and compare it with the images that are there.

    A byte order mark, any line ending, blank lines and spaces around a value are accepted, and so are capital letters
    in the header and in the split. Names are stems, the file names without their suffix.

    Args:
        path: The file; it must exist.
        names: Stems of the images of the data set.

    Returns:
        The split of every name that exists (None if the file cannot be read as a table), and the problems: one line
        for each name that is unknown, listed twice or not listed, each word that is no split, each malformed line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "split.csv"
        ...     _ = path.write_bytes(b"name,split\r\na,train\r\nb,val\r\n")
        ...     read_split_file(path, ["a", "b"])
        ({'a': 'train', 'b': 'val'}, [])
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel puts a byte order mark first
    except UnicodeDecodeError as error:
        return None, [f"{shown(path)} must be text in UTF-8, got {error.reason} at byte {error.start}. Save it again."]
    rows = [(line, [cell.strip() for cell in row]) for line, row in enumerate(csv.reader(text.splitlines()), start=1)]
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows or [cell.lower() for cell in rows[0][1]] != ["name", "split"]:
        got = repr(",".join(rows[0][1])) if rows else "an empty file"
        return None, [f"{shown(path)} must begin with the line 'name,split', got {got}. Add it, with a comma."]
    declared: dict[str, str] = {}
    problems: list[str] = []
    for line, row in rows[1:]:
        problem = _problem(row, declared, names)
        if problem is not None:
            problems.append(f"{shown(path)}, line {line}: {problem}")
        if len(row) == 2 and row[0] in names and row[1].lower() in SPLITS:
            declared.setdefault(row[0], row[1].lower())
    listed = {row[0] for _, row in rows[1:]}
    problems += [
        f"{shown(path)} must list every image, got none for {name!r}. Add '{name},train' (or {', '.join(SPLITS[1:])})."
        for name in sorted(set(names) - listed)
    ]
    return declared, problems


def _problem(row: list[str], declared: dict[str, str], names: Collection[str]) -> str | None:
    """What is wrong with one line, or None."""
    if len(row) != 2:
        return f"a line must be 'name,split', got {','.join(row)!r}. Give it two columns."
    name, split = row
    if name in declared:
        return f"a name must be listed once, got {name!r} again. Remove one of its lines."
    if name not in names:
        stem = name.rpartition(".")[0]
        hint = f"Names carry no suffix: write {stem!r}." if stem in names else "Remove the line or add the image."
        return f"a name must be that of an image, got {name!r}. {hint}"
    if split.lower() not in SPLITS:
        return f"the split of {name!r} must be one that exists, got {split!r}. {suggest(split, SPLITS)}"
    return None
