"""Whether a mask lies where its image says: what a shifted mask, or that of another image, does not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped

from tinyunet.data.likeness import area_means, brightness_of, projection

SIDE = 128
"""The longer side of the grid on which image and mask are compared, in cells."""

REACH = 1 / 8
"""How far a mask may seem shifted, in parts of each side."""


@dataclass(frozen=True)
class Alignment:
    """How brightness and mask go together.

    Args:
        here: Correlation of the image's brightness with the mask, in [-1, 1].
        best: The strongest correlation of any shift, with its sign.
        shift: Rows and columns by which the mask lies too low and too far right, where `best` is reached; in pixels.
    """

    here: float
    best: float
    shift: tuple[int, int]

    @property
    def shifted(self) -> bool:
        """The mask would fit clearly better elsewhere; whether that means anything, `moved` says."""
        return self.shift != (0, 0) and abs(self.best) >= 0.3 and abs(self.here) < 0.6 * abs(self.best)


def align(image: Shaped[np.ndarray, "*space c"], mask: Bool[np.ndarray, "*space"]) -> Alignment:
    """Correlate an image's brightness with its mask, at every small shift; those of a volume seen from above.

    Args:
        image: Pixels as stored.
        mask: What is marked.

    Example:
        >>> mask = np.zeros((32, 32), bool)
        >>> mask[8:16, 8:20] = True
        >>> align(mask[..., None] * 100, np.roll(mask, (2, -1), (0, 1))).shift
        (2, -1)
    """
    seen = brightness_of(image), projection(mask)
    size = mask.shape[-2:]
    cell = max(1, -(-max(size) // SIDE))
    grid = (-(-size[0] // cell), -(-size[1] // cell))
    brightness, marked = (_standardised(area_means(x, grid)) for x in seen)
    # The correlation theorem; shifts wrap around, which matters little for small ones.
    correlation = np.fft.irfft2(np.conj(np.fft.rfft2(brightness)) * np.fft.rfft2(marked), grid) / brightness.size
    lags = [np.fft.fftfreq(n, 1 / n).astype(int) for n in grid]
    near = np.abs(lags[0])[:, None] <= REACH * grid[0]
    near = near & (np.abs(lags[1])[None, :] <= REACH * grid[1])
    strength = np.where(near, np.abs(correlation), -1)
    y, x = np.unravel_index(int(strength.argmax()), grid)
    return Alignment(
        here=float(correlation[0, 0]),
        best=float(correlation[y, x]),
        shift=(int(lags[0][y]) * cell, int(lags[1][x]) * cell),
    )


def _standardised(values: np.ndarray) -> np.ndarray:
    """With mean 0 and standard deviation 1; zeros where nothing varies."""
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 1e-9 else np.zeros_like(values)


def moved(alignments: Sequence[Alignment]) -> list[int]:
    """Positions of masks that look shifted, in a data set where brightness tells where a mask lies.

    It tells nothing of a small structure amid others as bright: somewhere near such a mask fits a little better by
    chance. So the median of the best correlations must be 0.35 or more, to which shifted masks contribute as others do.

    Args:
        alignments: Of every mask.

    Example:
        >>> still, away = Alignment(0.8, 0.8, (0, 0)), Alignment(0.1, 0.7, (9, 0))
        >>> moved([still, away, still]), moved([Alignment(0.1, 0.1, (0, 0)), away, Alignment(0.1, 0.2, (0, 1))])
        ([1], [])
    """
    usual = float(np.median([abs(one.best) for one in alignments])) if alignments else 0.0
    if usual < 0.35:
        return []
    return [i for i, one in enumerate(alignments) if one.shifted and abs(one.best) >= usual / 2]


def strangers(here: list[float]) -> list[int]:
    """Positions of masks that have nothing to do with their images, where those of most others have.

    Args:
        here: `Alignment.here` of every mask.

    Returns:
        Those below a fifth of the median strength; none where that is below 0.4, or they are half of all.

    Example:
        >>> strangers([0.8, 0.7, 0.01, 0.9])
        [2]
    """
    if not here:
        return []
    strength = np.abs(here)
    usual = float(np.median(strength))
    return np.flatnonzero(strength < 0.2 * usual).tolist() if usual >= 0.4 else []
