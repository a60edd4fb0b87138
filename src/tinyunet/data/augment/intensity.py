"""Changes of grey values. Every function leaves the image as it is, bit for bit, at the neutral value of its parameter.

That is how an option that was not drawn for a sample of a batch is left out: no branch, only the neutral value. Images
are normalised: mean about 0 and standard deviation about 1, which is the unit of brightness and noise.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tinyunet.arrays import PRNGKey


def adjust_gamma(image: Float[Array, "*space c"], exponent: Float[Array, ""]) -> Float[Array, "*space c"]:
    """Bend the scale of grey values between the darkest and the brightest pixel of each channel.

        y = low + (high - low) ((x - low) / (high - low))^exponent

    Args:
        image: Any finite values; a constant channel stays as it is.
        exponent: > 0. Below 1 the middle tones brighten, above 1 they darken, 1 changes nothing.

    Returns:
        The image, with the same extremes in each channel.

    Example:
        >>> adjust_gamma(jnp.array([[[0.0], [1.0], [4.0]]]), jnp.array(0.5)).ravel().tolist()
        [0.0, 2.0, 4.0]
    """
    space = tuple(range(image.ndim - 1))
    low, high = image.min(axis=space), image.max(axis=space)
    extent = jnp.where(high > low, high - low, 1.0)
    unit = (image - low) / extent
    # exp(e log x) is thrice as fast on a CPU as the general power. 0 bypasses the logarithm, for the gradient too.
    power = jnp.where(unit > 0, jnp.exp(exponent * jnp.log(jnp.where(unit > 0, unit, 1.0))), 0.0)
    return jnp.where(exponent == 1, image, low + extent * power)


def adjust_contrast(image: Float[Array, "*space c"], factor: Float[Array, ""]) -> Float[Array, "*space c"]:
    """Stretch grey values about the mean of each channel.

        y = x + (factor - 1) (x - mean)

    Args:
        image: Any finite values.
        factor: > 0; 1 changes nothing.

    Returns:
        The image, with the same means and `factor` times the standard deviation.

    Example:
        >>> adjust_contrast(jnp.array([[[1.0], [3.0]]]), jnp.array(2.0)).ravel().tolist()
        [0.0, 4.0]
    """
    return image + (factor - 1) * (image - image.mean(axis=tuple(range(image.ndim - 1))))


def adjust_brightness(image: Float[Array, "*space c"], shift: Float[Array, ""]) -> Float[Array, "*space c"]:
    """Shift all grey values: y = x + shift.

    Args:
        image: Any finite values.
        shift: In the unit of the image, that is in its standard deviations; 0 changes nothing.

    Returns:
        The image.

    Example:
        >>> adjust_brightness(jnp.array([[[1.0], [3.0]]]), jnp.array(0.5)).ravel().tolist()
        [1.5, 3.5]
    """
    return image + shift


def add_shading(
    image: Float[Array, "*space c"], slope: Float[Array, " n"], curvature: Float[Array, " n*(n+1)//2"]
) -> Float[Array, "*space c"]:
    """Add light that varies slowly over the image, as haze and uneven illumination do.

        y(u) = x(u) + sum_a (s_a u_a + c_a u_a^2) + sum_(a<b) c_ab u_a u_b

    with u_a running from -1 to 1 along axis a. What is to be found is then not simply what is bright.

    Args:
        image: Any finite values, n axes and channels.
        slope: s, in the unit of the image, that is in its standard deviations; 0 changes nothing.
        curvature: c, likewise: first c_a of each axis, then c_ab of each pair, for a volume in the order zy, zx, yx.

    Returns:
        The image.

    Example:
        >>> add_shading(jnp.zeros((1, 3, 1)), jnp.array([0.0, 0.5]), jnp.zeros(3)).ravel().tolist()
        [-0.5, 0.0, 0.5]
    """
    axes = image.ndim - 1
    u = [
        _centred(size).reshape([-1 if a == axis else 1 for a in range(axes)])
        for axis, size in enumerate(image.shape[:-1])
    ]
    first, *others = ((slope[axis] + curvature[axis] * u[axis]) * u[axis] for axis in range(axes))
    field = sum(others, start=first)
    for i, (a, b) in enumerate(itertools.combinations(range(axes), 2)):
        field = field + curvature[axes + i] * u[a] * u[b]
    return image + field[..., None].astype(image.dtype)


def _centred(size: int) -> Float[Array, " {size}"]:
    """Pixel positions from -1 to 1; 0 for a single pixel."""
    return jnp.linspace(-1.0, 1.0, size) if size > 1 else jnp.zeros(1)


def gaussian_blur(
    image: Float[Array, "*space c"], sigma_px: Float[Array, ""], *, radius: int, sides: tuple[float, ...]
) -> Float[Array, "*space c"]:
    """Blur with a Gaussian cut off at `radius` and scaled to sum to one, mirroring about the outermost pixels.

        y_p = sum_r w_r x_(p+r),   w_r = exp(-r^2 / (2 sigma^2)) / sum_q exp(-q^2 / (2 sigma^2)),   |r| <= radius

    along the first axis, then along the next. Along an axis with longer pixels, sigma and the radius are shorter by
    that ratio; where the radius falls below 0.6 pixels, nothing is done along the axis: a neighbour would weigh less
    than 4e-6 at a third of it.

    Args:
        image: Any finite values.
        sigma_px: Standard deviation in units of the smallest side of a pixel, >= 0; 0 changes nothing.
        radius: In the same units, >= 0; three times the largest `sigma_px` loses less than 0.3 % of the weight.
        sides: Size of a pixel along each axis, in units of the smallest of them.

    Returns:
        The image.

    Example:
        >>> gaussian_blur(jnp.array([[[0.0], [1.0], [0.0]]]), jnp.array(1.0), radius=1, sides=(1.0, 1.0)).ravel()
        Array([0.548..., 0.451..., 0.548...], dtype=float32)
    """
    for axis, side in enumerate(sides):
        if radius / side >= 0.6:
            image = _blur_along(axis, image, sigma_px / side, radius=math.ceil(radius / side))
    return image


def _blur_along(
    axis: int, image: Float[Array, "*space c"], sigma_px: Float[Array, ""], *, radius: int
) -> Float[Array, "*space c"]:
    offsets = jnp.arange(-radius, radius + 1)
    # The tiny term makes sigma = 0 a kernel of exactly one 1 among zeros instead of 0/0.
    weights = jnp.exp(-(offsets**2) / (2 * sigma_px**2 + 1e-12))
    weights = weights / weights.sum()
    # Sums of shifted slices: XLA runs depthwise convolutions on a CPU tens of times slower.
    size = image.shape[axis]
    pad = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
    padded = jnp.pad(image, pad, mode="reflect")
    shifted = (jax.lax.slice_in_dim(padded, r, r + size, axis=axis) for r in range(2 * radius + 1))
    return sum((weight * x for weight, x in zip(weights, shifted, strict=True)), start=jnp.zeros_like(image))


def add_noise(key: PRNGKey, image: Float[Array, "*space c"], sigma: Float[Array, ""]) -> Float[Array, "*space c"]:
    """Add independent normal noise to every pixel and channel: y = x + sigma n, n ~ N(0, 1).

    Args:
        key: Randomness of this sample.
        image: Any finite values.
        sigma: In the unit of the image, that is in its standard deviations, >= 0; 0 changes nothing.

    Returns:
        The image.

    Example:
        >>> add_noise(jax.random.key(0), jnp.ones((1, 2, 1)), jnp.array(0.0)).ravel().tolist()
        [1.0, 1.0]
    """
    return image + sigma * jax.random.normal(key, (image.size,), image.dtype).reshape(image.shape)
