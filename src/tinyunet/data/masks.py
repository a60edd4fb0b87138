"""What a mask file holds: numbers, colours or indices into a palette, before anybody says what they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64, Shaped

from tinyunet.data.readers import place_text, read_stored, shown
from tinyunet.errors import DataError

Kind = Literal["ids", "rgb", "palette"]

LARGEST_VALUE = 2**53
"""The largest value of a mask: float64 holds every whole number up to it, and no mask has as many classes."""


@dataclass(frozen=True)
class RawMask:
    """A mask as its file stores it, before anybody says what the values mean.

    Args:
        values: Whole numbers; 0xRRGGBB where `kind` is "rgb".
        kind: "ids" for plain numbers, "rgb" for colours, "palette" for indices into `palette`.
        palette: "#rrggbb" for each index, for "palette" alone.
    """

    values: Int64[np.ndarray, "*space"]
    kind: Kind
    palette: tuple[str, ...] | None = None


def read_mask(path: Path, *, axes: str = "") -> RawMask:
    """Read a mask with its values as they are stored.

    1 bit gives 0 and 255. Grey saved as RGB counts as numbers, an alpha channel that says nothing is left out, and
    floats are taken where all are whole numbers.

    Args:
        path: A file of any format that images may have.
        axes: Letters of the stored axes as `dataset.toml` declares them, for files that do not say them.

    Raises:
        DataError: The file cannot be read, or holds transparency, fractions, or channels that are neither grey nor RGB.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.array([[0.0, 2.0]]))
        >>> read_mask(path)
        RawMask(values=array([[0, 2]]), kind='ids', palette=None)
    """
    name = shown(path)
    stored = read_stored(path, axes=axes)
    if stored.palette is not None:
        palette = tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in stored.palette.tolist())
        return RawMask(stored.pixels[..., 0].astype(np.int64), "palette", palette)
    values = _whole(_without_alpha(stored.pixels, name), name)
    red = values[..., 0]
    if values.shape[-1] == 1:
        return RawMask(red, "ids")
    if values.shape[-1] != 3:
        raise DataError(f"{name} has {values.shape[-1]} channels: a mask has 1, or 3 for colours.{_is_volume(path)}")
    green, blue = values[..., 1], values[..., 2]
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return RawMask(red.copy(), "ids")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{name} holds colours of more than 8 bits: save it as 8-bit RGB, or as class numbers.")
    return RawMask(red << 16 | green << 8 | blue, "rgb")


def _without_alpha(pixels: Shaped[np.ndarray, "*space c"], name: str) -> Shaped[np.ndarray, "*space _"]:
    if pixels.shape[-1] not in (2, 4):
        return pixels
    if (pixels[..., -1] != pixels[..., -1].flat[0]).any():
        raise DataError(f"{name} is transparent in places, which has no meaning in a mask: save it without alpha.")
    return pixels[..., :-1]


def _whole(pixels: Shaped[np.ndarray, "*space c"], name: str) -> Int64[np.ndarray, "*space c"]:
    if pixels.dtype.kind == "f":
        odd = (pixels != np.floor(pixels)).any(axis=-1)
        if odd.any():
            place = np.unravel_index(np.argmax(odd), odd.shape)
            raise DataError(
                f"{name} holds fractions, such as {pixels[place].max():g} at {place_text(place)}: "
                "a mask holds whole numbers; if these are probabilities, save the class numbers instead."
            )
    largest = max(int(pixels.max()), -int(pixels.min()))
    if largest > LARGEST_VALUE:
        raise DataError(f"{name} holds values as large as {largest}, above 2**53: use smaller numbers.")
    return pixels.astype(np.int64)


def _is_volume(path: Path) -> str:
    """What helps where slices were taken for channels, which a NumPy file does not tell."""
    return ' If these are slices, set axes = "zyx" in dataset.toml.' if path.suffix.lower() == ".npy" else ""
