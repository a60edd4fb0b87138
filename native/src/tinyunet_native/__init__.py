"""The U-Net's convolutions for the CPU, as targets of XLA's foreign function interface."""

import ctypes
import functools
from pathlib import Path

import jax

TARGETS = (
    "tinyunet_convolve",
    "tinyunet_kernel_gradient",
    "tinyunet_normalise",
    "tinyunet_normalise_gradient",
)
"""The names under which XLA knows the functions, those of the library's symbols."""


@functools.cache
def load() -> str:
    """Loads the library and registers its functions with XLA, once in a process.

    Returns:
        The instruction set that the kernels use: `avx512`, `avx2` or `baseline`.

    Raises:
        OSError: The library cannot be loaded.
    """
    library = ctypes.CDLL(str(Path(__file__).parent / "libtinyunet_native.so"))
    for target in TARGETS:
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(library, target)), platform="cpu")
    library.tinyunet_instruction_set.restype = ctypes.c_char_p
    return str(library.tinyunet_instruction_set().decode())
