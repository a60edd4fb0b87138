import os
import resource
import sys

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
