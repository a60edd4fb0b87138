"""What a file says about its image before any pixel is decoded, and the refusal of a file."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

MAX_PIXELS = 2**31
"""The most pixels a file that is read whole may claim: a bound on what a few hostile bytes can make us allocate."""

MAX_REGION_PIXELS = 2**44
"""The most pixels of a file that is read by region: four million pixels along each side."""

_SAME_PLACE = 0.1
"""Two grids are the same where no corner of theirs is farther apart than this part of a voxel."""


class Unreadable(ValueError):
    """A file that is refused on purpose; the text completes a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of an image lie in the world.

    Args:
        spacing: Distance from one pixel to the next along each axis of space, slowest first, in the file's own unit
            (millimetres in NIfTI, usually micrometres in microscopy).
        affine: The rows of the 4x4 matrix from (x, y, z, 1) in pixels to millimetres, of a volume whose axes z, y and x
            point to the head, the front and the right hand; None where a file does not say it.
    """

    spacing: tuple[float, ...]
    affine: tuple[tuple[float, ...], ...] | None = None

    @property
    def unit(self) -> str:
        """Of the spacing: "mm" of what has an affine, else "um"; what a person declares is taken to be so too.

        Example:
            >>> Geometry((0.5, 0.5)).unit
            'um'
        """
        return "um" if self.affine is None else "mm"

    def same_place(self, other: "Geometry", shape: tuple[int, ...]) -> bool:
        """Whether an image of `shape` pixels lies where one of the other geometry does.

        Example:
            >>> Geometry((1.0, 1.0)).same_place(Geometry((1.0, 2.0)), (8, 8))
            False
        """
        if len(self.spacing) != len(other.spacing):
            return False
        if (self.affine is None) != (other.affine is None):
            return True  # of two formats, whose units nobody knows
        if self.affine is None or other.affine is None:
            return all(math.isclose(a, b, rel_tol=0.01) for a, b in zip(self.spacing, other.spacing, strict=True))
        apart = np.abs(corners(self, shape) - corners(other, shape)).max()
        return bool(apart <= _SAME_PLACE * min(self.spacing))


def corners(geometry: Geometry, shape: tuple[int, ...]) -> Float64[np.ndarray, "n 3"]:
    """The corners of a volume in the world, in millimetres.

    Args:
        geometry: With an affine.
        shape: Pixels of the volume, (z, y, x).

    Example:
        >>> still = ((1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 0, 1.0))
        >>> corners(Geometry((1.0, 1.0, 1.0), still), (2, 3, 4)).max(axis=0)
        array([3., 2., 1.])
    """
    ends = [(0, size - 1) for size in reversed(shape)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*ends, indexing="ij")], axis=-1).astype(np.float64)
    affine = np.array(geometry.affine, np.float64)
    return points @ affine[:3, :3].T + affine[:3, 3]


@dataclass(frozen=True)
class Header:
    """What a file says about its image before any pixel is decoded.

    Args:
        shape: Pixels along each axis of space: (height, width), or (depth, height, width) of a volume.
        channels: Channels as `read_image` returns them: 3 for a palette image.
        dtype: NumPy's name of the type that `read_image` returns, such as "uint8".
        geometry: Where the pixels lie; None where the file does not say it.
    """

    shape: tuple[int, ...]
    channels: int
    dtype: str
    geometry: Geometry | None = None

    def check(self, most: int | None = None) -> "Header":
        """The header itself.

        Args:
            most: So many pixels are read; `MAX_PIXELS` by default.

        Raises:
            Unreadable: The pixels would be none, too many or no numbers.

        Example:
            >>> Header((2**20, 2**20), 1, "uint8").check()
            Traceback (most recent call last):
            ...
            tinyunet.data.header.Unreadable: claims 1048576 x 1048576 pixels, more than the 2147483648 that are ...
        """
        most = MAX_PIXELS if most is None else most
        if min(*self.shape, self.channels) < 1:
            raise Unreadable(f"has no pixels: its size is {shape_text((*self.shape, self.channels))}.")
        if math.prod(self.shape) > most:
            raise Unreadable(
                f"claims {shape_text(self.shape)} pixels, more than the {most} that are read; "
                "cut it into smaller images."
            )
        if not self.dtype.startswith(("int", "uint", "float")):
            raise Unreadable(f"holds values of type {self.dtype}; save real numbers or integers.")
        return self


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as a person writes it.

    Example:
        >>> shape_text((36, 50, 35))
        '36 x 50 x 35'
    """
    return " x ".join(map(str, shape))
