"""Processes that prepare data while others train."""

from __future__ import annotations

import os

NICENESS = 5


def give_way() -> None:
    """Lower the priority of this process; nothing where the system has no such call, as on Windows."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
