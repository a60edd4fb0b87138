"""A fluorescence microscope: from nuclei on a slide to the grey values that a camera would give."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from tinyunet.data.nuclei import Nucleus

SUBPIXELS = 3  # per side; odd, so that the middle one is the pixel's centre, which decides the mask
GRAIN = 96  # pixels; side of the piece of chromatin texture that nuclei cut theirs from


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """How the slide is seen.

    Args:
        psf_sigma: Standard deviation in pixels of the point spread function in focus, above 0.
        photons: Photons that a pixel collects from a nucleus of brightness 1, above 0; fewer mean more noise.
        read_noise: Standard deviation of the camera's own noise in photons, 0 or more.
        haze: Light from outside the focal plane as a part of a nucleus of brightness 1, 0 or more.
        vignetting: Part of the light that is lost in the corners, in [0, 1).
        debris_brightness: Light of a speck of debris, 0 or more; 1 is a typical nucleus.

    Raises:
        ValueError: An option outside its range.

    Example:
        >>> Microscope(photons=50.0).psf_sigma
        1.1
    """

    psf_sigma: float = 1.1
    photons: float = 200.0
    read_noise: float = 3.0
    haze: float = 0.16
    vignetting: float = 0.35
    debris_brightness: float = 2.5

    def __post_init__(self) -> None:
        for name in ("psf_sigma", "photons"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)}.")
        for name in ("read_noise", "haze", "debris_brightness"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be 0 or more, got {getattr(self, name)}.")
        if not 0 <= self.vignetting < 1:
            raise ValueError(f"`vignetting` must be in [0, 1), got {self.vignetting}.")


def photograph(
    rng: np.random.Generator,
    nuclei: Sequence[Nucleus],
    shape: tuple[int, int],
    microscope: Microscope,
    *,
    specks: float = 0.0,
) -> UInt8[np.ndarray, "h w"]:
    """The camera's image of nuclei and debris.

        grey = offset + gain (Poisson(photons * illumination * (nuclei + debris + haze)) + Normal(0, read_noise))

    cut off at 0 and 255. The light of overlapping nuclei adds up. `gain` maps a nucleus of brightness 1 in the middle
    of the field to about 100 grey levels; it varies by a fifth from image to image, as exposures do.

    Args:
        rng: Source of the random numbers; it advances.
        nuclei: What shines.
        shape: Height and width of the image in pixels.
        microscope: Optics and camera.
        specks: Number of specks of debris per square of 256 pixels, on average.

    Returns:
        Grey values in 0 to 255.

    Example:
        >>> nucleus = Nucleus(y=16.0, x=16.0, radius=8.0)
        >>> image = photograph(np.random.default_rng(0), [nucleus], (32, 32), Microscope())
        >>> bool(image[16, 16] > 2 * image[0, 0])
        True
    """
    # Lamp and camera are drawn first, so that they do not depend on what lies on the slide.
    illumination = _illumination(rng, shape, loss=microscope.vignetting)
    gain = 100 / microscope.photons * rng.uniform(0.8, 1.2)
    offset = rng.uniform(4, 12)
    light = np.zeros(shape)
    grains = _chromatin(rng)
    for nucleus in nuclei:
        _add_nucleus(light, rng, nucleus, grains, psf_sigma=microscope.psf_sigma)
    haze = _haze(rng, light, strength=microscope.haze)
    _add_debris(light, rng, microscope, number=rng.poisson(specks * light.size / 256**2))
    expected = microscope.photons * illumination * (light + haze)
    collected = rng.poisson(expected) + rng.normal(0.0, microscope.read_noise, shape)
    return np.clip(np.rint(offset + gain * collected), 0, 255).astype(np.uint8)


def _chromatin(rng: np.random.Generator) -> Float[np.ndarray, "s s"]:
    """Periodic texture of mean 1: fine grain on coarse patches, with a long tail of bright clumps."""
    fine, coarse = (
        ndimage.gaussian_filter(rng.normal(size=(GRAIN, GRAIN)), sigma, mode="wrap") * sigma * 2 * math.sqrt(math.pi)
        for sigma in (1.1, 2.8)
    )  # the factor brings each back to standard deviation 1
    texture = np.exp(0.22 * fine + 0.16 * coarse)
    return texture / texture.mean()


def _add_nucleus(
    light: Float[np.ndarray, "h w"],
    rng: np.random.Generator,
    nucleus: Nucleus,
    grains: Float[np.ndarray, "s s"],
    *,
    psf_sigma: float,
) -> None:
    """Add one nucleus, blurred by the optics and its own defocus, to the light."""
    sigma = math.hypot(psf_sigma, nucleus.defocus)
    margin = nucleus.reach + 4 * sigma
    y = np.arange(math.floor(nucleus.y - margin), math.ceil(nucleus.y + margin) + 1)
    x = np.arange(math.floor(nucleus.x - margin), math.ceil(nucleus.x + margin) + 1)
    fine_y, fine_x = ((np.arange(axis.size * SUBPIXELS) - 1) / SUBPIXELS + axis[0] for axis in (y, x))
    level = nucleus.level(fine_y[:, None], fine_x[None, :])
    # A flattened ball: thickest in the middle, but with a steep side, so that the outline is a true edge.
    profile = np.where(level < 1, 0.75 + 0.25 * np.sqrt(np.maximum(1 - level**2, 0)), 0.0)
    profile = profile.reshape(y.size, SUBPIXELS, x.size, SUBPIXELS).mean((1, 3))
    shift_y, shift_x = rng.integers(GRAIN, size=2)
    texture = grains[np.ix_((y + shift_y) % GRAIN, (x + shift_x) % GRAIN)]
    profile *= texture * _nucleoli(rng, nucleus, y[:, None], x[None, :])
    blurred = nucleus.brightness * ndimage.gaussian_filter(profile, sigma, mode="constant")
    rows, columns = ((axis >= 0) & (axis < size) for axis, size in zip((y, x), light.shape, strict=True))
    light[np.ix_(y[rows], x[columns])] += blurred[np.ix_(rows, columns)]


def _nucleoli(rng: np.random.Generator, nucleus: Nucleus, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Factor below 1 at the nucleoli, one to four round places that hold little DNA."""
    factor = np.ones(np.broadcast_shapes(y.shape, x.shape))
    for _ in range(rng.integers(1, 5)):
        distance, direction = nucleus.radius * 0.6 * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        down = y - nucleus.y - distance * math.sin(direction)
        right = x - nucleus.x - distance * math.cos(direction)
        size = nucleus.radius * rng.uniform(0.1, 0.2)
        factor *= 1 - rng.uniform(0.3, 0.6) * np.exp(-(((down**2 + right**2) / (1.4 * size**2)) ** 2))
    return factor


