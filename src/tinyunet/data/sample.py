"""One image of a data set with its mask, and the files that they are read from."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.header import Geometry, Header
from tinyunet.data.masks import RawMask, read_mask
from tinyunet.data.readers import read_header, read_image, shown
from tinyunet.errors import DataError


@dataclass(frozen=True)
class Sample:
    """One image and what is known about it.

    Args:
        name: The image's stem. Where the same stem occurs in several of train/, val/ and test/, the part stands in
            front ("train-001"), so that a name is unique in its data set.
        image: The image's file.
        mask: The mask's file; None for an image that is declared `unlabelled`.
        more: Files of further channels, of an image that is stored one channel a file.
        axes: Letters of the stored axes, as declared for files that do not say them; "" where they are not.
        spacing: Size of a pixel along each axis of space, as declared for files that do not say it; or ().
    """

    name: str
    image: Path
    mask: Path | None
    more: tuple[Path, ...] = ()
    axes: str = ""
    spacing: tuple[float, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the image, in the order of their channels."""
        return (self.image, *self.more)


def sample_header(sample: Sample) -> Header:
    """What the files of an image say about it before any pixel is decoded.

    Raises:
        DataError: As `read_header`.
    """
    headers = [read_header(path, axes=sample.axes) for path in sample.files]
    geometry = headers[0].geometry
    if geometry is None and len(sample.spacing) == len(headers[0].shape):
        geometry = Geometry(sample.spacing)
    return dataclasses.replace(headers[0], channels=sum(header.channels for header in headers), geometry=geometry)


def sample_image(sample: Sample) -> Shaped[np.ndarray, "*space c"]:
    """The image of a sample, the channels of all its files after one another.

    Raises:
        DataError: As `read_image`, or the files differ in size.
    """
    parts = [read_image(path, axes=sample.axes) for path in sample.files]
    for path, part in zip(sample.more, parts[1:], strict=True):
        if part.shape[:-1] != parts[0].shape[:-1]:
            size, other = ("×".join(map(str, p.shape[:-1])) for p in (part, parts[0]))
            raise DataError(f"{shown(path)} is {size} pixels and {shown(sample.image)} {other}; they must be equal.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def sample_mask(sample: Sample) -> RawMask:
    """The mask of a sample that has one.

    Raises:
        DataError: As `read_mask`, or there is none.
    """
    if sample.mask is None:
        raise DataError(f"{shown(sample.image)} has no mask; it cannot be trained on or scored.")
    return read_mask(sample.mask, axes=sample.axes)
