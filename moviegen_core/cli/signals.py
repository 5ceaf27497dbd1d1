"""Ctrl-C, and being told to end: one way out, that leaves no unfinished file."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Heard:
    """The signal that came, if one did; as a shell tells it, 128 and its number."""

    code = 0


@contextmanager
def listening() -> Iterator[Heard]:
    """Every signal to end is a KeyboardInterrupt in the block, and remembered: libraries may swallow the exception."""
    heard = Heard()

    def told(number: int, frame: FrameType | None) -> None:
        heard.code = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    # What is ignored, as nohup has it, stays so.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, told)
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
