"""Calls of the native kernels of `tinyunet-native`, on arrays of float32 on a CPU.

`tinyunet.layers.native` has the operations with their gradients, `tinyunet.layers.paths` says when they are used. The
maps and windows of a kernel always have three axes of space: those missing here come first.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


def convolve(
    x: Array,
    more: Array | None,
    kernel: Array,
    bias: Array,
    *,
    before: Sequence[int],
    moments: bool = False,
    relu: bool = False,
) -> tuple[Array, Array, Array]:
    """The convolution of one or two maps, with ReLU after it or not; its mean and variance, empty if not asked for.

    Args:
        x: Feature maps.
        more: Further channels of the same maps, or None.
        kernel: Weights for all channels.
        bias: Added to every pixel.
        before: Zeros before the first pixel, and after the last, along each axis of space.
        moments: Whether mean and variance are wanted.
        relu: Whether values below zero become zero.
    """
    space = [n + 2 * b - k + 1 for n, b, k in zip(x.shape[1:-1], before, kernel.shape, strict=False)]
    shape = (x.shape[0], *space, kernel.shape[-1])
    y, _, mean, variance = _call_convolve(
        _volume(x), _more(x, more), kernel, bias, shape, moments=moments, before=_axes(before, 0), relu=relu
    )
    return y.reshape(shape), mean, variance


def _call_convolve(
    x: Array,
    more: Array,
    kernel: Array,
    bias: Array | np.ndarray,
    shape: tuple[int, ...],
    *,
    others: int = 0,
    moments: bool = False,
    **attributes: Any,
) -> Sequence[Array]:
    """To a map of a shape and to another of so many further features, then mean and variance, empty or not."""
    result = _struct(shape)
    second = jax.ShapeDtypeStruct((*result.shape[:-1], others), jnp.float32)
    statistics = jax.ShapeDtypeStruct((shape[-1] if moments else 0,), jnp.float32)
    call = jax.ffi.ffi_call("tinyunet_convolve", (result, second, statistics, statistics), vmap_method="sequential")
    return call(x, more, _taps(kernel), bias, **(_PLAIN | {"turned": False, "relu": False} | attributes))


def convolve_gradients(
    x: Array, more: Array | None, kernel: Array, cotangent: Array, *, before: Sequence[int]
) -> tuple[Array, Array | None, Array, Array]:
    """The gradients of `convolve` without ReLU: of both maps, the kernel and the bias."""
    around = [k - 1 - b for k, b in zip(kernel.shape, before, strict=False)]
    y, others = _volume(cotangent), 0 if more is None else more.shape[-1]
    dx, dmore, *_ = _call_convolve(
        y, _more(y, None), kernel, _NOTHING, x.shape, others=others, before=_axes(around, 0), turned=True
    )
    dk, db = _kernel_gradients(_volume(x), _more(x, more), y, kernel.shape, before=_axes(before, 0))
    return dx.reshape(x.shape), None if more is None else dmore.reshape(more.shape), dk, db


def _kernel_gradients(
    x: Array, more: Array, cotangent: Array, shape: tuple[int, ...], **attributes: Any
) -> tuple[Array, Array]:
    taps = (1,) * (5 - len(shape)) + shape
    results = (jax.ShapeDtypeStruct(taps, jnp.float32), jax.ShapeDtypeStruct(cotangent.shape[-1:], jnp.float32))
    call = jax.ffi.ffi_call("tinyunet_kernel_gradient", results, vmap_method="sequential")
    dk, db = call(x, more, cotangent, **(_PLAIN | attributes))
    return dk.reshape(shape), db


def normalise(
    y: Array, mean: Array, scale: Array, shift: Array, pool: Sequence[int] | None
) -> tuple[Array, Array | None]:
    """max(0, (y - mean) scale + shift), and its maximum over windows of `pool`, or None."""
    shape = (
        None if pool is None else (y.shape[0], *(n // p for n, p in zip(y.shape[1:-1], pool, strict=True)), y.shape[-1])
    )
    pooled_to = jax.ShapeDtypeStruct((0,), jnp.float32) if shape is None else _struct(shape)
    call = jax.ffi.ffi_call("tinyunet_normalise", (_struct(y.shape), pooled_to), vmap_method="sequential")
    z, pooled = call(_volume(y), mean, scale, shift, window=_axes(pool or (), 1))
    return z.reshape(y.shape), None if shape is None else pooled.reshape(shape)


def normalise_gradients(
    y: Array,
    mean: Array,
    scale: Array,
    shift: Array,
    r: Array,
    cotangent: Array,
    pooled: Array | None,
    pool: Sequence[int] | None,
) -> Sequence[Array]:
    """The gradients of `normalise`: of y, of the normalisation's scale and of its shift.

    Args:
        y: What was normalised.
        mean: Of y.
        scale: As `normalise` took it, r included.
        shift: As `normalise` took it.
        r: 1 / sqrt(variance + epsilon).
        cotangent: Of the result.
        pooled: Cotangent of the pooled result, or None.
        pool: Its window.
    """
    vector = jax.ShapeDtypeStruct(mean.shape, jnp.float32)
    call = jax.ffi.ffi_call("tinyunet_normalise_gradient", (_struct(y.shape), vector, vector), vmap_method="sequential")
    share = _NOTHING if pooled is None else _volume(pooled)
    dy, dscale, dshift = call(_volume(y), mean, scale, shift, r, _volume(cotangent), share, window=_axes(pool or (), 1))
    return dy.reshape(y.shape), dscale, dshift


def spread(x: Array, kernel: Array, bias: Array) -> Array:
    """Every pixel becomes a block: pixels side by side in a row of the block are channels side by side."""
    *window, _, features = kernel.shape
    volume, stride = _volume(x), _axes((*window[:-1], 1), 1)
    y, *_ = _call_convolve(
        volume,
        _more(x, None),
        kernel,
        jnp.tile(bias, window[-1]),
        _in_rows(volume, stride, window[-1] * features),
        stride=stride,
        spread=True,
        blocks=True,
    )
    return y.reshape(x.shape[0], *(n * s for n, s in zip(x.shape[1:-1], window, strict=True)), features)


def spread_gradients(cotangent: Array, x: Array, kernel: Array, bias: Array) -> tuple[Array, Array, Array]:
    """The gradients of `spread`: of the map, the kernel and the bias."""
    *window, _, features = kernel.shape
    volume, stride = _volume(x), _axes((*window[:-1], 1), 1)
    blocks = cotangent.reshape(_in_rows(volume, stride, window[-1] * features))
    dx, *_ = _call_convolve(
        blocks, _more(blocks, None), kernel, _NOTHING, volume.shape, stride=stride, turned=True, blocks=True
    )
    dk, dbias = _kernel_gradients(volume, _more(x, None), blocks, kernel.shape, stride=stride, spread=True, blocks=True)
    return dx.reshape(x.shape), dk, dbias.reshape(window[-1], features).sum(0)


def _in_rows(volume: Array, stride: np.ndarray, channels: int) -> tuple[int, ...]:
    """The shape of a fine map whose blocks are one pixel wide."""
    return (volume.shape[0], *(n * s for n, s in zip(volume.shape[1:-1], stride.tolist(), strict=True)), channels)


_NOTHING = np.zeros(0, np.float32)


def _struct(shape: Sequence[int]) -> jax.ShapeDtypeStruct:
    *space, channels = shape[1:]
    return jax.ShapeDtypeStruct((shape[0], *(1,) * (3 - len(space)), *space, channels), jnp.float32)


def _volume(x: Array) -> Array:
    return x.reshape(_struct(x.shape).shape)


def _taps(kernel: Array) -> Array:
    return kernel.reshape((1,) * (5 - kernel.ndim) + kernel.shape)


def _more(x: Array, more: Array | None) -> Array:
    """The second source of a convolution; without one, of no channels."""
    return jnp.zeros((*_struct(x.shape).shape[:-1], 0), jnp.float32) if more is None else _volume(more)


def _axes(values: Sequence[int], missing: int) -> np.ndarray:
    return np.array([missing] * (3 - len(values)) + list(values), np.int64)


_PLAIN = {"before": _axes((), 0), "stride": _axes((), 1), "spread": False, "blocks": False}
"""The attributes of an ordinary convolution."""