def _haze(rng: np.random.Generator, light: Float[np.ndarray, "h w"], *, strength: float) -> Float[np.ndarray, "h w"]:
    """Light without detail: autofluorescence, the wide skirt of the nuclei themselves, and cells far out of focus."""
    h, w = light.shape
    skirt = ndimage.gaussian_filter(light, 16, mode="reflect", truncate=2.5)
    y, x = np.arange(h)[:, None], np.arange(w)[None, :]
    far = np.zeros_like(light)
    for _ in range(rng.poisson(3 * max(light.size / 256**2, 0.3))):
        sigma = rng.uniform(22, 45)
        centre_y, centre_x = rng.uniform(-20, h + 20), rng.uniform(-20, w + 20)
        far += rng.uniform(0.4, 1.4) * np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (2 * sigma**2))
    return strength * (rng.uniform(0.6, 1.2) + 1.2 * skirt + far)


def _add_debris(
    light: Float[np.ndarray, "h w"], rng: np.random.Generator, microscope: Microscope, *, number: int
) -> None:
    """Add specks of one to four pixels' radius, each a small clump of points, and sometimes a fibre of lint."""
    h, w = light.shape
    sharp = np.zeros_like(light)
    for _ in range(number):
        points = rng.normal(0.0, rng.uniform(0.4, 2.2), (rng.integers(3, 40), 2)) + rng.uniform(0, (h, w))
        _add_points(sharp, points, microscope.debris_brightness * rng.uniform(0.5, 1.5))
    if number and rng.random() < 0.25:
        t = np.linspace(0, 1, 240)[:, None]
        ends = rng.uniform(0, (h, w), (3, 2))  # a quadratic Bezier curve
        ends = ends.mean(0) + 0.5 * (ends - ends.mean(0))
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        _add_points(sharp, curve, microscope.debris_brightness)
    light += ndimage.gaussian_filter(sharp, microscope.psf_sigma, mode="constant")


def _add_points(sharp: np.ndarray, points: np.ndarray, brightness: float) -> None:
    """Light the pixels that hold a point."""
    at = np.rint(points).astype(int)
    at = at[((at >= 0) & (at < sharp.shape)).all(1)]
    sharp[at[:, 0], at[:, 1]] = brightness


def _illumination(rng: np.random.Generator, shape: tuple[int, int], *, loss: float) -> Float[np.ndarray, "h w"]:
    """Light of the lamp: 1 at the brightest point, falling with the squared distance, and tilted."""
    y, x = (np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in shape)
    centre_y, centre_x = rng.uniform(-0.3, 0.3, 2)
    tilt_y, tilt_x = rng.uniform(-0.12, 0.12, 2)
    fall = ((y[:, None] - centre_y) ** 2 + (x[None, :] - centre_x) ** 2) / 2
    field = np.maximum(1 - loss * fall, 0.1) * (1 + tilt_y * y[:, None] + tilt_x * x[None, :])
    return field / field.max()
