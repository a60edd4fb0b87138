"""COCO annotations: one JSON file for all images."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tinyunet.data.annotations.jsonfile import find_image, key, read_json, text
from tinyunet.data.annotations.shapes import AnnotatedImage, Annotations, Runs, Shape
from tinyunet.data.readers import shown


def read_coco(file: Path, images: Path) -> Annotations:
    """Read a COCO file with its polygons and run-length masks.

    Small things are drawn last, so that a nucleus is not hidden by its cell.

    Args:
        file: The JSON file.
        images: The folder that its file names are looked for in.

    Raises:
        DataError: The file is not JSON, or not COCO.

    References:
        Lin et al. (2014), Microsoft COCO: Common objects in context; the format as on its page "Data format".
    """
    table = read_json(file)
    problems: list[str] = []
    entries = {name: _entries(table, name, file, problems) for name in ("images", "annotations", "categories")}
    labels = {key(entry, "id"): text(entry, "name") or f"class {key(entry, 'id')}" for entry in entries["categories"]}
    listed = {key(entry, "id") for entry in entries["images"]}
    shapes: dict[int | str | None, list[tuple[float, Shape]]] = {}
    for entry in entries["annotations"]:
        where = f"{shown(file)}: annotation {key(entry, 'id')}"
        image, category = key(entry, "image_id"), key(entry, "category_id")
        if image not in listed:
            problems.append(f"{where} belongs to image {image!r}, which the file does not list.")
        elif category not in labels:
            problems.append(f"{where} is of category {category!r}, which the file does not list.")
        else:
            try:
                shape = _shape(entry, labels[category])
            except (ValueError, TypeError, KeyError, IndexError) as error:
                problems.append(f"{where} cannot be drawn: {error}. Correct it, or remove it.")
            else:
                shapes.setdefault(image, []).append((_area(shape), shape))
    used = {shape.label for of in shapes.values() for _, shape in of}
    names = [name for name in dict.fromkeys(labels.values()) if name in used]
    found = []
    for entry in entries["images"]:
        path = find_image(images, text(entry, "file_name"), where=shown(file), problems=problems)
        if path is not None:
            drawn = sorted(shapes.get(key(entry, "id"), []), key=lambda pair: -pair[0])
            found.append(AnnotatedImage(path, tuple(shape for _, shape in drawn)))
    bare = sum(not image.shapes for image in found)
    notes = [f"{bare} of {len(found)} images have no annotation: all of each is background."] if bare else []
    return Annotations(tuple(found), tuple(names or labels.values()), tuple(problems), tuple(notes))


def _entries(table: Mapping[str, Any], name: str, file: Path, problems: list[str]) -> list[Mapping[str, Any]]:
    found = table.get(name)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        problems.append(f"{shown(file)} must have a list of objects `{name}`, as COCO files have.")
        return []
    return found


def _shape(entry: Mapping[str, Any], label: str) -> Shape:
    """The shape of one annotation."""
    outline, crowd = entry["segmentation"], bool(entry.get("iscrowd", 0))
    if isinstance(outline, dict):
        counts = outline["counts"]
        lengths = decode_counts(counts) if isinstance(counts, str) else counts
        height, width = outline["size"]
        if not all(type(count) is int for count in (*lengths, height, width)):
            raise ValueError("its runs must be whole numbers")
        return Shape(label, runs=Runs(tuple(lengths), (height, width)), crowd=crowd)
    rings = tuple(_ring(ring) for ring in outline)
    if not rings:
        raise ValueError("it has no outline")
    return Shape(label, rings=rings, crowd=crowd)


def _ring(values: list[float]) -> Float[np.ndarray, "n 2"]:
    ring = np.array(values, np.float64)
    if ring.ndim != 1 or ring.size < 6 or ring.size % 2 or not np.isfinite(ring).all():
        raise ValueError("an outline must be a list of three or more pairs of numbers")
    return ring.reshape(-1, 2)


def _area(shape: Shape) -> float:
    """Of a shape, in pixels: by the shoelace formula, of each ring."""
    if shape.runs is not None:
        return float(sum(shape.runs.lengths[1::2]))
    return sum(float(abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1)))) / 2 for x, y in (r.T for r in shape.rings))


def decode_counts(letters: str) -> list[int]:
    """Run lengths from the text that COCO packs them into.

    Each number is a sequence of letters of 6 bits from "0" on: five bits of the number, the lowest first, and one that
    says that more follow; the highest bit of the last is the sign. From the fourth number on, what is stored is the
    difference to the number two before.

    Raises:
        ValueError: A letter that cannot be, or an unfinished number.

    Example:
        >>> decode_counts("1234"), decode_counts("Q1")
        ([1, 2, 3, 6], [33])
    """
    runs: list[int] = []
    for value in _signed(letters):
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _signed(letters: str) -> Iterator[int]:
    value = bits = 0
    for letter in letters:
        six = ord(letter) - 48
        if not 0 <= six < 64:
            raise ValueError(f"its packed runs hold {letter!r}")
        value |= (six & 31) << bits
        bits += 5
        if six & 32:
            if bits > 60:
                raise ValueError("its packed runs hold a number that is too large")
            continue
        yield value - (1 << bits) if six & 16 else value
        value = bits = 0
    if bits:
        raise ValueError("its packed runs end within a number")
