"""The classes of a studio: those at the start, new ones, and other names and colours."""

import dataclasses
import re

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.errors import ConfigError
from tinyunet.runs.live.canvas import MOST_CLASSES

IGNORE_VALUE = 255
"""What masks hold where nothing is painted, unless a class has that value."""

_MAGENTA = 0xFF00FF


def at_the_start() -> Labelling:
    """The classes of an empty folder.

    Example:
        >>> at_the_start().names
        ('background', 'object')
    """
    classes = ClassInfo("background", 0, "#3b6fb6"), ClassInfo("object", 1, "#e0752d")
    return Labelling("semantic", classes, ignore=IGNORE_VALUE)


def with_ignore(labelling: Labelling) -> Labelling:
    """The same, with a mask value for pixels that are not painted, if there was none.

    Example:
        >>> classes = ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
        >>> with_ignore(Labelling("semantic", classes)).ignore
        254
    """
    if labelling.ignore is not None:
        return labelling
    taken = {one.value for one in labelling.classes}
    first = _MAGENTA if labelling.kind == "rgb" else IGNORE_VALUE
    return dataclasses.replace(labelling, ignore=next(v for v in range(first, -1, -1) if v not in taken))


def with_class(labelling: Labelling, name: str, color: str) -> Labelling:
    """The same with one class more.

    Raises:
        ConfigError: There are too many, or the name or the colour cannot be taken.
    """
    if labelling.task != "semantic":
        raise ConfigError(f"A data set of the task {labelling.task} has two classes and no more.")
    if labelling.num_classes >= MOST_CLASSES:
        raise ConfigError(f"There are {MOST_CLASSES} classes already, and no more can be painted.")
    taken = {labelling.ignore, *(one.value for one in labelling.classes)}
    largest = 256 if labelling.kind != "rgb" else 2**24
    value = next((v for v in range(largest) if v not in taken), None)
    if value is None:
        raise ConfigError("The masks have no value left for another class.")
    added = checked(ClassInfo("class", value, "#000000"), labelling, name=name, color=color)
    return dataclasses.replace(labelling, classes=(*labelling.classes, added))


def changed(labelling: Labelling, k: int, *, name: str | None, color: str | None) -> Labelling:
    """The same with another name or colour of a class.

    Args:
        labelling: The classes.
        k: Which one.
        name: Its name from now on; None leaves it.
        color: Its colour, likewise.

    Raises:
        ConfigError: They cannot be taken.
    """
    one = labelling.classes[k]
    new = checked(one, labelling, name=one.name if name is None else name, color=one.color if color is None else color)
    classes = (*labelling.classes[:k], new, *labelling.classes[k + 1 :])
    boundary = new.name if labelling.boundary == one.name else labelling.boundary
    return dataclasses.replace(labelling, classes=classes, boundary=boundary)


def checked(one: ClassInfo, labelling: Labelling, *, name: str, color: str) -> ClassInfo:
    """A class with a name and a colour from outside."""
    name = " ".join(name.split())
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise ConfigError("The name of a class must be 1 to 64 letters that can be printed.")
    if any(other.name == name for other in labelling.classes if other.value != one.value):
        raise ConfigError(f"The name of a class must be its own, and {name!r} is taken.")
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise ConfigError('The colour of a class must be like "#e0752d".')
    return ClassInfo(name, one.value, color.lower())
