"""JAX's compilation cache in the user's cache folder: what was compiled once is read the next time."""

import hashlib
import os
import platform
from pathlib import Path

import jax
import platformdirs

from tinyunet import __version__


def use_compilation_cache() -> Path | None:
    """Turns the cache on for this process.

    The folder is that of this version, this version of JAX and this processor, since compiled programs fit no other;
    only the user may read it. Where it cannot be made nothing is cached.

    Returns:
        The folder, or None.
    """
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:8]
    name = f"{__version__}-jax{jax.__version__}-{platform.machine()}-{processor}"
    folder = Path(platformdirs.user_cache_dir("tinyunet", appauthor=False)) / "compiled" / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def _processor() -> str:
    """What tells this processor from another: on Linux its model and features, elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))
