"""What the values of a mask stand for: classes with names and colours, and labels from values and back."""

import colorsys
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int32, Int64, Integer

from tinyunet.data.masks import LARGEST_VALUE, Kind, RawMask
from tinyunet.errors import ConfigError, DataError, suggest

IGNORE = -1
"""The label of a pixel that takes no part in training or evaluation."""

Task = Literal["semantic", "foreground", "instances"]
BINARY_TASKS: tuple[Task, ...] = ("foreground", "instances")
"""Tasks of two classes, for which a mask's values above 0 are one class."""

_LARGEST = {"ids": LARGEST_VALUE, "rgb": 0xFFFFFF, "palette": 255}


@dataclass(frozen=True)
class ClassInfo:
    """One class.

    Args:
        name: What the user calls it.
        value: What masks hold for it: a number, an index, or 0xRRGGBB.
        color: "#rrggbb", how it is drawn.
    """

    name: str
    value: int
    color: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("`name` of a class must not be empty.")
        if not re.fullmatch("#[0-9a-fA-F]{6}", self.color):
            raise ConfigError(f'`color` of class {self.name!r} must be like "#e69f00", got {self.color!r}.')


@dataclass(frozen=True)
class Labelling:
    """Which values of a mask stand for which class; class id k is the k-th of `classes`.

    Args:
        task: "semantic": a value is a class. "foreground": any value above 0 is the second class, 0 the first.
            "instances": likewise, and each value above 0 is one object.
        classes: At least one; for "foreground" and "instances" exactly two, the first with value 0.
        ignore: A mask value that takes no part, or None.
        kind: What the values are, as in `RawMask`.
        boundary: The name of a class that separates regions, or None.
    """

    task: Task
    classes: tuple[ClassInfo, ...]
    ignore: int | None = None
    kind: Kind = "ids"
    boundary: str | None = None

    def __post_init__(self) -> None:
        if not self.classes:
            raise ConfigError("`classes` must not be empty.")
        if self.task in BINARY_TASKS and (len(self.classes) != 2 or self.classes[0].value != 0):
            raise ConfigError(f"`classes` of task {self.task} must be two, the first with value 0.")
        for what, found in (("names", self.names), ("values", tuple(c.value for c in self.classes))):
            if twice := [x for x in found if found.count(x) > 1]:
                raise ConfigError(f"`classes` must have different {what}, got {twice[0]!r} twice.")
        largest = _LARGEST[self.kind]
        for value in [c.value for c in self.classes] + [self.ignore or 0]:
            if value > largest or (value < 0 and self.kind != "ids"):
                raise ConfigError(f"A mask value of kind {self.kind!r} must be in [0, {largest}], got {value}.")
        if any(c.value == self.ignore for c in self.classes):
            raise ConfigError(f"`ignore` must be no class's value, got {self.ignore}.")
        if self.boundary is not None and self.boundary not in self.names:
            raise ConfigError(
                f"`boundary` must name a class, got {self.boundary!r}. {suggest(self.boundary, self.names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names, by class id."""
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> tuple[str, ...]:
        """The classes' colours, by class id."""
        return tuple(c.color for c in self.classes)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    def encode(self, mask: RawMask, *, where: str) -> Int32[np.ndarray, "*space"]:
        """Class ids of a mask's pixels, `IGNORE` where they take no part. For "instances", ids of objects, 0 for none.

        Args:
            mask: As read.
            where: The file, for errors.

        Raises:
            DataError: The mask holds a value that no class has, or colours where the labelling has numbers.

        Example:
            >>> classes = ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
            >>> mask = RawMask(np.array([[255, 0, 7]]), "ids")
            >>> Labelling("semantic", classes, ignore=7).encode(mask, where="a.png")
            array([[ 1,  0, -1]], dtype=int32)
        """
        values = _values_as(self.kind, mask, where)
        if self.task in BINARY_TASKS:
            labels = (values if self.task == "instances" else values > 0).astype(np.int32)
            unknown = values < 0
        else:
            known = np.array([c.value for c in self.classes], np.int64)
            order = np.argsort(known)
            place = order[np.searchsorted(known, values, sorter=order).clip(max=len(known) - 1)]
            labels = place.astype(np.int32)
            unknown = known[place] != values
        if self.ignore is not None:
            ignored = values == self.ignore
            labels[ignored] = IGNORE
            unknown &= ~ignored
        if unknown.any():
            raise DataError(self._unknown(values[unknown], where))
        return labels

    def _unknown(self, values: Int64[np.ndarray, " n"], where: str) -> str:
        found = np.unique(values)
        first = ", ".join(self._written(int(value)) for value in found[:5])
        more = f" and {len(found) - 5} others" if len(found) > 5 else ""
        classes = ", ".join(f"{self._written(c.value)} {c.name}" for c in self.classes[:8])
        return (
            f"{where} holds values that no class has: {first}{more}, in {len(values)} pixels (classes: {classes}"
            f"{', …' if self.num_classes > 8 else ''}). Correct the mask, or declare them in dataset.toml: "
            f"[[classes]], or ignore = {self._written(int(found[0]))}."
        )

    def _written(self, value: int) -> str:
        return f"0x{value:06x}" if self.kind == "rgb" else str(value)

    def decode(self, labels: Int32[np.ndarray, "*space"]) -> Integer[np.ndarray, "*space_and_rgb"]:
        """The values that masks of this data set hold for class ids: what `encode` undoes.

        Args:
            labels: Class ids in [0, num_classes); `IGNORE` too where there is an ignored value. For "instances", ids of
                objects, at least 0.

        Returns:
            The smallest unsigned dtype that holds every class's value (signed where one is negative); for "rgb" uint8
            with three channels. For "instances" uint16, or uint32 where there are more than 65,535 objects.

        Raises:
            ValueError: A label is no class.

        Example:
            >>> classes = ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
            >>> Labelling("semantic", classes).decode(np.array([[1, 0]], np.int32))
            array([[255,   0]], dtype=uint8)
        """
        if self.task == "instances":
            if labels.size and labels.min() < 0:
                raise ValueError(f"`labels` must be ids of objects, at least 0, got {labels.min()}.")
            return labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.uint32)
        # the ignored value comes last, where the index IGNORE = -1 finds it
        values = [c.value for c in self.classes] + ([] if self.ignore is None else [self.ignore])
        lowest = IGNORE if self.ignore is not None else 0
        if labels.size and (labels.min() < lowest or labels.max() >= self.num_classes):
            raise ValueError(
                f"`labels` must be in [{lowest}, {self.num_classes}), got {labels.min()} to {labels.max()}."
            )
        if self.kind == "rgb":
            return np.array([(v >> 16, v >> 8 & 255, v & 255) for v in values], np.uint8)[labels]
        return np.array(values, _smallest_dtype(values))[labels]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for TOML and JSON; what is None is left out.

        Example:
            >>> Labelling("semantic", (ClassInfo("cell", 255, "#ffffff"),)).to_dict()
            {'task': 'semantic', 'kind': 'ids', 'classes': [{'name': 'cell', 'value': 255, 'color': '#ffffff'}]}
        """
        plain = {"task": self.task, "kind": self.kind, "ignore": self.ignore, "boundary": self.boundary}
        classes = [{"name": c.name, "value": c.value, "color": c.color} for c in self.classes]
        return {key: value for key, value in plain.items() if value is not None} | {"classes": classes}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Labelling":
        """The labelling that `to_dict` wrote.

        Raises:
            ConfigError: A key is missing or unknown, or a value cannot be.

        Example:
            >>> labelling = Labelling("semantic", (ClassInfo("cell", 255, "#ffffff"),))
            >>> Labelling.from_dict(labelling.to_dict()) == labelling
            True
        """
        try:
            classes = tuple(ClassInfo(**entry) for entry in plain["classes"])
            return cls(**{**plain, "classes": classes})
        except (KeyError, TypeError) as error:
            raise ConfigError(f"The labelling of a data set cannot be understood: {error}.") from None


def _values_as(kind: Kind, mask: RawMask, where: str) -> Int64[np.ndarray, "*space"]:
    """A mask's values in the terms of the masks beside it.

    Indices are numbers too; a mask in which no colour happens to occur, all black, say, is grey among coloured ones.
    """
    if kind != "rgb":
        if mask.kind == "rgb":
            raise DataError(f"{where} holds colours where the other masks hold numbers: save all masks alike.")
        return mask.values
    if mask.kind == "rgb":
        return mask.values
    if mask.palette is not None:
        return np.array([int(colour[1:], 16) for colour in mask.palette], np.int64)[mask.values]
    if mask.values.min() < 0 or mask.values.max() > 255:
        raise DataError(f"{where} holds numbers above 255 where the other masks hold colours: save all masks alike.")
    return mask.values * 0x010101


def _smallest_dtype(values: list[int]) -> np.dtype:
    """The smallest unsigned dtype that holds all values; the smallest signed one where some are negative."""
    low, high = min(values), max(values)
    return np.dtype(np.min_scalar_type(high if low >= 0 else min(low, -high - 1)).name)


_OKABE_ITO = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def default_colors(k: int, *, background: bool = True) -> tuple[str, ...]:
    """Colours that people with any colour vision tell apart, as far as there are any: eight; more are only different.

    Args:
        k: How many, at least 0.
        background: The first class looks like background and is black; else black is left out.

    Example:
        >>> default_colors(3)
        ('#000000', '#e69f00', '#56b4e9')
        >>> default_colors(1, background=False)
        ('#e69f00',)

    References:
        Okabe and Ito (2008), Color universal design.
    """
    colours = list(_OKABE_ITO if background else _OKABE_ITO[1:])
    for i in range(k - len(colours)):
        # hues a golden section apart, in four shades: no two alike among hundreds
        red, green, blue = colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.9 - 0.2 * (i % 2), 0.95 - 0.25 * (i // 2 % 2))
        colours.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return tuple(colours[:k])
