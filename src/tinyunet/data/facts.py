"""What one image and its mask are, in numbers: all that is kept of the pixels once a file has been read."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from tinyunet.data.alignment import Alignment, align
from tinyunet.data.digest import file_digest
from tinyunet.data.foreground import PIXELS, PixelSample, draw_pixels
from tinyunet.data.likeness import sketch
from tinyunet.data.masks import Kind, RawMask
from tinyunet.data.misfit import misfit
from tinyunet.data.normalise import has_opaque_alpha, is_grey
from tinyunet.data.sample import Sample, sample_header, sample_image, sample_mask
from tinyunet.data.suspicion import MANY, MANY_IN_SLICES, looks_like_jpeg, looks_like_objects, numbered_by_slice
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
        rest_values: How many these values are.
        objects: The mask looks like numbered objects; None where it has too few values to tell, or nobody looked.
        by_slice: A volume seems to number its objects anew in each slice; False too where nobody looked.
        smeared: The values look like those of a JPEG.
    """

    size: tuple[int, ...]
    kind: Kind
    palette: tuple[str, ...] | None
    counts: dict[int, int]
    rest: int
    rest_values: int
    objects: bool | None
    by_slice: bool
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
        drawn: Some of the pixels with what the mask says of them; None as for `alignment`.
    """

    sample: Sample
    image: ImageFacts | None
    mask: MaskFacts | None
    problems: tuple[str, ...]
    digests: tuple[str, ...]
    sketch: Float32[np.ndarray, " n"] | None = field(default=None, compare=False)
    alignment: Alignment | None = None
    drawn: PixelSample | None = field(default=None, compare=False)


def measure(
    sample: Sample,
    *,
    ignore: int | None = None,
    seek_objects: bool = True,
    seek_slices: bool = True,
    at_most: int = PIXELS,
) -> SampleFacts:
    """Read the files of a sample, once, and keep their numbers.

    Args:
        sample: The image and its mask.
        ignore: The mask value that takes no part, if any.
        seek_objects: Look whether the mask numbers its objects, which takes time.
        seek_slices: Look whether it numbers them anew in each slice of a volume.
        at_most: So many pixels are kept, as `draw_pixels` draws them.

    Returns:
        The facts; a problem is among them where a file cannot be read or image and mask differ in size.
    """
    problems: list[str] = []
    digests: list[str] = []
    image = mask = pixels = raw = alignment = drawn = None
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
            mask = mask_facts(
                raw, ignore=ignore, suffix=sample.mask.suffix, seek_objects=seek_objects, seek_slices=seek_slices
            )
            digests.append(file_digest(sample.mask))
    except DataError as error:
        problems += error.problems
    unfit = None
    if image is not None and mask is not None:
        unfit = misfit(sample, image.size, mask.size, placed=bool(image.spacing))
    if unfit is not None:
        problems.append(unfit)
    elif pixels is not None and raw is not None:
        commonest = _commonest(raw.values)
        alignment = align(pixels, raw.values != commonest)
        drawn = draw_pixels(pixels, raw.values, commonest, at_most=at_most)
    drawing = None if pixels is None else sketch(pixels)
    return SampleFacts(sample, image, mask, tuple(problems), tuple(digests), drawing, alignment, drawn)


def _commonest(values: Int64[np.ndarray, "*space"]) -> int:
    """The value of most pixels."""
    found, counts = tally(values)
    return int(found[counts.argmax()])


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


def mask_facts(
    mask: RawMask, *, ignore: int | None = None, suffix: str = "", seek_objects: bool = True, seek_slices: bool = True
) -> MaskFacts:
    """The numbers of a mask.

    Args:
        mask: The mask's values as stored.
        ignore: The value that takes no part, if any.
        suffix: The file's, by which a JPEG is known.
        seek_objects: Look whether the mask numbers its objects.
        seek_slices: Look whether it numbers them anew in each slice.

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
        rest_values=int((~kept).sum()),
        # asking sorts all pixels
        objects=looks_like_objects(mask.values) if seek_objects and int((values > 0).sum()) >= MANY else None,
        by_slice=seek_slices
        and mask.values.ndim == 3
        and int((values > 0).sum()) >= MANY_IN_SLICES
        and numbered_by_slice(mask.values),
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
