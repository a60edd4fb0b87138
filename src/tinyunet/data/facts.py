"""What one image and its mask are, in numbers: all that is kept of the pixels once a file has been read."""

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from tinyunet.data.alignment import Alignment, align
from tinyunet.data.header import Geometry, Unreadable, corners
from tinyunet.data.likeness import sketch
from tinyunet.data.masks import Kind, RawMask
from tinyunet.data.normalise import has_opaque_alpha, is_grey
from tinyunet.data.readers import read_header, shown
from tinyunet.data.sample import Sample, sample_header, sample_image, sample_mask
from tinyunet.data.suspicion import looks_like_jpeg, looks_like_objects
from tinyunet.data.zarrarray import files_inside
from tinyunet.errors import DataError

MAX_VALUES = 1024  # so many different mask values are kept for each mask: more than any set of classes holds


@dataclass(frozen=True)
class ImageFacts:
    """The numbers of one image.

    Args:
        size: Pixels along each axis of space: height and width, of a volume after its depth.
        dtype: The stored type of a value, such as "uint8".
        opaque: There are 2 or 4 channels and the last is at its type's maximum everywhere, as an unused alpha is.
        grey: There are 3 or 4 channels and the first three are equal everywhere.
        low: Smallest value of each stored channel.
        high: Largest value of each stored channel.
        mean: Mean of each stored channel.
        variance: Mean squared distance from the mean of each stored channel.
        spacing: Size of a pixel along each axis of space; () where nothing says it.
        oriented: The file says where head, front and right are.
    """

    size: tuple[int, ...]
    dtype: str
    opaque: bool
    grey: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    spacing: tuple[float, ...] = ()
    oriented: bool = False

    @property
    def channels(self) -> int:
        """Number of stored channels."""
        return len(self.mean)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return math.prod(self.size)


@dataclass(frozen=True)
class MaskFacts:
    """The numbers of one mask.

    Args:
        size: Pixels along each axis of space: height and width, of a volume after its depth.
        kind: How the values are stored: "ids", "rgb" or "palette".
        palette: The colours of a palette, "#rrggbb" each; None for other kinds.
        counts: Pixels of each value, ascending; only the `MAX_VALUES` smallest values, and the one to be ignored.
        rest: Pixels of the values that are not in `counts`.
        objects: The mask looks like numbered objects; False too where nobody looked.
        smeared: The values look like those of a JPEG.
    """

    size: tuple[int, ...]
    kind: Kind
    palette: tuple[str, ...] | None
    counts: dict[int, int]
    rest: int
    objects: bool
    smeared: bool


@dataclass(frozen=True)
class SampleFacts:
    """The numbers of a sample; a file that cannot be read has none, but a problem.

    Args:
        sample: Whose facts these are.
        image: The image's; None if it cannot be read.
        mask: The mask's; None if there is none or it cannot be read.
        problems: What is wrong with the files, one line each.
        digests: `file_digest` of the image and, where there is one, of the mask; a file that cannot be read has none.
        sketch: The image's, by which it is known again; None if it is the same everywhere.
        alignment: How image and mask go together; None where one of them is missing or of another size.
    """

    sample: Sample
    image: ImageFacts | None
    mask: MaskFacts | None
    problems: tuple[str, ...]
    digests: tuple[str, ...]
    sketch: Float32[np.ndarray, " n"] | None = field(default=None, compare=False)
    alignment: Alignment | None = None


def measure(sample: Sample, *, ignore: int | None = None, seek_objects: bool = True) -> SampleFacts:
    """Read the files of a sample, once, and keep their numbers.

    Args:
        sample: The image and its mask.
        ignore: The mask value that takes no part, if any.
        seek_objects: Look whether the mask numbers its objects, which takes time.

    Returns:
        The facts; a problem is among them where a file cannot be read or image and mask differ in size.
    """
    problems: list[str] = []
    digests: list[str] = []
    image = mask = pixels = drawn = alignment = None
    try:
        geometry = sample_header(sample).geometry
        pixels = sample_image(sample)
        image = image_facts(pixels)
        if geometry is not None:
            image = replace(image, spacing=geometry.spacing, oriented=geometry.affine is not None)
        digests += [file_digest(path) for path in sample.files]
    except DataError as error:
        problems += error.problems
    try:
        if sample.mask is not None:
            raw = sample_mask(sample)
            mask = mask_facts(raw, ignore=ignore, suffix=sample.mask.suffix, seek_objects=seek_objects)
            digests.append(file_digest(sample.mask))
            drawn = raw.values
    except DataError as error:
        problems += error.problems
    if image is not None and mask is not None and (misfit := _misfit(sample, image, mask)):
        problems.append(misfit)
    elif pixels is not None and drawn is not None:
        alignment = align(pixels, drawn != _commonest(drawn))
    drawing = None if pixels is None else sketch(pixels)
    return SampleFacts(sample, image, mask, tuple(problems), tuple(digests), drawing, alignment)


def _misfit(sample: Sample, image: ImageFacts, mask: MaskFacts) -> str | None:
    """Why a mask cannot be that of its image: it has another size, or lies elsewhere in the world; None if it can."""
    assert sample.mask is not None
    if image.size != mask.size:
        return (
            f"{shown(sample.mask)} must have the size of its image, {_size_text(image.size)}, "
            f"got {_size_text(mask.size)}{_compared(image.size, mask.size)} Replace one of the two."
        )
    # what files say, not what dataset.toml declares, which may be in another unit
    geometry, other = (read_header(path, axes=sample.axes).geometry for path in (sample.image, sample.mask))
    if geometry is None or other is None or other.same_place(geometry, image.size):
        return None
    spacings = [" x ".join(f"{x:g}" for x in g.spacing) for g in (geometry, other)]
    if spacings[0] != spacings[1]:
        return (
            f"{shown(sample.mask)} must have the voxels of its image, {spacings[0]}, got {spacings[1]} (z, y, x). "
            "Resample the mask to its image, without interpolation."
        )
    return (
        f"{shown(sample.mask)} must lie where its image does, got another affine: turned, or shifted by "
        f"{_shift(geometry, other, image.size):.3g} mm. Save the mask with the affine of its image."
    )


