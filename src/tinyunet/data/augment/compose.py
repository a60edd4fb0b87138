"""One sample in, one augmented sample out: which options there are, and the order in which they apply."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from tinyunet.arrays import PRNGKey
from tinyunet.data.augment import geometry, intensity, sampling
from tinyunet.errors import ConfigError

_MOST_SHEAR_OF_A_VOLUME = 0.45
"""Two such shears, one into each of the other axes, displace as much as the 0.9 that an image allows."""


def _within(low: float, high: float, *, default: float) -> Any:
    """A dataclass field whose value must be in [low, high]."""
    return dataclasses.field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Strength of every augmentation. A strength or a probability of zero leaves its option out and costs no time.

    The defaults suit grey microscopy with few images, where no direction is special. Letters and street scenes want
    `quarter_turns=False`, and usually `flips=False`. Options are drawn independently of each other and for each sample;
    channels share what is drawn, except noise. As a unit of length, a pixel is the smallest side of one. Slices more
    than twice as thick are rotated only within their planes.

    Args:
        flips: Flip each axis with probability 1/2; exact, nothing is interpolated.
        quarter_turns: Turn the last two axes by a random multiple of 90 degrees (180 where they are not square); exact.
        warp_probability: Probability, in [0, 1], that a sample is warped: rotated, scaled, sheared and deformed.
        rotate_deg: Rotation is uniform in [-rotate_deg, rotate_deg] degrees; in [0, 180].
        scale: Magnification is log-uniform in [1/(1 + scale), 1 + scale]; in [0, 3].
        shear: Shear along any axis is uniform in [-shear, shear], pixels per pixel; in [0, 0.9], for volumes [0, 0.45].
        elastic_px: Standard deviation of the elastic displacement along any axis in pixels; at least 0 and at most a
            sixth of `elastic_grid_px`, beyond which the image would begin to fold over itself.
        elastic_grid_px: Spacing of the grid of independent displacements in pixels; in [2, 4096].
        gamma: Exponent of the grey scale is log-uniform in [1/(1 + gamma), 1 + gamma]; in [0, 3].
        gamma_probability: In [0, 1], as are the other probabilities.
        contrast: Factor of the contrast is log-uniform in [1/(1 + contrast), 1 + contrast]; in [0, 3].
        contrast_probability: In [0, 1].
        brightness: Shift is uniform in [-brightness, brightness] standard deviations of the image; in [0, 10].
        brightness_probability: In [0, 1].
        shading: Coefficients of light that varies slowly over the image, as a polynomial of second degree in positions
            from -1 to 1, are uniform in [-shading, shading] standard deviations of the image; in [0, 10].
        shading_probability: In [0, 1].
        blur_px: Standard deviation of the Gaussian blur is uniform in [0, blur_px] pixels; in [0, 5].
        blur_probability: In [0, 1].
        noise: Standard deviation of the noise is uniform in [0, noise] standard deviations of the image; in [0, 10].
        noise_probability: In [0, 1].

    Raises:
        ConfigError: If a value is outside its range.

    Example:
        >>> AugmentConfig(rotate_deg=45.0).scale
        0.2
        >>> AugmentConfig(shear=2.0)
        Traceback (most recent call last):
        tinyunet.errors.ConfigError: `shear` must be in [0, 0.9], got 2.0.
    """

    flips: bool = True
    quarter_turns: bool = True
    warp_probability: float = _within(0.0, 1.0, default=0.5)
    rotate_deg: float = _within(0.0, 180.0, default=20.0)
    scale: float = _within(0.0, 3.0, default=0.2)
    shear: float = _within(0.0, 0.9, default=0.1)
    elastic_px: float = _within(0.0, math.inf, default=3.0)
    elastic_grid_px: float = _within(2.0, 4096.0, default=48.0)
    gamma: float = _within(0.0, 3.0, default=0.3)
    gamma_probability: float = _within(0.0, 1.0, default=0.3)
    contrast: float = _within(0.0, 3.0, default=0.3)
    contrast_probability: float = _within(0.0, 1.0, default=0.3)
    brightness: float = _within(0.0, 10.0, default=0.3)
    brightness_probability: float = _within(0.0, 1.0, default=0.3)
    shading: float = _within(0.0, 10.0, default=1.0)
    shading_probability: float = _within(0.0, 1.0, default=0.3)
    blur_px: float = _within(0.0, 5.0, default=1.0)
    blur_probability: float = _within(0.0, 1.0, default=0.15)
    noise: float = _within(0.0, 10.0, default=0.2)
    noise_probability: float = _within(0.0, 1.0, default=0.15)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            low, high = field.metadata.get("range", (-math.inf, math.inf))
            value = getattr(self, field.name)
            if not low <= value <= high:  # so written, it catches nan too
                rule = f"in [{low:g}, {high:g}]" if high < math.inf else f"at least {low:g}"
                raise ConfigError(f"`{field.name}` must be {rule}, got {value}.")
        # Measured: at a sixth no pixel of 60 fields folds (areas change by 0.4 to 1.9 times), at a quarter 0.2 % do.
        if self.elastic_px * 6 > self.elastic_grid_px:
            raise ConfigError(
                f"`elastic_px` must be at most a sixth of `elastic_grid_px`, got {self.elastic_px} with "
                f"{self.elastic_grid_px}: the image would fold over itself. Lower the one or raise the other."
            )


