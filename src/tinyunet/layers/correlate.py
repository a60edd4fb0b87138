"""Cross-correlation by XLA, and its gradients, in the forms that are fastest on a CPU.

Of maps of two axes and a window of more than one pixel; c is the number of channels, d that of features:

| the result, and the gradient of the map, where c and d change places | pixels side by side, see `products` |
| --- | --- |
| maps of 128² pixels or more; c <= 16 and d <= 4, or c <= 4 and d <= 8 | four |
| maps of 128² pixels or more; c <= 16 and d <= 8, or c <= 8 and d <= 16, if not above | two |
| else | one: XLA's own |

| the gradient of the kernel | form |
| --- | --- |
| maps of 32² pixels or more; c > d | products of matrices, band by band, see `kernel_gradient` |
| maps of 32² pixels or more; c < d and d >= 32 | the same, with map and result in each other's place |
| maps of 64² pixels or more; c = d >= 48 | the same |
| maps of 128² pixels or more; c = d | the same |
| else | XLA's own |

With a window of one pixel, the gradient of the kernel is taken band by band on maps of 128² pixels or more. All else,
and all on anything but a CPU, is XLA's own. The boundaries are where it was measured to pay (`benchmarks/RESULTS.md`).
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BAND_PIXELS = 8192
"""Pixels of a band; what is made of them stays in the caches."""

Padding = Literal["same", "valid"]

LARGE, MIDDLING = 128 * 128, 32 * 32
"""Pixels of the smallest map that is large, and of the smallest that is not small."""


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


def _side_by_side(pixels: int, window: Sequence[int], c: int, d: int) -> Literal["cotangent", "map"] | None:
    """Of which, map or cotangent, pixels are put side by side for the gradient of a kernel; of none: XLA's own."""
    if set(window) == {1}:
        return "cotangent" if pixels >= LARGE else None
    if c > d:
        return "cotangent" if pixels >= MIDDLING else None
    if c < d:
        return "map" if pixels >= MIDDLING and d >= 32 else None
    return "map" if pixels >= LARGE or (pixels >= 4 * MIDDLING and c >= 48) else None


def _gradient_of_kernel(x: Array, kernel: Array, cotangent: Array, padding: Padding) -> Array:
    *window, channels, features = kernel.shape
    before = [_around(size, padding)[0] for size in window]
    form = _side_by_side(x.shape[1] * x.shape[2], window, channels, features)
    if form == "cotangent":
        found = kernel_gradient(x, cotangent, window, before)
    elif form == "map":
        after = [size - 1 - b for size, b in zip(window, before, strict=True)]
        found = _turned(kernel_gradient(cotangent, x, window, after))
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