def _shift(geometry: Geometry, other: Geometry, shape: tuple[int, ...]) -> float:
    """The farthest that a corner of the one volume lies from the same corner of the other."""
    return float(np.linalg.norm(corners(geometry, shape) - corners(other, shape), axis=-1).max())


def _size_text(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _compared(image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """The end of a sentence about two sizes that differ: what their numbers mean, and what may have happened."""
    if len(image) != len(mask):
        return "."
    axes = {2: " (height×width).", 3: " (depth×height×width)."}.get(len(image), ".")
    if sorted(image) != sorted(mask):
        return axes
    return f"{axes} It looks turned by 90°." if len(image) == 2 else f"{axes} Its axes seem to be in another order."


def _commonest(values: Int64[np.ndarray, "*space"]) -> int:
    """The value of most pixels."""
    found, counts = tally(values)
    return int(found[counts.argmax()])


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; neither its name nor its times matter.

    Of a folder, it is that over the names within it, in their order, and the digests of these files.

    A file that has just been decoded comes from the system's cache, so that the disk is read once.

    Args:
        path: The file, or the folder.

    Raises:
        DataError: The file cannot be opened, or the folder holds links.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a")
        >>> path.write_bytes(b"abc")
        3
        >>> file_digest(path)[:16]
        'ba7816bf8f01cfea'

    References:
        NIST (2015), FIPS 180-4, Secure hash standard, section 6.2.
    """
    try:
        if path.is_dir():
            inside = [[name, file_digest(file)] for name, file in files_inside(path).items()]
            return hashlib.sha256(json.dumps(inside).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except Unreadable as refusal:
        raise DataError(f"{shown(path)} {refusal}") from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be opened: {error.strerror}.") from error


def image_facts(image: Shaped[np.ndarray, "*space c"]) -> ImageFacts:
    """The numbers of an image, in float64.

    Args:
        image: Pixels as stored.

    Example:
        >>> facts = image_facts(np.array([[[0], [2]]], np.uint8))
        >>> facts.size, facts.mean, facts.variance
        ((1, 2), (1.0,), (1.0,))
    """
    grey = is_grey(image)
    columns: list[tuple[float, float, float, float]] = []
    for c in range(image.shape[-1]):
        if grey and c in (1, 2):  # equal to the first: not worth a second look
            columns.append(columns[0])
            continue
        values = np.ascontiguousarray(image[..., c])  # one channel at a time bounds the memory
        least, most, mean_value = float(values.min()), float(values.max()), float(values.mean(dtype=np.float64))
        # rounding would give a constant channel a variance of about 1e-34 instead of 0
        columns.append((least, most, mean_value, float(values.var(dtype=np.float64)) if least < most else 0.0))
    low, high, mean, variance = zip(*columns, strict=True)
    return ImageFacts(image.shape[:-1], str(image.dtype), has_opaque_alpha(image), grey, low, high, mean, variance)


def mask_facts(mask: RawMask, *, ignore: int | None = None, suffix: str = "", seek_objects: bool = True) -> MaskFacts:
    """The numbers of a mask.

    Args:
        mask: The mask's values as stored.
        ignore: The value that takes no part, if any.
        suffix: The file's, by which a JPEG is known.
        seek_objects: Look whether the mask numbers its objects.

    Example:
        >>> mask_facts(RawMask(np.array([[0, 7, 7]]), "ids")).counts
        {0: 1, 7: 2}
    """
    values, counts = tally(mask.values)
    kept = np.arange(len(values)) < MAX_VALUES
    if ignore is not None:
        kept |= values == ignore
    return MaskFacts(
        size=mask.values.shape,
        kind=mask.kind,
        palette=mask.palette,
        counts=dict(zip(values[kept].tolist(), counts[kept].tolist(), strict=True)),
        rest=int(counts[~kept].sum()),
        # fewer than 10 values are never taken for objects, and asking sorts all pixels
        objects=seek_objects and int((values > 0).sum()) >= 10 and looks_like_objects(mask.values),
        smeared=_is_smeared(mask.values, values, counts, suffix=suffix),
    )


def tally(values: Int64[np.ndarray, "*space"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The different values, ascending, and how often each occurs.

    Example:
        >>> tally(np.array([[5, 0, 5]]))
        (array([0, 5]), array([1, 2]))
    """
    if values.min() >= 0 and values.max() < 2**16:  # counting takes one pass where np.unique sorts
        counts = np.bincount(values.ravel())
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _is_smeared(
    values: Int64[np.ndarray, "*space"], found: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"], *, suffix: str
) -> bool:
    """What `looks_like_jpeg` says, which sorts all pixels and so is asked only where the answer is not plain.

    It wants three values that lie in pieces of less than 4 pixels on average. A piece holds a run along a row at
    least, so a value whose runs are of 4 pixels and more is none of them, and runs are quick to count.
    """
    starts = np.ones(values.shape, bool)
    starts[..., 1:] = values[..., 1:] != values[..., :-1]
    _, runs = tally(values[starts])
    plain = len(found) < 3 or np.count_nonzero(counts < 4 * runs) < 3
    return looks_like_jpeg(
        values.ravel()[:1] if plain else values, suffix=suffix
    )  # of one pixel, only the suffix speaks