def augment(
    key: PRNGKey,
    image: Float[Array, "*space c"],
    labels: Int32[Array, "*space"],
    config: AugmentConfig,
    *,
    shape: tuple[int, ...],
    spacing: tuple[float, ...] = (),
) -> tuple[Float[Array, "*patch c"], Int32[Array, "*patch"]]:
    """A random variant of one sample: the same geometry for image and labels, then new grey values for the image.

    The output is the centre `shape` of the window, seen through

        flips and turns -> rotation, scale, shear -> elastic displacement

    composed into one field of coordinates and read once, linear for the image and nearest for the labels. What lies
    round the centre is context for the warp; beyond the window both continue as their mirror images. Then

        gamma -> contrast -> brightness -> shading -> blur -> noise

    A sample that is not warped is an exact rearrangement of pixels. The result depends on the arguments only, and an
    option's draws do not depend on which other options are on. For a batch, `jax.vmap` over the first three arguments
    under `jit`, with `config`, `shape` and `spacing` static.

    Args:
        key: Randomness of this sample.
        image: Normalised, finite.
        labels: Class ids, -1 for a pixel that takes no part.
        config: What to draw.
        shape: Height and width, or depth, height and width of the output, each >= 1. Any larger window will do: on a
            side of s pixels the defaults rarely look further than s/4 beyond the output. In a smaller one the mirror
            images come into view.
        spacing: Size of a pixel along each axis, in any unit of length; empty: equal along all axes. Whatever the
            configuration says in pixels is in units of the smallest side, so that it is as long along every axis.

    Returns:
        The image, in the dtype it came in, and the labels.

    Raises:
        ValueError: If the image and the labels differ in size or have neither two nor three axes, `shape` or `spacing`
            has more or fewer entries than they have axes, or an entry is not positive.
        ConfigError: If a volume is to be sheared by more than 0.45, where the map could collapse it.

    Example:
        >>> image, labels = jnp.arange(36.0).reshape(6, 6, 1), jnp.arange(36, dtype=jnp.int32).reshape(6, 6)
        >>> grey = dict.fromkeys(("gamma", "contrast", "brightness", "shading", "blur_px", "noise"), 0.0)
        >>> config = AugmentConfig(warp_probability=0.0, **grey)
        >>> new_image, new_labels = augment(jax.random.key(1), image, labels, config, shape=(2, 2))
        >>> sorted(new_labels.ravel().tolist()), bool((new_image[..., 0] == new_labels).all())
        ([14, 15, 20, 21], True)
    """
    window = labels.shape
    if image.shape[:-1] != window:
        raise ValueError(f"`image` and `labels` must have equal sizes, got {image.shape[:-1]} and {window}.")
    if len(window) not in (2, 3):
        raise ValueError(f"`labels` must have two or three axes, got {len(window)}.")
    if len(shape) != len(window):
        raise ValueError(f"`shape` must have one entry for each of {len(window)} axes, got {shape}.")
    if min(shape) < 1:
        raise ValueError(f"`shape` must be at least 1 along every axis, got {shape}.")
    sides = _relative_sides(spacing, axes=len(window))
    geometry_key, grey_key = jax.random.split(key)
    coordinates = _draw_coordinates(geometry_key, config, window=window, shape=shape, sides=sides)
    # float32 throughout, whatever the image comes in: bfloat16 would round coordinates to whole pixels.
    cut = sampling.sample_linear(image.astype(jnp.float32), coordinates)
    varied = _draw_grey_values(grey_key, cut, config, sides=sides)
    return varied.astype(image.dtype), sampling.sample_nearest(labels, coordinates)


