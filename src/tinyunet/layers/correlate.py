"""Cross-correlation by XLA, with the gradient of the kernel in the form that is fastest on a CPU.

Which form the gradient of the kernel takes, by XLA:

| where | maps of 128² pixels or more | smaller maps |
| --- | --- | --- |
| CPU, a window of one pixel | products of matrices, band by band | XLA's own |
| CPU, as many channels as features, or more | products of matrices, band by band | XLA's own |
| CPU, more features than channels | XLA's own | XLA's own |
| anything else | XLA's own | XLA's own |

On the large maps of a U-Net, XLA's own form takes about twice as long on a CPU (`benchmarks/RESULTS.md`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BAND_PIXELS = 4096
"""Pixels of a band; what is made of them stays in the caches."""

LEAST_PIXELS = 128 * 128
"""Of a map that is worth it."""


def correlate(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], padding: Literal["same", "valid"]
) -> Float[Array, "b *out d"]:
    """The sum of `tinyunet.layers.conv.convolve`, without the bias.

    Args:
        x: Feature maps of one or two axes of space; of any number where the window is one pixel.
        kernel: Weights, the window first.
        padding: As for `convolve`.
    """
    *window, channels, features = kernel.shape
    known = all(isinstance(size, int) for size in x.shape)  # and no symbols, as in an exported program
    large = known and x.ndim == 4 and x.shape[1] * x.shape[2] >= LEAST_PIXELS
    if large and (channels >= features or set(window) == {1}) and jax.default_backend() == "cpu":
        return _correlate_large(x, kernel, padding)
    return _correlate(x, kernel, padding)


def _correlate(x: Array, kernel: Array, padding: str) -> Array:
    if all(size == 1 for size in kernel.shape[:-2]):
        return x @ kernel.reshape(kernel.shape[-2:])
    space = "HW"[4 - x.ndim :]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * len(space),
        padding=padding.upper(),
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate_large(x: Array, kernel: Array, padding: str) -> Array:
    return _correlate(x, kernel, padding)


def _forward(x: Array, kernel: Array, padding: str) -> tuple[Array, tuple[Array, Array]]:
    return _correlate(x, kernel, padding), (x, kernel)


def _backward(padding: str, saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = saved
    (dx,) = jax.vjp(lambda x: _correlate(x, kernel, padding), x)[1](cotangent)
    before = tuple((size - 1) // 2 if padding == "same" else 0 for size in kernel.shape[:2])
    return dx, kernel_gradient(x, cotangent, kernel.shape[:2], before).astype(kernel.dtype)


_correlate_large.defvjp(_forward, _backward)


def kernel_gradient(
    x: Float[Array, "b h w c"], cotangent: Float[Array, "b oh ow d"], window: Sequence[int], before: Sequence[int]
) -> Float[Array, "i j c d"]:
    """The gradient of the kernel, band of rows by band of rows.

        k'[i, j, c, d] = sum over b, y, x of x[b, y, x, c] dy[b, y + before_0 - i, x + before_1 - j, d]

    The pixels of the cotangent that meet a pixel of the map through the window are put side by side, i j d numbers
    each; the product of the map with them is then one product of matrices. Side by side they take as many times the
    memory of the cotangent as the window has pixels, so that it is done for a few thousand pixels at a time.

    Args:
        x: What was convolved.
        cotangent: Of the result, 0 outside.
        window: Size of the kernel.
        before: Zeros before the first pixel of the map along each axis.

    Example:
        >>> one = jnp.ones((1, 2, 2, 1))
        >>> kernel_gradient(one, one, (3, 3), (1, 1))[:, :, 0, 0]
        Array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]], dtype=float32)
    """
    batch, height, width, channels = x.shape
    features = cotangent.shape[-1]
    rows = min(height, max(1, BAND_PIXELS // width))
    bands = -(-height // rows)
    # A row of zeros in the map adds nothing, whatever it meets: the last band is filled up with such.
    x = jnp.pad(x, ((0, 0), (0, bands * rows - height), (0, 0), (0, 0)))
    # Position p of the map meets tap i of the window at position p + size - 1 - i of the widened cotangent.
    low = [size - 1 - b for size, b in zip(window, before, strict=True)]
    high = [rows * bands + before[0] - cotangent.shape[1], width + before[1] - cotangent.shape[2]]
    wide = jnp.pad(cotangent, ((0, 0), *zip(low, high, strict=True), (0, 0)))

    def add(total: Array, band: Array) -> tuple[Array, None]:
        image, first = band // bands, band % bands * rows
        pixels = jax.lax.dynamic_slice(x, (image, first, 0, 0), (1, rows, width, channels))
        size = (1, rows + window[0] - 1, wide.shape[2], features)
        met = jax.lax.dynamic_slice(wide, (image, first, 0, 0), size)[0]
        taps = [(i, j) for i in reversed(range(window[0])) for j in reversed(range(window[1]))]
        beside = jnp.concatenate([met[i : i + rows, j : j + width] for i, j in taps], axis=-1)
        product = pixels.reshape(-1, channels).T @ beside.reshape(-1, len(taps) * features)
        return total + product, None

    start = jnp.zeros((channels, window[0] * window[1] * features), x.dtype)
    total, _ = jax.lax.scan(add, start, jnp.arange(batch * bands))
    return jnp.moveaxis(total.reshape(channels, *window, features), 0, 2)
