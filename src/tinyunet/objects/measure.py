"""A table of measurements, one row for each object."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int32, Shaped
from skimage.measure import marching_cubes, mesh_surface_area, regionprops_table

_PLACE = ("num_pixels", "bbox", "centroid", "inertia_tensor_eigvals")
_FLAT = ("solidity", "perimeter", "eccentricity", "orientation")
_INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")
_AXES = {2: "yx", 3: "zyx"}
_PRINCIPAL = {2: ("major_axis", "minor_axis"), 3: ("major_axis", "middle_axis", "minor_axis")}


def measure_objects(
    instances: Int32[np.ndarray, "*space"],
    image: Shaped[np.ndarray, "*space c"],
    *,
    spacing: Sequence[float] = (),
    unit: str = "um",
) -> dict[str, np.ndarray]:
    """Place, size, shape and grey values of every object.

    Columns, with lengths in pixels: `id`; `pixels`, their number; `first_y`, `last_y`, … the box around it, both ends
    inside; `centroid_y`, …; `area` (`volume` of three dimensions); `diameter` of the disc (ball) of equal area;
    `major_axis` to `minor_axis` of the ellipse (ellipsoid) of equal moments; and `intensity_mean`, `_std`, `_min`,
    `_max` of each channel, in stored values. In two dimensions also `solidity`, the part of the convex hull that is
    filled, `perimeter`, `eccentricity`, and `orientation_rad` between the major axis and y, the direction across rows;
    in three

        sphericity = pi^(1/3) (6 V)^(2/3) / S,

    the surface of the ball of equal volume over that of the object, in (0, 1], with V and S those of the mesh through
    the middles between its voxels and the others; about 0.93 of a large ball, since the mesh has steps.

    Where `spacing` is known, there are columns of physical size besides, named with their unit: `centroid_y_um`,
    `area_um2`, `diameter_um`, `major_axis_um`, `perimeter_um` (of square pixels only), `volume_um3` and so on; and
    `sphericity` is that of the physical shape.

    Args:
        instances: Ids of objects, 0 for none.
        image: Pixels as stored.
        spacing: Size of a pixel along each axis; () where it is not known.
        unit: Of the spacing, for the names of columns.

    Returns:
        Columns of equal length by name.

    Example:
        >>> table = measure_objects(np.array([[1, 1], [0, 2]], np.int32), np.array([[[3], [5]], [[0], [9]]], np.uint8))
        >>> table["pixels"].tolist(), table["centroid_x"].tolist(), table["intensity_mean"].tolist()
        ([2, 1], [0.5, 1.0], [4.0, 9.0])
        >>> measure_objects(np.array([[1, 1]], np.int32), np.zeros((1, 2, 1)), spacing=(2.0, 2.0))["area_um2"].tolist()
        [8.0]
    """
    flat, axes, n = instances.ndim == 2, _AXES[instances.ndim], instances.ndim
    found = regionprops_table(
        instances, image, properties=("label", *_PLACE, *(_FLAT if flat else ("image",)), *_INTENSITY), separator=":"
    )
    pixels = found["num_pixels"].astype(np.float64)
    table = {"id": found["label"], "pixels": found["num_pixels"]}
    for i, axis in enumerate(axes):
        table[f"first_{axis}"], table[f"last_{axis}"] = found[f"bbox:{i}"], found[f"bbox:{i + n}"] - 1
    table |= {f"centroid_{axis}": found[f"centroid:{i}"] for i, axis in enumerate(axes)}
    table |= {"area" if flat else "volume": pixels, "diameter": _diameter(pixels, n)}
    table |= _principal_axes(found, n)
    if flat:
        table |= {name: found[name] for name in ("solidity", "perimeter", "eccentricity")}
        table["orientation_rad"] = found["orientation"]
    else:
        sides = tuple(spacing) or (1.0,) * n
        table["sphericity"] = np.array([_sphericity(inside, sides) for inside in found["image"]], np.float64)
    if spacing:
        table |= {
            f"centroid_{axis}_{unit}": table[f"centroid_{axis}"] * side
            for axis, side in zip(axes, spacing, strict=True)
        }
        sizes = pixels * np.prod(spacing)
        table |= {f"area_{unit}2" if flat else f"volume_{unit}3": sizes, f"diameter_{unit}": _diameter(sizes, n)}
        moments = regionprops_table(
            instances, properties=("inertia_tensor_eigvals",), spacing=tuple(spacing), separator=":"
        )
        table |= {f"{name}_{unit}": column for name, column in _principal_axes(moments, n).items()}
        if flat and len(set(spacing)) == 1:
            table[f"perimeter_{unit}"] = found["perimeter"] * spacing[0]
    channels = image.shape[-1]
    for c in range(channels):
        for name in _INTENSITY:
            table[name if channels == 1 else f"{name}_{c}"] = found[f"{name}:{c}"]
    return table


def _diameter(sizes: Float[np.ndarray, " n"], dimensions: int) -> Float[np.ndarray, " n"]:
    """Of the disc or ball of that area or volume."""
    return 2 * np.sqrt(sizes / np.pi) if dimensions == 2 else np.cbrt(6 * sizes / np.pi)


def _principal_axes(found: dict[str, np.ndarray], dimensions: int) -> dict[str, np.ndarray]:
    """Axes of the ellipse or ellipsoid of equal moments, the longest first, from the inertia about the centre.

    The variance along a principal axis is the trace of all variances less the inertia about it, and the trace is the
    inertias' sum over (dimensions - 1). The variance of a filled ellipsoid of d dimensions is semi-axis² / (d + 2).
    """
    inertias = np.stack([found[f"inertia_tensor_eigvals:{i}"] for i in range(dimensions)])
    variances = inertias.sum(axis=0) / (dimensions - 1) - inertias
    lengths = 2 * np.sqrt((dimensions + 2) * np.maximum(np.sort(variances, axis=0)[::-1], 0))
    return dict(zip(_PRINCIPAL[dimensions], lengths, strict=True))


def _sphericity(inside: Bool[np.ndarray, "z y x"], spacing: tuple[float, ...]) -> float:
    """Of the mesh through the middles between the voxels of an object and those outside."""
    vertices, faces, *_ = marching_cubes(np.pad(inside, 1).astype(np.float32), 0.5, spacing=spacing)
    volume = abs(np.linalg.det(vertices[faces].astype(np.float64)).sum()) / 6  # the divergence theorem
    return float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / mesh_surface_area(vertices, faces))


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
