"""What the values of masks mean: worked out from all files of a data set together, and said out loud."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyunet.data.channels import Findings
from tinyunet.data.facts import MaskFacts
from tinyunet.data.labelling import BINARY_TASKS, ClassInfo, Labelling, default_colors
from tinyunet.data.masks import Kind, RawMask
from tinyunet.data.readers import shown
from tinyunet.data.spec import DatasetSpec
from tinyunet.errors import DataError, suggest

MAX_GUESSED = 64  # more values than this are not taken for classes unless the task is set
MAX_CLASSES = 256  # nor more than this unless each class is declared
_SET_FOREGROUND = 'set task = "foreground" in dataset.toml, or --set data.task=foreground'
_SET_SEMANTIC = 'set task = "semantic"'
_SET_OTHERWISE = f"{_SET_FOREGROUND}; or {_SET_SEMANTIC} for classes"


def decide_kind(masks: Sequence[tuple[Path, MaskFacts]], spec: DatasetSpec) -> Kind:
    """Whether the masks together hold numbers, colours or palette indices.

    A mask saved in colours that shows grey alone is read as numbers. So numbers among colours are taken for greys if
    colours are as frequent, if the numbers are black and white only, or if a class is declared as a colour.
    """
    kinds = Counter(mask.kind for _, mask in masks)
    if not kinds["rgb"]:
        return "palette" if kinds["palette"] and not kinds["ids"] else "ids"
    numbers = {value for _, mask in masks if mask.kind == "ids" for value in mask.counts}
    declared = any(one.value > 0xFFFF for one in spec.classes or ())
    if declared or kinds["rgb"] >= kinds["ids"] or numbers <= {0, 255}:
        return "rgb"
    return "ids"


def as_kind(
    masks: Sequence[tuple[Path, MaskFacts]], kind: Kind
) -> tuple[list[tuple[Path, MaskFacts]], tuple[str, ...]]:
    """Bring masks to one kind, as `Labelling.encode` does with their pixels.

    Args:
        masks: The files and their facts.
        kind: What the data set's masks hold.

    Returns:
        The masks that can be brought to it, and a problem for each that cannot: colours among numbers, numbers that
        are no grey among colours, or a palette that gives a used index another colour than the first palette does.
    """
    first = next((mask for _, mask in masks if mask.kind == "palette"), None)
    agreeing: list[tuple[Path, MaskFacts]] = []
    problems: list[str] = []
    for path, mask in masks:
        other = _other_color(mask, first) if kind == "palette" else None
        if other is not None:
            problems.append(
                f"{shown(path)} must have the palette of the masks before it, got another colour for {other}: the "
                "number may mean another class. Save all masks with one palette, or as RGB."
            )
            continue
        meant = _meant(mask, kind)
        if meant is None:
            here, there = ("numbers", "colours") if kind == "rgb" else ("colours", "numbers")
            problems.append(f"{shown(path)} holds {here} where the other masks hold {there}: save all masks alike.")
            continue
        counts: Counter[int] = Counter()
        for value, count in zip(meant, mask.counts.values(), strict=True):
            counts[value] += count  # two indices of a palette may have one colour
        agreeing.append((path, replace(mask, counts=dict(sorted(counts.items())))))
    return agreeing, tuple(problems)


def decide_labelling(
    masks: Sequence[tuple[Path, MaskFacts]], spec: DatasetSpec, *, kind: Kind
) -> tuple[Labelling, Findings]:
    """Decide over all masks what their values mean.

    Args:
        masks: The files and their facts, brought to one kind.
        spec: What the user declared; its task, if any, is kept.
        kind: What the values are.

    Returns:
        The labelling, and what is wrong with the masks. Where there are no masks, or their values cannot be
        classes, the labelling is that of the foreground task, so that what can be counted is counted.
    """
    values = sorted({value for _, mask in masks for value in mask.counts} - {spec.ignore})
    foreground = _foreground(values, ignore=spec.ignore, kind=kind)
    task = _task(masks, spec)
    notes: list[str] = []
    problem: str | None = None
    understood = True
    positive = sum(value > 0 for value in values)
    if task in BINARY_TASKS:
        labelling = foreground if task == "foreground" else _instances(foreground)
        meaning = "foreground" if task == "foreground" else "an object for each value"
        notes.append(f"Task {task}: 0 is background, anything above it {meaning} ({positive} such values).")
        if spec.task is None:
            notes.append(f"The masks look like objects, each with an id of its own. Otherwise {_SET_OTHERWISE}.")
        if spec.classes is not None:
            notes.append(f"Task {task}: the classes of dataset.toml are set aside.")
    elif spec.classes is not None:
        labelling = Labelling("semantic", spec.classes, spec.ignore, kind)
        notes.append(f"{labelling.num_classes} classes as declared: {_listed(labelling)}.")
    elif not masks or (problem := _no_classes(masks, values, task=task)):
        labelling, understood = foreground, False
    else:
        labelling = _found_classes(masks, values, ignore=spec.ignore, kind=kind)
        notes.append(f"The masks hold {len(values)} values, each a class: {_listed(labelling)}.")
    if spec.ignore is not None:
        notes.append(f"Pixels of value {_written(spec.ignore, kind)} in a mask take no part.")
    problems = [problem] if problem else _unknown_values(masks, labelling)
    problems += _begun_anew(masks) if task == "instances" else []
    if spec.boundary in labelling.names:
        labelling = replace(labelling, boundary=spec.boundary)
    elif spec.boundary is not None and understood:
        problems.append(
            f"dataset.toml: `boundary` must name a class, got {spec.boundary!r}. "
            f"{suggest(spec.boundary, labelling.names)}"
        )
    return labelling, Findings(tuple(problems), tuple(notes))


def _task(masks: Sequence[tuple[Path, MaskFacts]], spec: DatasetSpec) -> str | None:
    """The task that is declared, or instances where nothing is and most masks of enough values look like objects."""
    if spec.task is not None or spec.classes is not None:
        return spec.task
    judged = [mask.objects or mask.by_slice for _, mask in masks if mask.objects is not None]
    return "instances" if 2 * sum(judged) > len(judged) else None


def _begun_anew(masks: Sequence[tuple[Path, MaskFacts]]) -> list[str]:
    """A problem for each volume whose objects have other numbers in each slice."""
    return [
        f"{shown(path)} must give an object one number through the volume, got numbers that begin anew in each slice. "
        "Number the objects through the volume, for example with skimage.measure.label."
        for path, mask in masks
        if mask.by_slice
    ]


def _no_classes(masks: Sequence[tuple[Path, MaskFacts]], values: list[int], *, task: str | None) -> str | None:
    """Why the masks' values cannot be classes, or None."""
    many = [path for path, mask in masks if mask.rest]
    if task is None and (many or len(values) > MAX_GUESSED):
        first = min(many or [path for path, _ in masks])
        return (
            f"{shown(first)} holds too many values to be taken for classes ({_more_than(len(values), many)} in all "
            f'masks): {_SET_FOREGROUND}; set task = "instances" for objects, each with an id of its own; or '
            f"{_SET_SEMANTIC} for classes."
        )
    if many or len(values) > MAX_CLASSES:
        return (
            f"The masks must hold at most {MAX_CLASSES} values where no classes are declared, got "
            f"{_more_than(len(values), many)}. Declare the classes in dataset.toml, or {_SET_FOREGROUND}."
        )
    return None if values else "The masks hold no value that takes part. Remove `ignore` from dataset.toml."


