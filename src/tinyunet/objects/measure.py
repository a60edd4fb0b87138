"""A table of measurements, one row for each object."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, Shaped
from skimage.measure import regionprops_table

_SHAPE = ("num_pixels", "bbox", "centroid", "area", "equivalent_diameter_area", "solidity")
_FLAT = ("eccentricity", "axis_major_length", "axis_minor_length", "orientation")
_INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
_AXES = {2: "yx", 3: "zyx"}


def measure_objects(
    instances: Int32[np.ndarray, "*space"],
    image: Shaped[np.ndarray, "*space c"],
    *,
    spacing: Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """Place, size, shape and grey values of every object.

    Columns: `id`; `pixels`, their number; `first_y`, `last_y`, … the box around it, in pixels, both ends inside;
    `centroid_y`, …; `area` (`volume` of three dimensions); `diameter` of the disc (ball) of equal area; `solidity`,
    the part of the convex hull that is filled; in two dimensions `perimeter` (of square pixels only), `eccentricity`
    and the axes of the ellipse of equal moments, with `orientation_rad` between its major axis and y, the direction
    across rows; and `intensity_mean`, `_std`, `_min`, `_max` of each channel, in stored values. Lengths are in the unit
    of `spacing`, or in pixels.

    Args:
        instances: Ids of objects, 0 for none.
        image: Pixels as stored.
        spacing: Size of a pixel along each axis, in any one unit; 1 where not given.

    Returns:
        Columns of equal length by name.

    Example:
        >>> table = measure_objects(np.array([[1, 1], [0, 2]], np.int32), np.array([[[3], [5]], [[0], [9]]], np.uint8))
        >>> table["pixels"].tolist(), table["centroid_x"].tolist(), table["intensity_mean"].tolist()
        ([2, 1], [0.5, 1.0], [4.0, 9.0])
    """
    flat = instances.ndim == 2
    square = flat and (spacing is None or len(set(spacing)) == 1)
    found = regionprops_table(
        instances,
        image,
        properties=("label", *_SHAPE, *(_FLAT if flat else ()), *(("perimeter",) if square else ()), *_INTENSITY),
        spacing=None if spacing is None else tuple(spacing),
        separator=":",
    )
    axes, n = _AXES[instances.ndim], instances.ndim
    table = {"id": found["label"], "pixels": found["num_pixels"]}
    for i, axis in enumerate(axes):
        table[f"first_{axis}"], table[f"last_{axis}"] = found[f"bbox:{i}"], found[f"bbox:{i + n}"] - 1
    table |= {f"centroid_{axis}": found[f"centroid:{i}"] for i, axis in enumerate(axes)}
    table["area" if flat else "volume"] = found["area"]
    table |= {"diameter": found["equivalent_diameter_area"], "solidity": found["solidity"]}
    if flat:
        table |= {name: found[name] for name in ("perimeter", "eccentricity") if name in found}
        table |= {"major_axis": found["axis_major_length"], "minor_axis": found["axis_minor_length"]}
        table["orientation_rad"] = found["orientation"]
    channels = image.shape[-1]
    for c in range(channels):
        for name in _INTENSITY:
            table[name if channels == 1 else f"{name}_{c}"] = found[f"{name}:{c}"]
    return table


def table_text(table: dict[str, np.ndarray]) -> str:
    """The table as CSV: a header, a row for each object, numbers with six digits.

    Example:
        >>> print(table_text({"id": np.array([1]), "area": np.array([2.5])}), end="")
        id,area
        1,2.5
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(table)
    for row in zip(*table.values(), strict=True):
        rows.writerow([f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value) for value in row])
    return text.getvalue()
