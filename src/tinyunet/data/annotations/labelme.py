"""LabelMe annotations: a JSON file beside each image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tinyunet.data.annotations.jsonfile import find_image, read_json, text
from tinyunet.data.annotations.shapes import AnnotatedImage, Annotations, Shape
from tinyunet.data.readers import SUFFIXES, shown, suffix
from tinyunet.errors import DataError

CIRCLE_CORNERS = 64
_AREAS = ("polygon", "rectangle", "circle")


def read_labelme(folder: Path, images: Path) -> Annotations:
    """Read the JSON files of a folder, each with the image it names.

    Polygons, rectangles and circles are drawn; shapes with one `group_id` are pieces of one thing. Points, lines and
    the like have no area and are left out.

    Args:
        folder: With the JSON files.
        images: The folder that the images they name are looked for in.
    """
    problems: list[str] = []
    found: list[AnnotatedImage] = []
    labels: dict[str, None] = {}
    left: dict[str, int] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            table = read_json(file)
        except DataError as error:
            problems += error.problems
            continue
        entries = table.get("shapes")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            problems.append(f"{shown(file)} must have a list of objects `shapes`, as LabelMe files have.")
            continue
        path = find_image(images, text(table, "imagePath"), where=shown(file), problems=problems)
        pieces: dict[Any, list[Shape]] = {}
        for place, entry in enumerate(entries):
            kind = entry.get("shape_type") or "polygon"
            if kind not in _AREAS:
                left[str(kind)] = left.get(str(kind), 0) + 1
                continue
            try:
                shape = Shape(text(entry, "label") or "object", rings=(_ring(entry, kind),))
            except (ValueError, TypeError, KeyError, IndexError) as error:
                problems.append(f"{shown(file)}: shape {place} cannot be drawn: {error}. Correct it, or remove it.")
                continue
            labels[shape.label] = None
            group = entry.get("group_id")
            key = ("alone", place) if group is None else ("group", str(group), shape.label)
            pieces.setdefault(key, []).append(shape)
        if path is not None:
            whole = (Shape(of[0].label, rings=tuple(ring for s in of for ring in s.rings)) for of in pieces.values())
            found.append(AnnotatedImage(path, tuple(whole)))
    notes = [f"{count} shapes of type {kind} have no area and were left out." for kind, count in sorted(left.items())]
    taken = {image.path for image in found}
    others = [p for p in images.iterdir() if suffix(p) in SUFFIXES and p not in taken]
    if others and found:
        notes.append(f"{len(others)} images have no JSON file and were left out, the first {shown(min(others))}.")
    return Annotations(tuple(found), tuple(labels), tuple(problems), tuple(notes))


def _ring(entry: Mapping[str, Any], kind: str) -> Float[np.ndarray, "n 2"]:
    """The outline of one shape."""
    points = np.array(entry["points"], np.float64)
    least = 3 if kind == "polygon" else 2
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < least or not np.isfinite(points).all():
        raise ValueError(f"a {kind} must have {least} or more pairs of numbers")
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind == "circle":  # its centre, and a point on it
        radius = np.hypot(*(points[1] - points[0]))
        angles = 2 * np.pi * np.arange(CIRCLE_CORNERS) / CIRCLE_CORNERS
        return points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return points