def _found_classes(
    masks: Sequence[tuple[Path, MaskFacts]], values: list[int], *, ignore: int | None, kind: Kind
) -> Labelling:
    """One class for each value; the second of two is the foreground if the first is 0."""
    colors = default_colors(len(values), background=values[0] == 0)
    palette = next((mask.palette for _, mask in masks if mask.palette is not None), None)
    if kind == "rgb":
        colors = tuple(f"#{value:06x}" for value in values)
    elif kind == "palette" and palette is not None:
        colors = tuple(palette[value] for value in values)
    names = [f"class {_written(value, kind)}" for value in values]
    if len(values) == 2 and values[0] == 0:
        names = ["background", "foreground"]
    classes = tuple(ClassInfo(*fields) for fields in zip(names, values, colors, strict=True))
    return Labelling("semantic", classes, ignore, kind)


def _foreground(values: list[int], *, ignore: int | None, kind: Kind) -> Labelling:
    """Everything above 0 against 0; the value of the foreground is the one that occurs, else the usual white."""
    positive = [value for value in values if value > 0]
    usual = 0xFFFFFF if kind == "rgb" else 255
    value = positive[0] if len(positive) == 1 else usual - (ignore == usual)
    colors = default_colors(2)
    return Labelling(
        "foreground",
        (ClassInfo("background", 0, colors[0]), ClassInfo("foreground", value, colors[1])),
        None if ignore == 0 else ignore,
        kind,
    )


def _instances(foreground: Labelling) -> Labelling:
    """The labelling of numbered objects."""
    background, positive = foreground.classes
    return replace(foreground, task="instances", classes=(background, replace(positive, name="object")))


def _meant(mask: MaskFacts, kind: Kind) -> list[int] | None:
    """A mask's values in the terms of a kind, in the order of `counts`; None where it has no such terms."""
    values = list(mask.counts)
    if kind != "rgb":
        return None if mask.kind == "rgb" else values
    if mask.kind == "rgb":
        return values
    if mask.palette is not None:
        return [int(mask.palette[value][1:], 16) for value in values]
    return [value * 0x010101 for value in values] if min(values) >= 0 and max(values) <= 255 else None


def _unknown_values(masks: Sequence[tuple[Path, MaskFacts]], labelling: Labelling) -> list[str]:
    """A problem for each mask that holds a value of no class, in the words of `Labelling.encode`."""
    problems: list[str] = []
    for path, mask in masks:
        pixels = np.repeat(list(mask.counts), list(mask.counts.values()))[None]
        try:
            labelling.encode(RawMask(pixels, labelling.kind), where=shown(path))
        except DataError as error:
            problems += error.problems
    return problems


def _other_color(mask: MaskFacts, first: MaskFacts | None) -> int | None:
    """A used index that has another colour in the first mask's palette, or None."""
    if mask.palette is None or first is None or first.palette is None:
        return None
    reference = first.palette
    for index in mask.counts:
        if index < min(len(reference), len(mask.palette)) and reference[index] != mask.palette[index]:
            return index
    return None


def _listed(labelling: Labelling) -> str:
    """The classes with their values: "background 0, foreground 255"."""
    shown_classes = [f"{one.name} {_written(one.value, labelling.kind)}" for one in labelling.classes[:12]]
    more = labelling.num_classes - len(shown_classes)
    return ", ".join(shown_classes) + (f" and {more} more" if more else "")


def _written(value: int, kind: Kind) -> str:
    return f"#{value:06x}" if kind == "rgb" else str(value)


def _more_than(count: int, many: list[Path]) -> str:
    return f"more than {count}" if many else str(count)
