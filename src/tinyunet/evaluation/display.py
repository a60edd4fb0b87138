"""Images of any type and number of channels as a screen shows them."""

import math

import numpy as np
from jaxtyping import Shaped, UInt8

_SAMPLED_PIXELS = 2**20  # percentiles of a huge image come from a regular grid of about this many pixels


def to_display(image: Shaped[np.ndarray, "*space c"]) -> UInt8[np.ndarray, "*space 3"]:
    """An image of any type and number of channels as one that a screen shows well.

        shown = 255 * clip((x - p_low) / (p_high - p_low), 0, 1)

    with `p_low` and `p_high` the 0.5 % and 99.5 % percentiles, so that a few hot or dead pixels do not turn the rest
    black. One channel is shown grey, two as green and magenta, three or more as red, green and blue (the first
    three). Each channel has percentiles of its own, but three 8-bit channels share theirs: they are a colour picture,
    whose hues are to stay. Where the percentiles coincide, the least and greatest value take their place; a constant
    channel is shown mid-grey. A volume has one contrast for all of its slices.

    Args:
        image: Any real values; booleans count as 0 and 1.

    Returns:
        Red, green and blue in 0 to 255.

    Raises:
        ValueError: The image has no pixels or no channels.

    Example:
        >>> to_display(np.array([[[0.0], [0.5], [1.0]]]))[0, :, 0]
        array([  0, 128, 255], dtype=uint8)
    """
    if image.size == 0:
        raise ValueError(f"`image` must have pixels and channels, got the shape {image.shape}.")
    axes = image.ndim - 1
    if image.shape[-1] == 3 and image.dtype == np.uint8:
        return _stretch(image, axes)
    channels = [_stretch(image[..., i], axes) for i in range(min(image.shape[-1], 3))]
    if len(channels) == 1:
        channels = channels * 3
    elif len(channels) == 2:
        channels = [channels[1], channels[0], channels[1]]
    return np.stack(channels, axis=-1)


def _stretch(values: Shaped[np.ndarray, "*shape"], axes: int) -> UInt8[np.ndarray, "*shape"]:
    """Map the middle 99 % of the values to 0..255; `axes` is how many axes are those of space, the first ones."""
    pixels = math.prod(values.shape[:axes])
    step = max(1, int((pixels / _SAMPLED_PIXELS) ** (1 / axes) + 1e-9))  # 64 to the power of 1/3 is a little below 4
    grid = values[(slice(None, None, step),) * axes]
    low, high = np.percentile(grid.astype(np.float64), (0.5, 99.5))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        return np.full(values.shape, 128, np.uint8)
    scaled = np.clip((values.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.round(255 * scaled).astype(np.uint8)
