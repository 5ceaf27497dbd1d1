"""How much memory there is for this process, so that what would not fit is told before it is begun; what work took."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
STATUS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
CGROUPS = Path("/sys/fs/cgroup")
# Of a container, in version 2 and 1: its limit, what it uses, and of what its use consists. Under that name stand files
# that are merely kept in memory, and make room for whoever needs it.
LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def memory_bytes() -> tuple[int, int]:
    """Total and free memory in bytes, of the container where it limits them; zeros where nothing tells."""
    total, free = _of_machine()
    for limit, use, parts, cached in LIMITS:
        try:
            allowed = int((CGROUPS / limit).read_text())
            used = int((CGROUPS / use).read_text()) - _fields(CGROUPS / parts).get(cached, 0)
        except (OSError, ValueError):  # no such container, or "max"
            continue
        if total == 0 or allowed < total:
            return allowed, max(0, min(allowed - used, free or allowed))
    return total, free


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """What is given tells the bytes that this process held at most since the block began, beyond what it held then.

    Where the system cannot forget an older peak, only what exceeds that one is told.
    """
    with suppress(OSError):
        CLEAR_PEAK.write_text("5")  # the peak is now what is held
    before = _peak_bytes()
    yield lambda: _peak_bytes() - before


def _peak_bytes() -> int:
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    import resource

    told = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if sys.platform == "darwin" else 1024 * told


def is_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch's allocators raise a RuntimeError."""
    told = str(error)
    lacking = any(words in told for words in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and lacking)


def _of_machine() -> tuple[int, int]:
    try:
        import psutil
    except ImportError:
        pass
    else:
        told = psutil.virtual_memory()
        return told.total, told.available
    try:
        found = _fields(MEMINFO)
        return 1024 * found["MemTotal"], 1024 * found["MemAvailable"]
    except (OSError, ValueError, KeyError):
        pass
    try:
        pages, free = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
        return os.sysconf("SC_PAGE_SIZE") * pages, os.sysconf("SC_PAGE_SIZE") * free
    except (AttributeError, ValueError, OSError):
        return 0, 0


def _fields(file: Path) -> dict[str, int]:
    """Numbers by name, one a line."""
    rows = (line.replace(":", " ").split() for line in file.read_text(encoding="ascii").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1}
