"""Changes of grey values. Every function leaves the image as it is, bit for bit, at the neutral value of its parameter.

That is how an option that was not drawn for a sample of a batch is left out: no branch, only the neutral value. Images
are normalised: mean about 0 and standard deviation about 1, which is the unit of brightness and noise.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tinyunet.arrays import PRNGKey


def adjust_gamma(image: Float[Array, "h w c"], exponent: Float[Array, ""]) -> Float[Array, "h w c"]:
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
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    extent = jnp.where(high > low, high - low, 1.0)
    unit = (image - low) / extent
    # exp(e log x) is thrice as fast on a CPU as the general power. 0 bypasses the logarithm, for the gradient too.
    power = jnp.where(unit > 0, jnp.exp(exponent * jnp.log(jnp.where(unit > 0, unit, 1.0))), 0.0)
    return jnp.where(exponent == 1, image, low + extent * power)


def adjust_contrast(image: Float[Array, "h w c"], factor: Float[Array, ""]) -> Float[Array, "h w c"]:
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
    return image + (factor - 1) * (image - image.mean(axis=(0, 1)))


def adjust_brightness(image: Float[Array, "h w c"], shift: Float[Array, ""]) -> Float[Array, "h w c"]:
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
    image: Float[Array, "h w c"], slope: Float[Array, " 2"], curvature: Float[Array, " 3"]
) -> Float[Array, "h w c"]:
    """Add light that varies slowly over the image, as haze and uneven illumination do.

        y(u, v) = x(u, v) + s_1 u + s_2 v + c_1 u^2 + c_2 v^2 + c_3 u v

    with u and v running from -1 to 1 along rows and columns. What is to be found is then not simply what is bright.

    Args:
        image: Any finite values.
        slope: s, in the unit of the image, that is in its standard deviations; 0 changes nothing.
        curvature: c, likewise.

    Returns:
        The image.

    Example:
        >>> add_shading(jnp.zeros((1, 3, 1)), jnp.array([0.0, 0.5]), jnp.zeros(3)).ravel().tolist()
        [-0.5, 0.0, 0.5]
    """
    u, v = (_centred(size) for size in image.shape[:2])
    rows = (slope[0] + curvature[0] * u) * u
    columns = (slope[1] + curvature[1] * v) * v
    field = rows[:, None] + columns[None, :] + curvature[2] * u[:, None] * v[None, :]
    return image + field[..., None].astype(image.dtype)


def _centred(size: int) -> Float[Array, " {size}"]:
    """Pixel positions from -1 to 1; 0 for a single pixel."""
    return jnp.linspace(-1.0, 1.0, size) if size > 1 else jnp.zeros(1)


def gaussian_blur(image: Float[Array, "h w c"], sigma_px: Float[Array, ""], *, radius: int) -> Float[Array, "h w c"]:
    """Blur with a Gaussian cut off at `radius` and scaled to sum to one, mirroring about the outermost pixels.

        y_p = sum_r w_r x_(p+r),   w_r = exp(-r^2 / (2 sigma^2)) / sum_q exp(-q^2 / (2 sigma^2)),   |r| <= radius

    along rows, then along columns.

    Args:
        image: Any finite values.
        sigma_px: Standard deviation in pixels, >= 0; 0 changes nothing.
        radius: Pixels on either side, >= 0; three times the largest `sigma_px` loses less than 0.3 % of the weight.

    Returns:
        The image.

    Example:
        >>> gaussian_blur(jnp.array([[[0.0], [1.0], [0.0]]]), jnp.array(1.0), radius=1).ravel()
        Array([0.548..., 0.451..., 0.548...], dtype=float32)
    """
    offsets = jnp.arange(-radius, radius + 1)
    # The tiny term makes sigma = 0 a kernel of exactly one 1 among zeros instead of 0/0.
    weights = jnp.exp(-(offsets**2) / (2 * sigma_px**2 + 1e-12))
    weights = weights / weights.sum()
    # Sums of shifted slices: XLA runs depthwise convolutions on a CPU tens of times slower.
    for axis in (0, 1):
        size = image.shape[axis]
        pad = [(radius, radius) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = jnp.pad(image, pad, mode="reflect")
        shifted = (jax.lax.slice_in_dim(padded, r, r + size, axis=axis) for r in range(2 * radius + 1))
        image = sum((weight * x for weight, x in zip(weights, shifted, strict=True)), start=jnp.zeros_like(image))
    return image


def add_noise(key: PRNGKey, image: Float[Array, "h w c"], sigma: Float[Array, ""]) -> Float[Array, "h w c"]:
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
