"""Labels to files of the kind that masks have, lying where their images do."""

from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Int32, Integer, Shaped
from PIL import Image

from tinyunet.data.header import Unreadable
from tinyunet.data.labelling import Labelling
from tinyunet.data.labelrows import tiff_metadata, write_zarr_rows
from tinyunet.data.nifti import encode_nifti
from tinyunet.data.readers import NIFTI_SUFFIXES, read_header, shown, suffix
from tinyunet.data.writers import replace_file, write_array, write_bytes
from tinyunet.errors import DataError

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy", *NIFTI_SUFFIXES, ".zarr")
"""Suffixes that labels can be written with: formats that keep every value."""


def write_labels(
    path: Path, labels: Int32[np.ndarray, "*space"], labelling: Labelling, *, like: Path | None = None
) -> None:
    """Write class ids as a mask of the data set: with the values, colours or palette that its masks have.

    Args:
        path: Where to; `.png` for images, `.nii` or `.nii.gz` for volumes, `.tif` or `.tiff` (Deflate), `.npy` and
            `.zarr` (a folder) for either.
        labels: Class ids, and `IGNORE` where the labelling has an ignored value.
        labelling: What the ids stand for.
        like: The image whose place in the world the labels take. `.nii` and `.nii.gz` want one of NIfTI; `.zarr`, and
            `.tif` of volumes, take their size of a pixel from any that says it.

    Raises:
        DataError: The suffix is another, the values do not fit the format, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from tinyunet.data.labelling import ClassInfo
        >>> from tinyunet.data.masks import read_mask
        >>> classes = ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
        >>> path = Path(tempfile.mkdtemp(), "a.png")
        >>> write_labels(path, np.array([[0, 1]], np.int32), Labelling("semantic", classes))
        >>> read_mask(path).values.tolist()
        [[0, 255]]
    """
    kind = suffix(path)
    if kind not in LABEL_SUFFIXES:
        raise DataError(f"{shown(path)} cannot hold labels without loss. Known: {', '.join(LABEL_SUFFIXES)}.")
    values = labelling.decode(labels)
    if kind == ".npy":
        write_array(path, values)
    elif kind == ".png":
        _write_label_png(path, values, labelling)
    elif kind in NIFTI_SUFFIXES:
        write_nifti(path, values, like=like)
    elif kind == ".zarr":
        write_zarr(path, values, like=like, colours=values.ndim > labels.ndim)
    else:
        _write_tiff(path, values, like=like, colours=values.ndim > labels.ndim)


def write_nifti(path: Path, values: Shaped[np.ndarray, "*space_and_rgb"], *, like: Path | None) -> None:
    """Write a volume that lies where another one does, whole or not at all.

    Args:
        path: Where to; compressed if it ends in `.gz`.
        values: Numbers, one for each voxel of `like`, in the order in which `like` was read.
        like: The NIfTI file whose place in the world they take.

    Raises:
        DataError: There is no such file, the values are colours or of another shape, or the file cannot be written.
    """
    if like is None or suffix(like) not in NIFTI_SUFFIXES or values.shape != read_header(like).shape:
        raise DataError(f"{shown(path)} wants one number for each voxel, and a NIfTI file whose place they take.")
    try:
        content = encode_nifti(values, like, compress=suffix(path) == ".nii.gz")
    except Unreadable as refusal:
        raise DataError(f"{shown(like)} {refusal}") from None
    write_bytes(path, content)


def write_zarr(
    path: Path, values: Shaped[np.ndarray, "*space_and_rgb"], *, like: Path | None = None, colours: bool = False
) -> None:
    """Write an image or a volume as OME-Zarr with levels, whole or not at all; see `tinyunet.data.labelrows`.

    Args:
        path: Where to; a folder that exists already is replaced.
        values: The pixels, axes z, y, x.
        like: The image whose size of a pixel it has; of OME-Zarr, its units and its place too.
        colours: The last axis is that of colours.

    Raises:
        DataError: `like` cannot be read, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from tinyunet.data.readers import read_image
        >>> path = Path(tempfile.mkdtemp(), "a.zarr")
        >>> write_zarr(path, np.zeros((2, 3, 4), np.uint8))
        >>> read_image(path).shape
        (2, 3, 4, 1)
    """
    write_zarr_rows(path, [values], shape=values.shape, dtype=values.dtype, dimensions=values.ndim - colours, like=like)


def _write_tiff(path: Path, values: Integer[np.ndarray, "*space_and_rgb"], *, like: Path | None, colours: bool) -> None:
    """A TIFF whose pages, if there are several, say that they are the slices of one volume, and how far apart."""
    metadata = tiff_metadata(values.shape, like) if values.ndim - colours == 3 else None
    with replace_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            values,
            photometric="rgb" if colours else "minisblack",
            compression="zlib",
            ome=metadata is not None,
            metadata=metadata,
        )


def _write_label_png(path: Path, values: Integer[np.ndarray, "*space_and_rgb"], labelling: Labelling) -> None:
    if values.ndim == 3 and labelling.kind != "rgb":
        raise DataError(f"{shown(path)} cannot hold a volume: write .tif, .zarr or .npy instead.")
    if values.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{shown(path)} cannot hold values of type {values.dtype}: write .tif or .npy instead.")
    picture = Image.fromarray(values)
    if labelling.kind == "palette" and values.dtype == np.uint8:
        picture.putpalette(_palette(labelling))
    with replace_file(path) as temporary:
        picture.save(temporary, "PNG")


def _palette(labelling: Labelling) -> bytes:
    """The classes' colours at their own indices, black elsewhere."""
    colours = bytearray(3 * 256)
    for info in labelling.classes:
        colours[3 * info.value : 3 * info.value + 3] = bytes.fromhex(info.color[1:])
    return bytes(colours)
