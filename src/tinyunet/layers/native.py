"""The network's operations by kernels of our own on a CPU, where the package `tinyunet-native` is installed.

Which path computes what:

| operation, on a CPU and in float32 | with tinyunet-native | without |
| --- | --- | --- |
| convolution with a window of 1 or 3 pixels along each axis | native | XLA |
| the same, then batch normalisation and ReLU, and max-pooling after that | native, as one | XLA |
| transposed convolution | native | XLA |
| everything else | XLA | XLA |

On any other backend, and in bfloat16, all is XLA's. Values and gradients are those of XLA within float32 rounding.
`TINYUNET_NATIVE=off` in the environment turns the kernels off, and so does `without_kernels` for what is traced in it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from tinyunet.layers import kernels

Stock = Callable[..., Any]
"""The same operation in XLA, with the same arguments."""

Arrays = tuple[Any, ...]
"""Arrays, or None where there is none."""


@cache
def instruction_set() -> str | None:
    """What the native kernels run on, such as `avx512`; None where they are not installed or turned off."""
    if os.environ.get("TINYUNET_NATIVE") == "off":
        return None
    try:
        import tinyunet_native
    except ImportError:
        return None
    return str(tinyunet_native.load())


_turned_off = ContextVar("_turned_off", default=False)


@contextmanager
def without_kernels() -> Iterator[None]:
    """What is traced inside is computed by XLA alone, as if the kernels were not installed.

    A function that `jax.jit` has compiled already stays as it is: give `jax.jit` a function of its own.

    Example:
        >>> with without_kernels():
        ...     covers(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)), "same")
        False
    """
    before = _turned_off.set(True)
    try:
        yield
    finally:
        _turned_off.reset(before)


_this_processor = ContextVar("_this_processor", default=False)


@contextmanager
def for_this_processor() -> Iterator[None]:
    """A context in which programs are traced that no other back end will ever be asked to run.

    Otherwise XLA's form of every operation of the kernels is traced too, should the program be lowered for another back
    end after all, as `jax.export` can: that takes a second or two for a training step.

    Example:
        >>> from tinyunet.layers import conv
        >>> with for_this_processor():
        ...     program = jax.make_jaxpr(lambda *arrays: conv.convolve(*arrays))(
        ...         jnp.ones((2, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), jnp.zeros(1)
        ...     )
        >>> "platform_index" in str(program)
        False
    """
    before = _this_processor.set(True)
    try:
        yield
    finally:
        _this_processor.reset(before)


_mesh: ContextVar[Mesh | None] = ContextVar("mesh", default=None)


@contextmanager
def divided_over(mesh: Mesh) -> Iterator[None]:
    """A context in which programs are traced whose batches are divided over the only axis of a mesh.

    XLA divides its own operations by itself, but cannot cut a call of ours in parts: each device then calls the kernels
    with its part, and sums over the batch are added up here.

    Example:
        >>> import numpy as np
        >>> from tinyunet.layers import conv
        >>> with divided_over(Mesh(np.array(jax.devices()), ("batch",))):
        ...     jax.jit(conv.convolve)(jnp.ones((2, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), jnp.zeros(1)).shape
        (2, 4, 4, 1)
    """
    before = _mesh.set(mesh)
    try:
        yield
    finally:
        _mesh.reset(before)


def covers(x: Array, kernel: Array, padding: str | None) -> bool:
    """Whether the kernels compute the convolution of a map: see the table above.

    Args:
        x: The map.
        kernel: With its window first.
        padding: `same` or `valid`; None asks for the transposed convolution.

    Example:
        >>> covers(jnp.zeros((1, 4, 4, 2), jnp.bfloat16), jnp.zeros((3, 3, 2, 2), jnp.bfloat16), "same")
        False
    """
    window, space = kernel.shape[:-2], x.shape[1:-1]
    return (
        x.dtype == kernel.dtype == jnp.float32
        and 1 <= len(window) <= 3
        and set(window) <= ({1, 2} if padding is None else {1, 3})
        and 0 not in (*x.shape, *kernel.shape)
        and (padding != "valid" or all(n >= k for n, k in zip(space, window, strict=True)))
        and jax.default_backend() == "cpu"
        and not _turned_off.get()
        and instruction_set() is not None
    )


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolve(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    padding: str,
    stock: Stock,
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
    return _choose(lambda *a: native(*a)[0], stock, x, more, kernel, bias, takes="mmww", gives="m")


def _convolve_fwd(
    x: Array, more: Array | None, kernel: Array, bias: Array, padding: str, stock: Stock
) -> tuple[Array, Arrays]:
    return convolve(x, more, kernel, bias, padding, stock), (x, more, kernel, bias)


def _convolve_bwd(padding: str, stock: Stock, saved: Arrays, cotangent: Array) -> Arrays:
    def native(cotangent: Array, x: Array, more: Array | None, kernel: Array, bias: Array) -> Arrays:
        return _convolve_gradients(x, more, kernel, cotangent, padding)

    return _choose(native, _gradients_of(stock), cotangent, *saved, takes="mmmww", gives="mmww")


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
    stock: Stock,
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
    stock: Stock,
) -> Arrays:
    """The result, and y."""

    def native(
        x: Array, more: Array | None, kernel: Array, bias: Array, scale: Array, shift: Array
    ) -> tuple[Array | None, ...]:
        y, mean, variance = kernels.convolve(x, more, kernel, bias, before=_before(kernel, padding), moments=True)
        if _mesh.get() is not None:
            mean, square = _mean(mean), _mean(variance + mean * mean)
            variance = jnp.maximum(0.0, square - mean * mean)
        return *kernels.normalise(y, mean, scale * jax.lax.rsqrt(variance + epsilon), shift, pool), mean, variance, y

    def by_stock(*arrays: Array | None) -> tuple[Array | None, ...]:
        y = jax.eval_shape(lambda *a: kernels.convolve(*a[:4], before=_before(kernel, padding))[0], *arrays)
        return *stock(*arrays), jnp.zeros(y.shape, y.dtype)  # which this path does not need

    return _choose(native, by_stock, x, more, kernel, bias, scale, shift, takes="mmwwww", gives="mmwwm")


def _convolve_normalise_fwd(*arguments: Any) -> tuple[Arrays, Arrays]:
    *result, y = _forward(*arguments)
    return tuple(result), (*arguments[:6], y, *result[2:])


def _convolve_normalise_bwd(
    padding: str, epsilon: float, pool: tuple[int, ...] | None, stock: Stock, saved: Arrays, cotangents: Arrays
) -> Arrays:
    def native(z: Array, pooled: Array | None, *saved: Any) -> Arrays:
        x, more, kernel, _, scale, shift, y, mean, variance = saved
        r = jax.lax.rsqrt(variance + epsilon)
        dy, dscale, dshift = kernels.normalise_gradients(y, mean, scale * r, shift, r, z, pooled, pool)
        if _mesh.get() is not None:
            # The kernel has taken the means of g and of g x over this part of the batch: take them over all of it.
            #     dy = scale r (g - mean(g) - x mean(g x)),    x = (y - mean) r
            pixels = y.size / y.shape[-1]
            surplus, steeper = ((part - _mean(part)) / pixels for part in (dshift, dscale))
            dy = dy + scale * r * (surplus + (y - mean) * r * steeper)
        dscale, dshift = _total(dscale), _total(dshift)
        return *_convolve_gradients(x, more, kernel, dy, padding), dscale, dshift

    def by_stock(z: Array, pooled: Array | None, *saved: Any) -> Arrays:
        return _gradients_of(lambda *arrays: stock(*arrays)[:2])((z, pooled), *saved[:6])

    return _choose(native, by_stock, *cotangents[:2], *saved, takes="mmmmwwwwmww", gives="mmwwww")


convolve_normalise.defvjp(_convolve_normalise_fwd, _convolve_normalise_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def convolve_relu(
    x: Float[Array, "b *space c"],
    more: Float[Array, "b *space e"] | None,
    kernel: Float[Array, "*window f d"],
    bias: Float[Array, " d"],
    padding: str,
    stock: Stock,
) -> Float[Array, "b *out d"]:
    """`convolve`, then ReLU; the gradients are XLA's."""
    native = partial(kernels.convolve, before=_before(kernel, padding), relu=True)
    return _choose(lambda *arrays: native(*arrays)[0], stock, x, more, kernel, bias, takes="mmww", gives="m")


def _convolve_relu_fwd(
    x: Array, more: Array | None, kernel: Array, bias: Array, padding: str, stock: Stock
) -> tuple[Array, Arrays]:
    return convolve_relu(x, more, kernel, bias, padding, stock), (x, more, kernel, bias)


def _convolve_relu_bwd(padding: str, stock: Stock, saved: Arrays, cotangent: Array) -> Arrays:
    return _gradients_of(stock)(cotangent, *saved)


convolve_relu.defvjp(_convolve_relu_fwd, _convolve_relu_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def conv_transpose(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], bias: Float[Array, " d"], stock: Stock
) -> Float[Array, "b *fine d"]:
    """`tinyunet.layers.upsample.conv_transpose`, which see.

    Args:
        x: Feature maps.
        kernel: Weights, turned over as stored.
        bias: Added to every pixel.
        stock: (x, kernel, bias) to the result, as for `convolve`.
    """
    return _choose(kernels.spread, stock, x, kernel, bias, takes="mww", gives="m")


def _conv_transpose_fwd(x: Array, kernel: Array, bias: Array, stock: Stock) -> tuple[Array, Arrays]:
    return conv_transpose(x, kernel, bias, stock), (x, kernel, bias)


def _conv_transpose_bwd(stock: Stock, saved: Arrays, cotangent: Array) -> Arrays:
    def native(*arrays: Array) -> Arrays:
        dx, dk, dbias = kernels.spread_gradients(*arrays)
        return dx, _total(dk), _total(dbias)

    return _choose(native, _gradients_of(stock), cotangent, *saved, takes="mmww", gives="mww")


conv_transpose.defvjp(_conv_transpose_fwd, _conv_transpose_bwd)


def _choose(native: Callable[..., Any], stock: Stock, *arrays: Any, takes: str, gives: str) -> Any:
    """The kernels' result on a CPU, XLA's elsewhere.

    Args:
        native: Calls kernels.
        stock: The same by XLA.
        arrays: Arguments of both.
        takes: For each of them `m`, a map with a batch that may be divided, or `w`, which every device has as a whole.
        gives: Of the results, likewise.
    """
    if (mesh := _mesh.get()) is not None:
        kinds = {"m": PartitionSpec(*mesh.axis_names), "w": PartitionSpec()}
        results = tuple(kinds[kind] for kind in gives)
        native = jax.shard_map(
            native,
            mesh=mesh,
            in_specs=tuple(kinds[kind] for kind in takes),
            out_specs=results if len(results) > 1 else results[0],
            check_vma=False,
        )
    if _this_processor.get():
        return native(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=native, default=stock)


def _convolve_gradients(x: Array, more: Array | None, kernel: Array, cotangent: Array, padding: str) -> Arrays:
    """Of both maps, the kernel and the bias."""
    *maps, dk, db = kernels.convolve_gradients(x, more, kernel, cotangent, before=_before(kernel, padding))
    return *maps, _total(dk), _total(db)


def _total(part: Array) -> Array:
    """The sum over all devices of what each has summed over its part of the batch."""
    mesh = _mesh.get()
    return part if mesh is None else jax.lax.psum(part, mesh.axis_names)


def _mean(part: Array) -> Array:
    """The mean over all devices, whose parts are of one size."""
    mesh = _mesh.get()
    return part if mesh is None else jax.lax.pmean(part, mesh.axis_names)


def _gradients_of(stock: Stock) -> Callable[..., Any]:
    """(cotangent, arrays) to the gradients of all arrays."""
    return lambda cotangent, *arrays: jax.vjp(stock, *arrays)[1](cotangent)


def _before(kernel: Array, padding: str) -> tuple[int, ...]:
    """Zeros before the first pixel, and after the last, along each axis of space."""
    return tuple((size - 1) // 2 if padding == "same" else 0 for size in kernel.shape[:-2])
