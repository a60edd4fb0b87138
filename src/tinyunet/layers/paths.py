"""Which path computes an operation: the kernels of `tinyunet-native`, where that package is installed, or XLA.

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
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

Stock = Callable[..., Any]
"""The same operation in XLA, with the same arguments."""


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


def choose(native: Callable[..., Any], stock: Stock, *arrays: Any, takes: str, gives: str) -> Any:
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


def are_divided() -> bool:
    """Whether batches are, by `divided_over`.

    Example:
        >>> are_divided()
        False
    """
    return _mesh.get() is not None


def total(part: Array) -> Array:
    """The sum over all devices of what each has summed over its part of the batch."""
    mesh = _mesh.get()
    return part if mesh is None else jax.lax.psum(part, mesh.axis_names)


def mean(part: Array) -> Array:
    """The mean over all devices, whose parts are of one size."""
    mesh = _mesh.get()
    return part if mesh is None else jax.lax.pmean(part, mesh.axis_names)
