"""Folders as other programs write OME-Zarr, made with tensorstore; metadata written by hand."""

import json
from pathlib import Path

import numpy as np
import tensorstore

UNITS = {"z": "micrometer", "y": "micrometer", "x": "micrometer"}
KINDS = {"t": "time", "c": "channel"}


def write_array(folder: Path, array: np.ndarray, *, version: int, chunk: int = 3, shard: int | None = None, **more):
    """A plain array, every chunk of it stored."""
    chunks = [min(size, chunk) for size in array.shape]
    if version == 2:
        spec = {"driver": "zarr", "metadata": {"chunks": chunks, "dtype": array.dtype.str, **more}}
    else:
        codecs = None
        if shard is not None:
            codecs = [{"name": "sharding_indexed", "configuration": {"chunk_shape": chunks}}]
            chunks = [size * shard for size in chunks]
        grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
        metadata = {"data_type": array.dtype.name, "chunk_grid": grid, **({"codecs": codecs} if codecs else {}), **more}
        spec = {"driver": "zarr3", "metadata": metadata}
    spec["metadata"]["shape"] = array.shape
    spec |= {"kvstore": {"driver": "file", "path": f"{folder}/"}, "store_data_equal_to_fill_value": True}
    tensorstore.open(spec, create=True).result().write(array).result()
    return folder


def multiscale(axes: str, scale: list[float] | None = None, *, units: dict[str, str] = UNITS, **more) -> dict:
    """The metadata of an image of one level or two."""
    about = [{"name": axis, "type": KINDS.get(axis, "space")} for axis in axes]
    about = [one | ({"unit": units[one["name"]]} if one["name"] in units else {}) for one in about]
    scale = [1.0] * len(axes) if scale is None else scale
    levels = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [2**k * one for one in scale]}]}
        for k in range(2)
    ]
    return {"axes": about, "datasets": levels, **more}


def write_group(folder: Path, image: dict | None, *, version: int) -> Path:
    """The metadata of a group, as OME-Zarr 0.4 (zarr 2) or 0.5 (zarr 3) has them."""
    folder.mkdir(exist_ok=True)
    if version == 2:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        attributes = {} if image is None else {"multiscales": [{"version": "0.4", **image}]}
        (folder / ".zattrs").write_text(json.dumps(attributes))
    else:
        ome = {} if image is None else {"ome": {"version": "0.5", "multiscales": [image]}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": ome}
        (folder / "zarr.json").write_text(json.dumps(group))
    return folder


def write_image(folder: Path, array: np.ndarray, axes: str, scale: list[float] | None = None, *, version: int, **more):
    """An OME-Zarr image with its finest level and one coarser."""
    units = more.pop("units", UNITS)
    write_group(folder, multiscale(axes, scale, units=units), version=version)
    layout = {"dimension_separator": "/"} if version == 2 else {"dimension_names": [*axes]}
    write_array(folder / "0", array, version=version, **layout, **more)
    coarse = array[tuple(slice(None, None, 2) for _ in axes)]
    write_array(folder / "1", coarse, version=version, **layout)
    return folder
