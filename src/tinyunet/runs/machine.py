"""What a process may ask of the machine it runs on, the same on Linux, macOS and Windows."""

import os
import sys

import psutil


def cores() -> int:
    """Cores this process may use.

    Example:
        >>> cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def installed_memory() -> int:
    """Bytes of memory the machine has, free or not.

    Example:
        >>> installed_memory() > 2**28
        True
    """
    return int(psutil.virtual_memory().total)


def peak_memory() -> int:
    """The most bytes of memory this process has ever held.

    Example:
        >>> peak_memory() > 2**20
        True
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts KiB