def _relative_sides(spacing: tuple[float, ...], *, axes: int) -> tuple[float, ...]:
    """Size of a pixel along each axis, in units of the smallest of them."""
    if not spacing:
        return (1.0,) * axes
    if len(spacing) != axes:
        raise ValueError(f"`spacing` must be empty or have one entry for each of {axes} axes, got {spacing}.")
    if not all(0 < side < math.inf for side in spacing):
        raise ValueError(f"`spacing` must be positive and finite along every axis, got {spacing}.")
    return tuple(side / min(spacing) for side in spacing)


def _draw_coordinates(
    key: PRNGKey,
    config: AugmentConfig,
    *,
    window: tuple[int, ...],
    shape: tuple[int, ...],
    sides: tuple[float, ...],
) -> sampling.Coordinates:
    """Where in the window each output pixel looks; whole numbers for a sample that is not warped."""
    orientation_key, warp_key, affine_key, elastic_key = jax.random.split(key, 4)
    axes = len(shape)
    square = shape[-2] == shape[-1] and sides[-2] == sides[-1]
    matrix = geometry.random_orientation(
        orientation_key, axes=axes, flips=config.flips, quarter_turns=config.quarter_turns, square=square
    )
    displacement = None
    if config.warp_probability > 0:
        if axes == 3 and config.shear > _MOST_SHEAR_OF_A_VOLUME:
            raise ConfigError(f"`shear` must be in [0, {_MOST_SHEAR_OF_A_VOLUME}] for volumes, got {config.shear}.")
        # A select, not a branch: under vmap every sample runs the same program, and both arms are cheap.
        warp = jax.random.uniform(warp_key) < config.warp_probability
        affine = geometry.random_affine(
            affine_key, rotate_deg=config.rotate_deg, scale=config.scale, shear=config.shear, sides=sides
        )
        matrix = jnp.matmul(jnp.where(warp, affine, jnp.eye(axes)), matrix, precision="highest")
        if config.elastic_px > 0:
            # The select is on the amplitude: on the finished field it would cost more than the field itself.
            amplitude = jnp.where(warp, config.elastic_px, 0.0)
            displacement = geometry.random_elastic(
                elastic_key, shape=shape, elastic_px=amplitude, elastic_grid_px=config.elastic_grid_px, sides=sides
            )
    return geometry.source_coordinates(matrix, displacement, window=window, shape=shape)


def _draw_grey_values(
    key: PRNGKey, image: Float[Array, "*space c"], config: AugmentConfig, *, sides: tuple[float, ...]
) -> Float[Array, "*space c"]:
    """New grey values, in the order in which a picture comes about: light, optics, the noise of the sensor."""
    amount_key, noise_key, shading_key = jax.random.split(key, 3)
    limits = [
        math.log1p(config.gamma),
        math.log1p(config.contrast),
        config.brightness,
        config.blur_px,
        config.noise,
    ]
    probabilities = [
        config.gamma_probability,
        config.contrast_probability,
        config.brightness_probability,
        config.blur_probability,
        config.noise_probability,
    ]
    # Uniform in [-limit, limit] with the option's probability, otherwise 0: whatever is not drawn changes nothing.
    chances, values = jax.random.uniform(amount_key, (2 * len(limits),)).reshape(2, -1)
    amounts = jnp.where(chances < jnp.array(probabilities), (2 * values - 1) * jnp.array(limits), 0.0)
    log_exponent, log_factor, shift, sigma_px, sigma = amounts
    gamma, contrast, brightness, blur, noise = (limit * p > 0 for limit, p in zip(limits, probabilities, strict=True))
    if gamma:
        image = intensity.adjust_gamma(image, jnp.exp(log_exponent))
    if contrast:
        image = intensity.adjust_contrast(image, jnp.exp(log_factor))
    if brightness:
        image = intensity.adjust_brightness(image, shift)
    if config.shading * config.shading_probability > 0:
        axes = len(sides)  # as many slopes, then a curvature for each axis and for each pair of them
        chance, *coefficients = jax.random.uniform(shading_key, (1 + axes + axes * (axes + 1) // 2,))
        limit = jnp.where(chance < config.shading_probability, config.shading, 0.0)
        terms = limit * (2 * jnp.stack(coefficients) - 1)
        image = intensity.add_shading(image, terms[:axes], terms[axes:])
    if blur:
        radius = math.ceil(3 * config.blur_px)
        image = intensity.gaussian_blur(image, jnp.abs(sigma_px), radius=radius, sides=sides)
    if noise:
        image = intensity.add_noise(noise_key, image, jnp.abs(sigma))
    return image
