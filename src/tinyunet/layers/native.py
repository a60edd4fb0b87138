"""The network's operations by kernels of our own, with their gradients.

`tinyunet.layers.paths` says where they are used; values and gradients are those of XLA within float32 rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tinyunet.layers import kernels, paths

Arrays = tuple[Any, ...]
"""Arrays, or None where there is none."""


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolve(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    padding: str,
    stock: paths.Stock,
) -> Float[Array, "b *out d"]:
    """`tinyunet.layers.conv.convolve`, which see.

    Args:
        x: Feature maps.
        more: Further channels of the same maps, after those of x, or None.
        kernel: Weights for all channels.
        bias: Added to every pixel.
        padding: `same` or `valid`.
        stock: (x, more, kernel, bias) to the result, for where a program is lowered for another backend after all.
    """
    native = partial(kernels.convolve, before=_before(kernel, padding))
    return paths.choose(lambda *a: native(*a)[0], stock, x, more, kernel, bias, takes="mmww", gives="m")


def _convolve_fwd(
    x: Array, more: Array | None, kernel: Array, bias: Array, padding: str, stock: paths.Stock
) -> tuple[Array, Arrays]:
    return convolve(x, more, kernel, bias, padding, stock), (x, more, kernel, bias)


def _convolve_bwd(padding: str, stock: paths.Stock, saved: Arrays, cotangent: Array) -> Arrays:
    def native(cotangent: Array, x: Array, more: Array | None, kernel: Array, bias: Array) -> Arrays:
        return _convolve_gradients(x, more, kernel, cotangent, padding)

    return paths.choose(native, _gradients_of(stock), cotangent, *saved, takes="mmmww", gives="mmww")


convolve.defvjp(_convolve_fwd, _convolve_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(6, 7, 8, 9))
def convolve_normalise(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    scale: Float[Array, " d"],
    shift: Float[Array, " d"],
    padding: str,
    epsilon: float,
    pool: tuple[int, ...] | None,
    stock: paths.Stock,
) -> tuple[Float[Array, "b *out d"], Float[Array, "b *pooled d"] | None, Float[Array, " d"], Float[Array, " d"]]:
    """Convolution, batch normalisation by this batch's statistics, ReLU, and max-pooling.

        y = convolve(x),  z = max(0, (y - mean) / sqrt(var + epsilon) scale + shift),  pooled = max_pool(z)

    Args:
        x: Feature maps.
        more: Further channels of the same maps, after those of x, or None.
        kernel: Weights for all channels.
        bias: Of the convolution.
        scale: Of the normalisation.
        shift: Of the normalisation.
        padding: `same` or `valid`.
        epsilon: Added to the variance.
        pool: Window of the pooling along each axis, or None: no pooling.
        stock: (x, more, kernel, bias, scale, shift) to the same result, as for `convolve`.

    Returns:
        z; pooled, or None; mean and variance of y, through which no gradient flows: the running averages take none.
    """
    return _forward(x, more, kernel, bias, scale, shift, padding, epsilon, pool, stock)[:4]


def _forward(
    x: Array,
    more: Array | None,
    kernel: Array,
    bias: Array,
    scale: Array,
    shift: Array,
    padding: str,
    epsilon: float,
    pool: tuple[int, ...] | None,
    stock: paths.Stock,
) -> Arrays:
    """The result, and y."""

    def native(
        x: Array, more: Array | None, kernel: Array, bias: Array, scale: Array, shift: Array
    ) -> tuple[Array | None, ...]:
        y, mean, variance = kernels.convolve(x, more, kernel, bias, before=_before(kernel, padding), moments=True)
        if paths.are_divided():
            mean, square = paths.mean(mean), paths.mean(variance + mean * mean)
            variance = jnp.maximum(0.0, square - mean * mean)
        return *kernels.normalise(y, mean, scale * jax.lax.rsqrt(variance + epsilon), shift, pool), mean, variance, y

    def by_stock(*arrays: Array | None) -> tuple[Array | None, ...]:
        y = jax.eval_shape(lambda *a: kernels.convolve(*a[:4], before=_before(kernel, padding))[0], *arrays)
        return *stock(*arrays), jnp.zeros(y.shape, y.dtype)  # which this path does not need

    return paths.choose(native, by_stock, x, more, kernel, bias, scale, shift, takes="mmwwww", gives="mmwwm")


def _convolve_normalise_fwd(*arguments: Any) -> tuple[Arrays, Arrays]:
    *result, y = _forward(*arguments)
    return tuple(result), (*arguments[:6], y, *result[2:])


def _convolve_normalise_bwd(
    padding: str, epsilon: float, pool: tuple[int, ...] | None, stock: paths.Stock, saved: Arrays, cotangents: Arrays
) -> Arrays:
    def native(z: Array, pooled: Array | None, *saved: Any) -> Arrays:
        x, more, kernel, _, scale, shift, y, mean, variance = saved
        r = jax.lax.rsqrt(variance + epsilon)
        dy, dscale, dshift = kernels.normalise_gradients(y, mean, scale * r, shift, r, z, pooled, pool)
        if paths.are_divided():
            # The kernel has taken the means of g and of g x over this part of the batch: take them over all of it.
            #     dy = scale r (g - mean(g) - x mean(g x)),    x = (y - mean) r
            pixels = y.size / y.shape[-1]
            surplus, steeper = ((part - paths.mean(part)) / pixels for part in (dshift, dscale))
            dy = dy + scale * r * (surplus + (y - mean) * r * steeper)
        dscale, dshift = paths.total(dscale), paths.total(dshift)
        return *_convolve_gradients(x, more, kernel, dy, padding), dscale, dshift

    def by_stock(z: Array, pooled: Array | None, *saved: Any) -> Arrays:
        return _gradients_of(lambda *arrays: stock(*arrays)[:2])((z, pooled), *saved[:6])

    return paths.choose(native, by_stock, *cotangents[:2], *saved, takes="mmmmwwwwmww", gives="mmwwww")


convolve_normalise.defvjp(_convolve_normalise_fwd, _convolve_normalise_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolve_relu(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    padding: str,
    stock: paths.Stock,
) -> Float[Array, "b *out d"]:
    """`convolve`, then ReLU; the gradients are XLA's."""
    native = partial(kernels.convolve, before=_before(kernel, padding), relu=True)
    return paths.choose(lambda *arrays: native(*arrays)[0], stock, x, more, kernel, bias, takes="mmww", gives="m")


