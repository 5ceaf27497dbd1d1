"""Memory of the C allocator. Imported by whoever starts heavy work on a CPU."""

from __future__ import annotations

import ctypes
import functools
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt
KEEP_BYTES = 2**30


@functools.cache
def keep_large_buffers() -> bool:
    """Let the allocator keep freed buffers of up to 1 GB for the next one; True where that could be set (glibc).

    By default every activation of more than a few megabytes is fresh memory from the kernel, whose page faults cost
    more than the matrix products: a training step of the nano transformer is several times faster with this.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(name, KEEP_BYTES) == 1 for name in (MMAP_THRESHOLD, TRIM_THRESHOLD))
