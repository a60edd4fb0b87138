import ctypes
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyunet.runs.machine import cores, installed_memory, peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="sysconf knows the pages of memory on Linux")
def test_the_memory_is_that_of_the_machine():
    assert installed_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.skipif(sys.platform != "linux", reason="counts KiB on Linux alone")
def test_the_peak_is_counted_in_bytes_and_never_falls():
    before = peak_memory()
    assert before <= 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = np.ones(2**24)
    held = peak_memory()
    assert held >= block.nbytes
    del block
    assert peak_memory() >= held >= before


def test_the_cores_are_those_the_process_may_use():
    assert 1 <= cores() <= (os.cpu_count() or 1)


FAULTS = """
import resource, sys
from tinyunet.runs.machine import keep_memory
changed = keep_memory() if sys.argv[1] == "keep" else False
import ctypes
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def once():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
once()
print(int(changed), once())
"""


def faults_of_a_block(mode, **environment):
    command = [sys.executable, "-c", FAULTS, mode]
    answer = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    changed, faults = map(int, answer.stdout.split())
    return bool(changed), faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
def test_memory_that_is_kept_is_not_fetched_again(monkeypatch):
    for name in ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    changed, faults = faults_of_a_block("keep")
    assert changed
    assert faults < 10
    changed, faults = faults_of_a_block("leave")
    assert not changed
    assert faults > 20  # 2^14 pages of 4 KiB, or 32 of 2 MiB
    changed, _ = faults_of_a_block("keep", MALLOC_ARENA_MAX="4")
    assert not changed  # the user has said something else


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such settings")
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this system has small pages alone"
)
def test_large_pages_are_asked_for_what_the_heap_grows_into(monkeypatch):
    for name in ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    code = (
        "from tinyunet.runs.machine import keep_memory, peak_memory\n"
        "before = peak_memory(); keep_memory(); print(peak_memory() - before)\n"
        "parts = open('/proc/self/smaps').read().split('\\nVmFlags:')\n"
        "for text, flags in zip(parts, parts[1:]):\n"
        "    if '[heap]' in text and 'hg' in flags.splitlines()[0].split():\n"
        "        print(text[text.rindex('\\nSize:'):].split()[1])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    used, *sizes = map(int, answer.stdout.split())
    assert used < 2**22  # addresses, no memory
    assert max(sizes) >= 2**20  # KiB


PIECES = """
import ctypes, sys
from tinyunet.runs.machine import keep_memory, set_pieces_aside
if sys.argv[1] == "keep":
    assert keep_memory()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
large = library.malloc(2**26)
pieces = [library.malloc(10_000 + 37 * n) for n in range(2000)]
library.malloc(2**10)  # what stays behind the last keeps it apart from the end of the heap
for block in (large, *pieces[::2]):
    library.free(block)
first, second = set_pieces_aside(), set_pieces_aside()
print(first, second, int(library.malloc(2**26) == large))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library tells nothing of its pieces")
def test_small_pieces_of_free_memory_are_taken_and_large_blocks_stay(monkeypatch):
    for name in ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)

    def taken(mode):
        command = [sys.executable, "-c", PIECES, mode]
        return [int(n) for n in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]

    first, second, stayed = taken("keep")
    freed = sum(10_000 + 37 * n for n in range(0, 2000, 2))
    assert 0.8 * freed < first < 1.2 * freed
    assert second < 0.1 * first
    assert stayed
    assert taken("leave")[:2] == [0, 0]