def _convolve_relu_fwd(
    x: Array, more: Array | None, kernel: Array, bias: Array, padding: str, stock: paths.Stock
) -> tuple[Array, Arrays]:
    return convolve_relu(x, more, kernel, bias, padding, stock), (x, more, kernel, bias)


def _convolve_relu_bwd(padding: str, stock: paths.Stock, saved: Arrays, cotangent: Array) -> Arrays:
    return _gradients_of(stock)(cotangent, *saved)


convolve_relu.defvjp(_convolve_relu_fwd, _convolve_relu_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def conv_transpose(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], bias: Float[Array, " d"], stock: paths.Stock
) -> Float[Array, "b *fine d"]:
    """`tinyunet.layers.upsample.conv_transpose`, which see.

    Args:
        x: Feature maps.
        kernel: Weights, turned over as stored.
        bias: Added to every pixel.
        stock: (x, kernel, bias) to the result, as for `convolve`.
    """
    return paths.choose(kernels.spread, stock, x, kernel, bias, takes="mww", gives="m")


def _conv_transpose_fwd(x: Array, kernel: Array, bias: Array, stock: paths.Stock) -> tuple[Array, Arrays]:
    return conv_transpose(x, kernel, bias, stock), (x, kernel, bias)


def _conv_transpose_bwd(stock: paths.Stock, saved: Arrays, cotangent: Array) -> Arrays:
    def native(*arrays: Array) -> Arrays:
        dx, dk, dbias = kernels.spread_gradients(*arrays)
        return dx, paths.total(dk), paths.total(dbias)

    return paths.choose(native, _gradients_of(stock), cotangent, *saved, takes="mmww", gives="mww")


conv_transpose.defvjp(_conv_transpose_fwd, _conv_transpose_bwd)


def _convolve_gradients(x: Array, more: Array | None, kernel: Array, cotangent: Array, padding: str) -> Arrays:
    """Of both maps, the kernel and the bias."""
    *maps, dk, db = kernels.convolve_gradients(x, more, kernel, cotangent, before=_before(kernel, padding))
    return *maps, paths.total(dk), paths.total(db)


def _gradients_of(stock: paths.Stock) -> Callable[..., Any]:
    """(cotangent, arrays) to the gradients of all arrays."""
    return lambda cotangent, *arrays: jax.vjp(stock, *arrays)[1](cotangent)


def _before(kernel: Array, padding: str) -> tuple[int, ...]:
    """Zeros before the first pixel, and after the last, along each axis of space."""
    return tuple((size - 1) // 2 if padding == "same" else 0 for size in kernel.shape[:-2])
