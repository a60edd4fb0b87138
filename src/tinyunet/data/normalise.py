"""From stored values to what the network sees: the channels that are used, with mean 0 and standard deviation 1."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Shaped

from tinyunet.data.moments import moments_of, pieces
from tinyunet.errors import ConfigError, DataError


@dataclass(frozen=True)
class ChannelRule:
    """Which channels of an image are used, decided once over all images of a data set.

    Args:
        drop_alpha: The last of 2 or 4 channels is opaque in every image and takes no part.
        collapse_grey: Red, green and blue are equal in every image: one of them is enough.
        used: Channels that remain, at least 1.
    """

    drop_alpha: bool
    collapse_grey: bool
    used: int

    def __post_init__(self) -> None:
        if self.used < 1 or (self.collapse_grey and self.used != 1):
            raise ConfigError(f"`used` must be {'1' if self.collapse_grey else 'at least 1'}, got {self.used}.")

    def apply(self, image: Shaped[np.ndarray, "*space c"], *, where: str) -> Shaped[np.ndarray, "*space used"]:
        """Keep the channels that are used; an image that has just as many passes unchanged.

        An opaque alpha channel, and colours that are all grey, hold nothing: grey and RGB images are wanted without
        them even where the rule does not speak of them, because those it was decided on had none.

        Args:
            image: Pixels as read.
            where: The file, for errors.

        Returns:
            The image with `used` channels; a view where channels were left out.

        Raises:
            DataError: The image has other channels, transparency, or colours where the others have none.

        Example:
            >>> grey = np.full((2, 2, 4), 255, np.uint8)
            >>> ChannelRule(drop_alpha=True, collapse_grey=True, used=1).apply(grey, where="a.png").shape
            (2, 2, 1)
        """
        kept = image
        if kept.shape[-1] in (2, 4) and kept.shape[-1] != self.used:
            if has_opaque_alpha(kept) and (self.drop_alpha or self.used in _KINDS):
                kept = kept[..., :-1]
            elif self.drop_alpha:
                raise DataError(f"{where} is transparent in places, unlike the other images: save it without alpha.")
        if kept.shape[-1] == 3 and self.used == 1:
            if is_grey(kept):
                kept = kept[..., :1]
            elif self.collapse_grey:
                raise DataError(f"{where} is in colour, unlike the other images, which are grey: convert it to grey.")
        if kept.shape[-1] != self.used:
            raise DataError(
                f"{where} has {image.shape[-1]} channels where {self.used} are wanted: "
                f"convert it to {_KINDS.get(self.used, f'{self.used} channels')}."
            )
        return kept


_KINDS = {1: "grey", 3: "RGB"}


@dataclass(frozen=True)
class Normalisation:
    """How the values of an image are brought to mean 0 and standard deviation 1, affine in each channel.

    Args:
        kind: "image" takes mean and standard deviation from each image itself; "dataset" takes those given here.
        mean: One for each channel, in stored values; empty for "image".
        std: Standard deviations, one for each channel, at least 0; empty for "image".
    """

    kind: Literal["image", "dataset"]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("image", "dataset"):
            raise ConfigError(f"`kind` must be 'image' or 'dataset', got {self.kind!r}.")
        if self.kind == "image" and (self.mean or self.std):
            raise ConfigError("`mean` and `std` must be empty where `kind` is 'image': every image has its own.")
        if self.kind == "dataset" and (not self.mean or len(self.mean) != len(self.std)):
            raise ConfigError(
                f"`mean` and `std` must hold one number for each channel, got {len(self.mean)} and {len(self.std)}."
            )
        if not all(np.isfinite(self.mean)) or not all(np.isfinite(s) and s >= 0 for s in self.std):
            raise ConfigError(f"`mean` must be finite and `std` at least 0, got {self.mean} and {self.std}.")


def normalise(image: Shaped[np.ndarray, "*space c"], normalisation: Normalisation) -> Float32[np.ndarray, "*space c"]:
    """Bring an image to mean 0 and standard deviation 1 in each channel.

        y_c = (x_c - mean_c) / std_c

    A channel that does not vary (std_c = 0) carries nothing and becomes 0, never NaN or infinite.

    Args:
        image: Stored values of any real dtype.
        normalisation: Where mean and standard deviation come from.

    Returns:
        A new array.

    Raises:
        ValueError: The image has other channels than `normalisation`.

    Example:
        >>> normalise(np.array([[[2], [4]]], np.uint8), Normalisation("image"))[0, :, 0].tolist()
        [-1.0, 1.0]
    """
    if normalisation.kind == "image":
        normalisation = measure(image)
    channels = len(normalisation.mean)
    if image.shape[-1] != channels:
        raise ValueError(f"`image` must have {channels} channels as `normalisation` has, got {image.shape[-1]}.")
    result = np.zeros(image.shape, np.float32)
    for rows in pieces(image.shape[:-1]):
        for c, (mean, std) in enumerate(zip(normalisation.mean, normalisation.std, strict=True)):
            if std > 0:
                # in float64: a float32 holds neither 32-bit integers nor a small contrast on a large offset
                result[rows, ..., c] = (image[rows, ..., c].astype(np.float64) - mean) / std
    return result


def measure(image: Shaped[np.ndarray, "*space c"]) -> Normalisation:
    """The mean and standard deviation of an image, as the normalisation that normalising by "image" applies to it.

    For an image that is normalised piece by piece: measured once, applied to every tile.

    Args:
        image: Stored values of any real dtype.

    Returns:
        A normalisation of kind "dataset". The standard deviation of a constant channel is exactly 0.

    Example:
        >>> measure(np.array([[[2], [4]]], np.uint8))
        Normalisation(kind='dataset', mean=(3.0,), std=(1.0,))
    """
    return measure_rows(image[rows] for rows in pieces(image.shape[:-1]))


def measure_rows(rows: Iterable[Shaped[np.ndarray, "_rows ..."]]) -> Normalisation:
    """`measure`, with the same bits, of an image whose rows come one after the other, as many at once as they like.

    Args:
        rows: Stored values of any real dtype; at least one row.
    """
    moments = moments_of(rows)
    return Normalisation("dataset", moments.mean, moments.std)


def has_opaque_alpha(image: Shaped[np.ndarray, "*space c"]) -> bool:
    """Whether the last of 2 or 4 channels is at its maximum everywhere, as an alpha channel that says nothing is.

    Args:
        image: Pixels as read; the maximum is that of an integer dtype, and 1 for floats.

    Example:
        >>> has_opaque_alpha(np.array([[[3, 255]]], np.uint8))
        True
        >>> has_opaque_alpha(np.array([[[3, 7, 255]]], np.uint8))
        False
    """
    maximum = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    return image.shape[-1] in (2, 4) and bool((image[..., -1] == maximum).all())


def is_grey(image: Shaped[np.ndarray, "*space c"]) -> bool:
    """Whether red, green and blue, the first three of 3 or 4 channels, are equal everywhere.

    Example:
        >>> is_grey(np.full((1, 1, 3), 7, np.uint8))
        True
        >>> is_grey(np.array([[[1, 2, 3]]], np.uint8))
        False
    """
    return image.shape[-1] in (3, 4) and bool((image[..., :1] == image[..., 1:3]).all())
