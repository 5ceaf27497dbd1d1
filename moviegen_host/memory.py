"""How much memory the machine has, so that what would not fit is told before it is begun."""

from __future__ import annotations

from pathlib import Path

MEMINFO = Path("/proc/meminfo")


def memory_bytes() -> tuple[int, int]:
    """Total and free memory in bytes; zeros where the system does not say."""
    found = {}
    try:
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, amount = line.partition(":")
            found[name] = int(amount.split()[0]) * 1024
    except OSError:
        return 0, 0
    return found.get("MemTotal", 0), found.get("MemAvailable", 0)
