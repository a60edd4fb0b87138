"""Cross-correlation by XLA, and its gradients, in the forms that are fastest on a CPU.

Of maps of two axes and a window of more than one pixel; c is the number of channels, d that of features:

| the result, and the gradient of the map, where c and d change places | pixels side by side, see `products` |
| --- | --- |
| maps of 128² pixels or more; c <= 16 and d <= 4, or c <= 4 and d <= 8 | four |
| maps of 128² pixels or more; c <= 16 and d <= 8, or c <= 8 and d <= 16, if not above | two |
| else | one: XLA's own |

| the gradient of the kernel | form |
| --- | --- |
| maps of 64² pixels or more; c > 4 and d > 1 | products of matrices, band by band, see `kernel_gradient` |
| maps of 32² pixels or more; c d >= 64 · 128 | the same |
| else | XLA's own |

The gradient of the kernel is taken so with a window of one pixel, too. All else, and all on anything but a CPU, is
XLA's own. The boundaries are where it was measured to pay (`benchmarks/RESULTS.md`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BAND_NUMBERS, MOST_BANDS = 2**20, 8
"""Numbers that are put side by side for a band, which stay in the caches, and the most bands of an image."""

Padding = Literal["same", "valid"]

LARGE, MIDDLING, SMALL = 128 * 128, 64 * 64, 32 * 32
"""Pixels of the smallest maps that are large, middling and small."""


def correlate(
    x: Float[Array, "b *space c"],
    kernel: Float[Array, "*window f d"],
    padding: Padding,
    more: Float[Array, "b *space e"] | None = None,
) -> Float[Array, "b *out d"]:
    """The sum of `tinyunet.layers.conv.convolve`, without the bias.

    Args:
        x: Feature maps of one or two axes of space; of any number where the window is one pixel.
        kernel: Weights, the window first.
        padding: As for `convolve`.
        more: As for `convolve`.
    """
    known = all(isinstance(size, int) for size in x.shape)  # and no symbols, as in an exported program
    if known and x.ndim == 4 and jax.default_backend() == "cpu":
        return _correlate_on_cpu(x, more, kernel, padding)
    return _correlate(_joined(x, more), kernel, padding)


def _joined(x: Array, more: Array | None) -> Array:
    return x if more is None else jnp.concatenate([x, more], axis=-1)


def _correlate(x: Array, kernel: Array, padding: Padding, *, step: int = 1) -> Array:
    """XLA's own, moving on by so many pixels along the last axis of space."""
    if all(size == 1 for size in kernel.shape[:-2]):
        return x @ kernel.reshape(kernel.shape[-2:])
    space = "HW"[4 - x.ndim :]
    around = [_around(size, padding) for size in kernel.shape[:-2]]
    around[-1] = _around(kernel.shape[-3] - step + 1, padding)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1,) * (len(space) - 1) + (step,),
        padding=around,
        dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
    )


