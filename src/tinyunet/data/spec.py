"""`dataset.toml`: what the user says about a data set, read and checked key by key.

Only what can be judged without looking at a mask is judged here; whether the declared classes fit the masks is
`tinyunet.data.check`'s question.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyunet.data.axes import check_axes
from tinyunet.data.labelling import ClassInfo, default_colors
from tinyunet.errors import ConfigError, suggest

TASKS = ("semantic", "foreground", "instances")
_KEYS = ("task", "ignore", "boundary", "classes", "spacing", "axes")
_CLASS_KEYS = ("name", "value", "color")


@dataclass(frozen=True)
class DatasetSpec:
    """What `dataset.toml` declares; a field is None where it says nothing.

    Args:
        task: "semantic" (each mask value is a class), "foreground" (value > 0 against 0) or "instances" (each value
            above 0 is an object).
        ignore: A mask value whose pixels take no part in training and scores.
        boundary: Name of the class that separates regions; adds adapted Rand and variation of information.
        classes: The classes; class id k is the k-th. An RGB mask's value is 0xRRGGBB.
        spacing: Size of a pixel along each axis of space, in any one unit, in the order of `axes` (else z, y, x), for
            files that do not say it.
        axes: Letters of the axes that the files are stored in, such as "zyx" or "yxc", for files that do not say them.
    """

    task: str | None = None
    ignore: int | None = None
    boundary: str | None = None
    classes: tuple[ClassInfo, ...] | None = None
    spacing: tuple[float, ...] | None = None
    axes: str | None = None


def check_task(task: str, *, where: str) -> str:
    """The task itself if there is such a task.

    Args:
        task: The word the user wrote.
        where: Who said it, for the message: a file or an option.

    Raises:
        ConfigError: There is no such task.

    Example:
        >>> check_task("semantic", where="`task`")
        'semantic'
    """
    if task not in TASKS:
        raise ConfigError(f"{where} must be a task that exists, got {task!r}. {suggest(task, TASKS)}")
    return task


def read_spec(path: Path) -> DatasetSpec:
    """Read a `dataset.toml`; a file that is not there declares nothing.

    Args:
        path: The file. A byte order mark and any line ending are accepted.

    Returns:
        The declarations. A class without a colour gets the one `default_colors` has for its place.

    Raises:
        ConfigError: Not TOML, a key that does not exist, or a value of the wrong kind, named with file and key.

    Example:
        >>> read_spec(Path("no such folder/dataset.toml"))
        DatasetSpec(task=None, ignore=None, boundary=None, classes=None, spacing=None, axes=None)
    """
    if not path.exists():
        return DatasetSpec()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a TOML file in UTF-8: {error}.") from error
    _check_keys(table, _KEYS, where=str(path))
    task = _value(table, "task", str, "a string", where=str(path))
    if task is not None:
        check_task(task, where=f"{path}: `task`")
    ignore = _value(table, "ignore", int, "a whole number", where=str(path))
    classes = _classes(table, where=str(path))
    if classes is not None and ignore in [one.value for one in classes]:
        raise ConfigError(f"{path}: `ignore` must be no class's value, got {ignore}. Remove one of the two.")
    axes = _value(table, "axes", str, 'a string such as "zyx"', where=str(path))
    if axes is not None:
        axes = check_axes(axes, where=str(path))
    return DatasetSpec(
        task=task,
        ignore=ignore,
        boundary=_value(table, "boundary", str, "the name of a class", where=str(path)),
        classes=classes,
        spacing=_spacing(table, where=str(path)),
        axes=axes,
    )


def _check_keys(table: dict[str, Any], known: tuple[str, ...], *, where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}. {suggest(key, known)}")


def _value(table: dict[str, Any], key: str, kind: type, rule: str, *, where: str) -> Any:
    """The value of a key, or None where it is not given."""
    value = table.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):  # bool is an int to Python
        raise ConfigError(f"{where}: `{key}` must be {rule}, got {value!r}.")
    return value


def _spacing(table: dict[str, Any], *, where: str) -> tuple[float, ...] | None:
    spacing = _value(table, "spacing", list, "a list of positive numbers", where=where)
    if spacing is None:
        return None
    if not spacing or not all(type(size) in (int, float) and size > 0 for size in spacing):
        raise ConfigError(f"{where}: `spacing` must be a list of positive numbers, got {spacing!r}.")
    return tuple(float(size) for size in spacing)


def _classes(table: dict[str, Any], *, where: str) -> tuple[ClassInfo, ...] | None:
    entries = _value(table, "classes", list, "a list of tables, each under [[classes]]", where=where)
    if entries is None:
        return None
    if len(entries) < 2:
        raise ConfigError(f"{where}: `classes` must hold at least 2 classes, got {len(entries)}. Add the background.")
    colors = default_colors(len(entries))
    classes = tuple(
        _class(entry, color, where=f"{where}: class {k}")
        for k, (entry, color) in enumerate(zip(entries, colors, strict=True))
    )
    for key in ("name", "value"):
        said = [getattr(one, key) for one in classes]
        if twice := [value for value in said if said.count(value) > 1]:
            raise ConfigError(f"{where}: `{key}` must be given to one class only, got {twice[0]!r} twice.")
    return classes


def _class(entry: Any, color: str, *, where: str) -> ClassInfo:
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must be a table with `name` and `value`, got {entry!r}. Use [[classes]].")
    _check_keys(entry, _CLASS_KEYS, where=where)
    for key in ("name", "value"):
        if key not in entry:
            raise ConfigError(f"{where} must have a `{key}`, got only {', '.join(sorted(entry)) or 'nothing'}.")
    name = _value(entry, "name", str, "a string", where=where)
    value = _value(entry, "value", int, "a whole number (an RGB colour is 0xRRGGBB)", where=where)
    color = _value(entry, "color", str, 'a string "#rrggbb"', where=where) or color
    if not name.strip():
        raise ConfigError(f"{where}: `name` must not be empty.")
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise ConfigError(f'{where}: `color` must be "#rrggbb", got {color!r}.')
    return ClassInfo(name=name, value=value, color=color.lower())
