"""Nuclei on a slide: outlines from a few random numbers, and the exact pixels that each one covers."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy import ndimage

HARMONICS = np.arange(2, 6)  # waves around an outline; wave 1 would only shift it
SMALLEST_PIECE = 20  # pixels; what the border of the image leaves of a nucleus is never smaller


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What lies on the slide.

    Args:
        coverage: Part of the image that nuclei cover, in [0, 1); above about 0.5 there is no room, and fewer fit.
        radius: Typical radius of a nucleus in pixels, at least 3; the sizes spread around it by a fifth.
        clustering: Chance in [0, 1] that a nucleus lies against or partly under one that is already there.
        dim: Part of the nuclei that take up little dye, in [0, 1].
        defocused: Part of the nuclei that lie outside the focal plane, in [0, 1].
        debris: Number of bright specks in a square of 256 pixels on average, 0 or more. They are not cells.

    Raises:
        ValueError: An option outside its range.

    Example:
        >>> Cells(coverage=0.1, debris=0.0).radius
        15.0
    """

    coverage: float = 0.26
    radius: float = 15.0
    clustering: float = 0.5
    dim: float = 0.2
    defocused: float = 0.08
    debris: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.coverage < 1:
            raise ValueError(f"`coverage` must be in [0, 1), got {self.coverage}.")
        if not 3 <= self.radius < math.inf:
            raise ValueError(f"`radius` must be at least 3 pixels, got {self.radius}.")
        for name in ("clustering", "dim", "defocused"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be in [0, 1], got {getattr(self, name)}.")
        if not 0 <= self.debris < math.inf:
            raise ValueError(f"`debris` must be 0 or more, got {self.debris}.")


@dataclass(frozen=True, kw_only=True)
class Nucleus:
    """One nucleus: a bent ellipse whose outline carries a few waves.

    Around the centre, turned by `angle` and divided by the half axes r sqrt(e) and r / sqrt(e), with r the radius and
    e the elongation, a point has the coordinates (u, v). Bending moves it to w = v - bend (u^2 - 1/4), which keeps the
    area, and the outline is where the level is 1:

        level = sqrt(u^2 + w^2) / (1 + sum_k Re(wave_k exp(-i k theta))),   theta = atan2(w, u),   k = 2 .. 5

    Args:
        y: Row of the centre in pixels; pixel centres are at whole numbers.
        x: Column of the centre in pixels.
        radius: Radius in pixels of the circle of about the same area.
        elongation: Long axis over short axis, at least 1.
        angle: Direction of the long axis in radians.
        bend: Curvature of the long axis; 0 is straight, 0.4 a kidney.
        waves: Complex amplitudes of the waves 2 to 5 of the outline, as parts of the radius.
        brightness: Light where the nucleus is thickest; 1 is typical.
        defocus: Standard deviation in pixels of the blur that its distance from the focal plane adds.
    """

    y: float
    x: float
    radius: float
    elongation: float = 1.0
    angle: float = 0.0
    bend: float = 0.0
    waves: tuple[complex, ...] = ()
    brightness: float = 1.0
    defocus: float = 0.0

    @property
    def reach(self) -> float:
        """Distance in pixels from the centre that no point of the outline exceeds."""
        most = 1 + sum(abs(wave) for wave in self.waves)
        shifted = abs(self.bend) * max(most**2 - 0.25, 0.25)
        return self.radius * (most * math.sqrt(self.elongation) + shifted / math.sqrt(self.elongation))

    def level(self, y: Float[np.ndarray, "h 1"], x: Float[np.ndarray, "1 w"]) -> Float[np.ndarray, "h w"]:
        """The level of the points (y, x): 0 at the middle, below 1 inside the outline, above 1 outside.

        Example:
            >>> disc = Nucleus(y=0.0, x=0.0, radius=2.0)
            >>> disc.level(np.array([[0.0], [3.0]]), np.array([[1.0, 4.0]])).round(2)
            array([[0.5 , 2.  ],
                   [1.58, 2.5 ]])
        """
        down, right = y - self.y, x - self.x
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        u = (cosine * right + sine * down) / (self.radius * math.sqrt(self.elongation))
        v = (cosine * down - sine * right) / (self.radius / math.sqrt(self.elongation))
        w = v - self.bend * (u**2 - 0.25)
        distance = np.hypot(u, w)
        # exp(-i theta) and its powers by multiplication: ten times faster than eight sines and cosines
        turn = (u - 1j * w) / np.maximum(distance, 1e-12)
        power, outline = turn, np.ones_like(distance)
        for wave in self.waves:
            power = power * turn
            outline += wave.real * power.real - wave.imag * power.imag
        return distance / outline


def place_nuclei(
    rng: np.random.Generator, shape: tuple[int, int], cells: Cells
) -> tuple[tuple[Nucleus, ...], Int32[np.ndarray, "h w"]]:
    """Nuclei strewn over an image, some alone, some in clumps, and the object id of every pixel.

    A pixel belongs to a nucleus if its centre lies inside the outline. Where two overlap, the pixel belongs to the one
    that was there first; of the other at least three quarters stay visible, in one piece.

    Args:
        rng: Source of the random numbers; it advances.
        shape: Height and width of the image in pixels.
        cells: How many nuclei of which kind.

    Returns:
        The n nuclei, and the ids: 0 where there is none, i for the i-th nucleus, counted from 1, each with at least
        one pixel.

    Example:
        >>> nuclei, instances = place_nuclei(np.random.default_rng(0), (64, 64), Cells())
        >>> instances.shape, len(nuclei) == int(instances.max())
        ((64, 64), True)
    """
    instances = np.zeros(shape, np.int32)
    nuclei: list[Nucleus] = []
    wanted = cells.coverage * instances.size
    attempts = 20 + int(20 * wanted / cells.radius**2)  # a crowded slide must end too
    for _ in range(attempts):
        if np.count_nonzero(instances) >= wanted:
            break
        nucleus = _random_nucleus(rng, shape, cells, nuclei)
        rows, columns = _box(nucleus, shape)
        there = nucleus.level(np.arange(shape[0])[rows, None] * 1.0, np.arange(shape[1])[None, columns] * 1.0) < 1
        free = there & (instances[rows, columns] == 0)
        if _can_stay(there, free, alone=not nuclei):
            nuclei.append(nucleus)
            instances[rows, columns][free] = len(nuclei)
    return tuple(nuclei), instances


def _random_nucleus(rng: np.random.Generator, shape: tuple[int, int], cells: Cells, others: list[Nucleus]) -> Nucleus:
    """A nucleus of random shape and light: beside one of the others, or anywhere."""
    radius = cells.radius * float(np.clip(rng.lognormal(0.0, 0.2), 0.6, 1.6))
    if others and rng.random() < cells.clustering:
        host = others[rng.integers(len(others))]
        direction, distance = rng.uniform(0, 2 * math.pi), (radius + host.radius) * rng.uniform(0.75, 1.1)
        y, x = host.y + distance * math.sin(direction), host.x + distance * math.cos(direction)
    else:
        # Beyond the border too, so that it cuts nuclei as it would on a slide; the first one is surely seen.
        beyond = 0.6 * radius if others else 0.0
        y, x = (rng.uniform(-beyond, size - 1 + beyond) for size in shape)
    amplitudes = rng.normal(0.0, 0.09, (2, HARMONICS.size)) / HARMONICS
    light = rng.uniform(0.3, 0.5) if rng.random() < cells.dim else float(np.clip(rng.lognormal(0.0, 0.25), 0.6, 1.8))
    return Nucleus(
        y=float(y),
        x=float(x),
        radius=radius,
        elongation=min(math.exp(abs(rng.normal(0.0, 0.3))), 2.2),
        angle=rng.uniform(0, math.pi),
        bend=float(np.clip(rng.normal(0.0, 0.2), -0.45, 0.45)),
        waves=tuple(complex(real, imaginary) for real, imaginary in amplitudes.T),
        brightness=light,
        defocus=rng.uniform(1.5, 2.6) if rng.random() < cells.defocused else rng.uniform(0.0, 0.7),
    )


def _box(nucleus: Nucleus, shape: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of the image that the nucleus can touch."""
    low = [max(math.floor(centre - nucleus.reach), 0) for centre in (nucleus.y, nucleus.x)]
    high = [math.ceil(centre + nucleus.reach) + 1 for centre in (nucleus.y, nucleus.x)]
    rows, columns = (slice(a, max(min(b, size), a)) for a, b, size in zip(low, high, shape, strict=True))
    return rows, columns


def _can_stay(there: Bool[np.ndarray, "h w"], free: Bool[np.ndarray, "h w"], *, alone: bool) -> bool:
    """Whether enough of the nucleus is seen, and in one piece (pixels that share a side)."""
    seen = int(np.count_nonzero(free))
    if seen < (1 if alone else SMALLEST_PIECE) or seen < 0.75 * np.count_nonzero(there):
        return False
    return ndimage.label(free)[1] == 1
