"""How the programs of a network are compiled, by the kind of device."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

CARD_OPTIONS = {
    "xla_gpu_deterministic_ops": True,
    "xla_gpu_enable_triton_gemm": False,
    "xla_gpu_experimental_enable_fusion_autotuner": False,
}
"""For graphics cards: the same bits from every process, products of matrices by the vendor's library.

By default XLA measures which of many programs is fastest, for each convolution, each product of matrices and each loop.
Which one wins differs from one process to the next, and so do the bits of a training. And it takes its time: a step has
about a hundred products, most of them the optimiser's and tiny. The first step of the default network came after 73 s
with convolutions measured, after 17 s so (H200, JAX 0.11.2), and after three minutes as XLA comes (H100).
"""

QUICK_OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""For a processor's programs that run once: without optimisation, and by the older emitters, which take half the time.

What initialises the default network is compiled in 1.8 s, by the newer emitters in 3.4 s (two cores of an AMD EPYC,
JAX 0.10.2).
"""


def compiler_options(platform: str) -> dict[str, int] | None:
    """How programs are compiled for a kind of device, as `jax.jit` takes it.

    Args:
        platform: As `jax.Device.platform`.

    Example:
        >>> compiler_options("cpu")
    """
    return accepted(CARD_OPTIONS) if platform == "gpu" else None


def accepted(options: Mapping[str, int]) -> dict[str, int]:
    """Those options that this version of the compiler has: they come and go.

    Example:
        >>> accepted({"xla_backend_extra_nonsense": True})
        {}
    """
    return {name: value for name, value in options.items() if _is_accepted(name, value)}


@functools.cache
def _is_accepted(name: str, value: int) -> bool:
    try:
        jax.jit(lambda x: x, compiler_options={name: value}).lower(jnp.float32(0)).compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
