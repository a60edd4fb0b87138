"""What a process may ask of the machine it runs on, the same on Linux, macOS and Windows."""

import ctypes
import mmap
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


_MALLOC_SETTINGS = ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
_HEAP_BYTES = 3 * 2**29
"""Of addresses, not of memory, for which large pages are asked; what a default training holds fits."""


def keep_memory() -> bool:
    """Lets this process keep the memory it frees, in large pages, so that the next training step has it at once.

    Every step of a program asks for its few hundred megabytes and frees them again. The C library gives blocks of that
    size back to the system, which clears them page by page at the next step: up to a third of a step's time. Afterwards
    the process holds some hundred megabytes more. Linux is asked for pages of 2 MiB in place of 4 KiB, where it has
    them, since to look up where so many small ones are takes up to a quarter of the time on large maps.

    Only with glibc, and only before anything large is imported: threads that exist already go on as they did. What the
    environment says of the C library's memory is left alone.

    Returns:
        Whether anything was changed.

    References:
        mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD; madvise(2): MADV_HUGEPAGE.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _MALLOC_SETTINGS):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):  # another C library
        return False
    arena_max, mmap_threshold, trim_threshold = -8, -3, -1
    settings = ((arena_max, 1), (mmap_threshold, 2**31 - 1), (trim_threshold, 2**31 - 1))
    if sum(library.mallopt(setting, value) for setting, value in settings) < len(settings):
        return False
    library.sbrk.restype, library.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    _ask_for_large_pages(library)
    _keeping[:] = [library]
    return True


_keeping: list[ctypes.CDLL] = []
"""The C library, once it keeps the memory of this process."""


def _ask_for_large_pages(library: ctypes.CDLL) -> None:
    """For the addresses that the heap of the C library grows into; a system that has none says no, and nothing is lost.

    The heap is made to reserve the addresses, by a block that is freed untouched, since it grows piece by piece and a
    piece is not what was asked for before it.
    """
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    begin = library.sbrk(0)
    library.free(library.malloc(_HEAP_BYTES))
    end = library.sbrk(0)
    begin += -begin % mmap.PAGESIZE
    if end > begin:
        library.madvise(begin, end - begin, mmap.MADV_HUGEPAGE)


_SMALLEST_PIECE, _LARGEST_PIECE, _LARGEST_BLOCK = 2**13, 2**20, 2**29


class _MemoryInfo(ctypes.Structure):
    """What mallinfo2(3) gives."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names)


def set_pieces_aside() -> int:
    """Takes the free pieces of memory between 8 KiB and 1 MiB from the C library, so that it need not search them.

    Compiling leaves tens of thousands of pieces of as many sizes, scattered over the memory. To find the one that fits
    best, the C library goes through lists of them at every request, while other threads wait for their turn: by XLA
    alone, where every product of matrices asks for memory, up to a quarter of a step. What is taken is never used
    again; larger blocks are left as they are. To be called once, after a step is compiled, and while no large block is
    freed: what joins the end of the heap meanwhile is taken for pieces.

    Returns:
        Bytes taken; 0 where `keep_memory` has changed nothing, or the C library does not tell where its heap ends.

    References:
        mallinfo(3).
    """
    if not _keeping or not hasattr(_keeping[0], "mallinfo2"):
        return 0
    (library,) = _keeping
    library.mallinfo2.restype = _MemoryInfo
    library.malloc_usable_size.argtypes = [ctypes.c_void_p]
    library.malloc_usable_size.restype = ctypes.c_size_t
    top = library.sbrk(0) - library.mallinfo2().keepcost  # from here on the heap is one block, which is not for this

    # Of a large block all is given back, also what is left of it behind the size that was asked for.
    large: list[int] = []
    ends: set[int] = set()
    taken, size = 0, float(_LARGEST_BLOCK)
    while size >= _SMALLEST_PIECE:
        block = library.malloc(int(size))
        if block is None or block >= top:
            library.free(block)
            size /= 1.1
        elif size >= _LARGEST_PIECE or block in ends:
            large.append(block)
            ends.add(block + library.malloc_usable_size(block) + ctypes.sizeof(ctypes.c_size_t))
        else:
            taken += int(size)
    for block in large:
        library.free(block)
    return taken