def _around(size: int, padding: Padding) -> tuple[int, int]:
    """Zeros before the first pixel and after the last, for a window of a size."""
    return ((size - 1) // 2, size // 2) if padding == "same" else (0, 0)


def products(
    x: Float[Array, "b h w c"], kernel: Float[Array, "i j c d"], padding: Padding
) -> Float[Array, "b oh ow d"]:
    """The sum of `correlate` by XLA's convolution, with several pixels of a row side by side where that is faster.

    The features of p pixels side by side are the p d features of a window that is p - 1 pixels wider and moves on by p:
    its weights are those of the kernel p times, one pixel further each time, and zeros. That takes (j + p - 1) / j
    times as many multiplications. But XLA gathers what a window sees before it multiplies, which is less for p pixels
    at once, and with few features most of a vector stays empty. Three channels, slowest of all, are made four.

    Args:
        x: Feature maps.
        kernel: Weights.
        padding: As for `correlate`.

    Example:
        >>> products(jnp.ones((1, 128, 128, 1)), jnp.ones((3, 3, 1, 1)), "same")[0, :2, :2, 0]
        Array([[4., 6.],
               [6., 9.]], dtype=float32)
    """
    batch, height, width, channels = x.shape
    _, columns, _, features = kernel.shape
    if height * width < LARGE or columns == 1:
        return _correlate(x, kernel, padding)
    result = width - columns + 1 + sum(_around(columns, padding))
    beside = next((p for p, covers in _BESIDE.items() if covers(channels, features) and result % p == 0), 1)
    if beside == 1:
        return _correlate(x, kernel, padding)
    if channels == 3:
        x, kernel = jnp.pad(x, [(0, 0)] * 3 + [(0, 1)]), jnp.pad(kernel, [(0, 0)] * 2 + [(0, 1), (0, 0)])
    further = [jnp.pad(kernel, [(0, 0), (p, beside - 1 - p), (0, 0), (0, 0)]) for p in range(beside)]
    y = _correlate(x, jnp.concatenate(further, axis=-1), padding, step=beside)
    return y.reshape(batch, y.shape[1], result, features)


_BESIDE = {
    4: lambda c, d: (c <= 16 and d <= 4) or (c <= 4 and d <= 8),
    2: lambda c, d: (c <= 16 and d <= 8) or (c <= 8 and d <= 16),
}
"""Pixels side by side, and of which channels and features."""


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _correlate_on_cpu(x: Array, more: Array | None, kernel: Array, padding: Padding) -> Array:
    return products(_joined(x, more), kernel, padding)


def _forward(
    x: Array, more: Array | None, kernel: Array, padding: Padding
) -> tuple[Array, tuple[Array, Array | None, Array, Array]]:
    both = _joined(x, more)
    return products(both, kernel, padding), (x, more, both, kernel)


def _backward(
    padding: Padding, saved: tuple[Array, Array | None, Array, Array], cotangent: Array
) -> tuple[Array, Array | None, Array]:
    x, more, both, kernel = saved
    # Of two maps each by itself: to compute both at once and cut that in two takes longer.
    dx = _gradient_of_map(x, kernel[:, :, : x.shape[-1]], cotangent, padding)
    dmore = None if more is None else _gradient_of_map(more, kernel[:, :, x.shape[-1] :], cotangent, padding)
    return dx, dmore, _gradient_of_kernel(both, kernel, cotangent, padding)


_correlate_on_cpu.defvjp(_forward, _backward)


def _gradient_of_map(x: Array, kernel: Array, cotangent: Array, padding: Padding) -> Array:
    if padding == "same" and all(size % 2 for size in kernel.shape[:2]):
        return products(cotangent, _turned(kernel), "same")
    return jax.vjp(lambda x: _correlate(x, kernel, padding), x)[1](cotangent)[0]


def _pays_in_bands(pixels: int, channels: int, features: int) -> bool:
    """Whether `kernel_gradient` is faster than XLA's own."""
    if pixels >= MIDDLING:
        return channels > 4 and features > 1
    return pixels >= SMALL and channels * features >= 64 * 128


def _gradient_of_kernel(x: Array, kernel: Array, cotangent: Array, padding: Padding) -> Array:
    *window, channels, features = kernel.shape
    if _pays_in_bands(x.shape[1] * x.shape[2], channels, features):
        found = kernel_gradient(x, cotangent, window, [_around(size, padding)[0] for size in window])
    else:
        (found,) = jax.vjp(lambda kernel: _correlate(x, kernel, padding), kernel)[1](cotangent)
    return found.astype(kernel.dtype)


def _turned(kernel: Array) -> Array:
    """Turned over on both axes, channels and features in each other's place."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def kernel_gradient(
    x: Float[Array, "b h w c"], cotangent: Float[Array, "b oh ow d"], window: Sequence[int], before: Sequence[int]
) -> Float[Array, "i j c d"]:
    """The gradient of the kernel, band of rows by band of rows.

        k'[i, j, c, d] = sum over b, y, x of x[b, y + i - before_0, x, c] dy[b, y, x + before_1 - j, d]

    The rows of the map that meet a row of the cotangent through the window are put side by side, i c numbers a pixel,
    and so are the columns of the cotangent that meet a column of the map, j d numbers; the product of both, summed over
    the pixels of a band, is one product of matrices. Side by side they take several times the memory of the maps, so
    that it is done for a part of an image at a time.

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
    width, channels = x.shape[2:]
    height, features = cotangent.shape[1], cotangent.shape[3]
    above, beside = window[0] * channels, window[1] * features
    rows = max(BAND_NUMBERS // (width * (above + beside)), -(-height // MOST_BANDS), 1)
    wide = above > beside  # XLA's product is faster with the narrower of the two first

    def add(total: Array, image: tuple[Array, Array]) -> tuple[Array, None]:
        pixels, dy = image
        # Where a band begins is known when this is compiled: cutting at a place that is not takes XLA twice as long.
        for first in range(0, height, rows):
            size = min(rows, height - first)
            band = _cut(_cut(dy, 0, first, size), 1, before[1] + 1 - window[1], width + window[1] - 1)
            left = jnp.concatenate([_cut(pixels, 0, first + i - before[0], size) for i in range(window[0])], axis=-1)
            right = jnp.concatenate([band[:, j : j + width] for j in reversed(range(window[1]))], axis=-1)
            left, right = left.reshape(-1, above), right.reshape(-1, beside)
            total = total + (right.T @ left if wide else left.T @ right)
        return total, None

    start = jnp.zeros((beside, above) if wide else (above, beside), x.dtype)
    total, _ = jax.lax.scan(add, start, (x, cotangent))
    return (total.T if wide else total).reshape(window[0], channels, window[1], features).swapaxes(1, 2)


def _cut(x: Array, axis: int, start: int, size: int) -> Array:
    """So many along an axis from a place on, 0 outside."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (-start, start + size - x.shape[axis], 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)
