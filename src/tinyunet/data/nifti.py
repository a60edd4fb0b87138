"""NIfTI volumes to arrays and back, aligned: axes z, y, x that point to the head, the front and the right hand."""

import gzip
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Integer, Shaped

from tinyunet.data.header import Geometry, Header, Unreadable

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SIGNATURES = (
    b"\x5c\x01\x00\x00",  # the size of NIfTI-1's header, 348, in either byte order
    b"\x00\x00\x01\x5c",
    b"\x1c\x02\x00\x00",  # NIfTI-2: 540
    b"\x00\x00\x02\x1c",
    b"\x1f\x8b",  # gzip
)
_SPACING = (1e-6, 1e6)
_MAX_TAIL_BYTES = 2**30
_CANONICAL = np.array([[0, 1], [1, 1], [2, 1]], np.float64)  # x to the right, y to the front, z to the head


def nifti_header(path: Path, axes: str = "") -> Header:
    """What `decode_nifti` will give, from the file's header alone.

    Args:
        path: The file.
        axes: Not asked: the file says them itself.

    Raises:
        Unreadable: The affine cannot be that of a volume, or the values are no real numbers.
    """
    image = _open(path)
    places, channels = _layout(image)
    orientation = _orientation(image)
    size = [1, 1, 1]
    for axis, (place, _) in enumerate(orientation):
        size[int(place)] = places[axis]
    affine = _canonical_affine(image, orientation)
    spacing = tuple(float(x) for x in reversed(np.linalg.norm(affine[:3, :3], axis=0)))
    rows = tuple(tuple(float(x) for x in row) for row in affine)
    return Header((size[2], size[1], size[0]), channels, _dtype(image).name, Geometry(spacing, rows))


def decode_nifti(path: Path, axes: str = "") -> tuple[Shaped[np.ndarray, "z y x c"], None]:
    """The volume, its axes turned to the nearest that point to the head, the front and the right; none interpolated.

    Scaled values are given as float32. A fourth axis (time, or the fifth of vectors) is that of the channels.

    Raises:
        Unreadable: As `nifti_header`.
    """
    from nibabel.orientations import apply_orientation

    with gzip.open(path) if _is_packed(path) else nullcontext() as file:
        image = _open(path, file)
        places, channels = _layout(image)
        values = np.asanyarray(image.dataobj).reshape(*places, channels)
        if file is not None:
            _read_to_the_end(file)
    turned = apply_orientation(values, _orientation(image))
    return np.ascontiguousarray(turned.transpose(2, 1, 0, 3), dtype=_dtype(image)), None


def encode_nifti(
    values: Integer[np.ndarray, "z y x"] | Float[np.ndarray, "z y x"], like: Path, *, compress: bool
) -> bytes:
    """A file with these values that lies exactly where another one does.

    The axes are turned back to how `like` stores them; affine, units and codes are those of `like`.

    Args:
        values: As `decode_nifti` orders them.
        like: The NIfTI file whose place they take.
        compress: By gzip.

    Raises:
        Unreadable: `like` is none that can be read.
    """
    from nibabel.orientations import apply_orientation, ornt_transform

    source = _open(like)
    turned = apply_orientation(values.transpose(2, 1, 0), ornt_transform(_CANONICAL, _orientation(source)))
    header = source.header.copy()
    header.set_data_dtype(turned.dtype)
    header["cal_min"] = header["cal_max"] = 0  # the window of the image is none of the labels
    header["descrip"] = b"tinyunet"
    content: bytes = type(source)(turned, source.affine, header).to_bytes()
    return gzip.compress(content, mtime=0) if compress else content


def _open(path: Path, file: gzip.GzipFile | None = None) -> "Nifti1Image":
    """The image of a file, from the same file opened already where there is such."""
    from nibabel.fileholders import FileHolder
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    with gzip.open(path) if _is_packed(path) else path.open("rb") as beginning:
        start = beginning.read(4)
    two = start in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
    kind = Nifti2Image if two else Nifti1Image
    image = kind.from_filename(path) if file is None else kind.from_file_map({"image": FileHolder(fileobj=file)})
    _check_affine(image)
    return image


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _read_to_the_end(file: gzip.GzipFile) -> None:
    """Read what is left, for gzip keeps its check sum behind the last voxel, where nibabel never looks."""
    for _ in range(_MAX_TAIL_BYTES >> 20):
        if not file.read(1 << 20):
            return
    raise Unreadable(f"holds more than {_MAX_TAIL_BYTES} bytes after its voxels: export it again.")


def _check_affine(image: Any) -> None:
    """Refuse what no scanner writes: numbers that are none, axes that coincide, voxels of no or of absurd size."""
    affine = np.asarray(image.affine, np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all():
        wrong = "holds NaN or infinity"
    elif not ((spacing > _SPACING[0]) & (spacing < _SPACING[1])).all():
        wrong = f"gives voxels of {' x '.join(f'{x:g}' for x in spacing)} mm"
    elif abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        wrong = "lays two axes onto one another"
    else:
        return
    raise Unreadable(f"has an affine that {wrong}: correct its header, or export it again.")


def _layout(image: Any) -> tuple[tuple[int, int, int], int]:
    """Voxels along the three stored axes of space, and channels."""
    shape = tuple(int(size) for size in image.shape)
    space, rest = (*shape, 1, 1)[:3], [size for size in shape[3:] if size != 1]
    if len(shape) < 2 or len(rest) > 1:
        raise Unreadable(f"has the shape {shape}; save a volume, or one with its channels as the fourth axis.")
    return (space[0], space[1], space[2]), rest[0] if rest else 1


def _dtype(image: Any) -> np.dtype:
    """The type of the values: as stored, or float32 where the header scales them."""
    stored = image.get_data_dtype()
    if stored.kind not in "iuf":
        raise Unreadable(f"holds values of type {stored}; save real numbers or integers.")
    proxy = image.dataobj
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    return np.dtype(np.float32) if scaled else np.dtype(stored.newbyteorder("="))


def _orientation(image: Any) -> Float[np.ndarray, "3 2"]:
    """For each stored axis, which of x, y, z it is nearest to and in which direction."""
    from nibabel.orientations import io_orientation

    orientation: np.ndarray = io_orientation(image.affine)
    return orientation


def _canonical_affine(image: Any, orientation: Float[np.ndarray, "3 2"]) -> Float[np.ndarray, "4 4"]:
    from nibabel.orientations import inv_ornt_aff

    affine: np.ndarray = image.affine @ inv_ornt_aff(orientation, (*image.shape, 1, 1)[:3])
    return affine
