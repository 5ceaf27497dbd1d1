"""One process at a time: a file lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import CheckpointError

LOCK_SECONDS = 10.0  # a change takes milliseconds


@contextlib.contextmanager
def alone(file: Path, seconds: float | None = None) -> Iterator[None]:
    """Keeps other processes out of blocks about the same `file`; CheckpointError where one is not done in `seconds`.

    A file beside it is locked, and deleted afterwards. One that a killed process left counts as free.
    """
    seconds = LOCK_SECONDS if seconds is None else seconds
    beside = _beside(file)
    last = time.monotonic() + seconds
    while (stream := _held(beside)) is None:
        if time.monotonic() > last:
            raise CheckpointError(
                f"{file} has been locked for {seconds:g} s by another process; wait for it to end, and try again"
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        _release(stream, beside)


@contextlib.contextmanager
def at_once(file: Path) -> Iterator[bool]:
    """`alone` without waiting: gives whether no other process is in such a block."""
    beside = _beside(file)
    stream = _held(beside)
    try:
        yield stream is not None
    finally:
        if stream is not None:
            _release(stream, beside)


def _beside(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock")


def _release(stream: IO[bytes], beside: Path) -> None:
    if sys.platform != "win32":
        beside.unlink(missing_ok=True)
    stream.close()
    if sys.platform == "win32":
        with contextlib.suppress(OSError):  # open files are not deleted there: the next one has it already
            beside.unlink()


def _held(beside: Path) -> IO[bytes] | None:
    """The open and locked file; None where another process holds it."""
    try:
        stream = beside.open("ab")
    except PermissionError:
        if sys.platform == "win32":  # it is being deleted
            return None
        raise
    # Who waited for a file that was deleted meanwhile holds nothing that others would see.
    if _lock(stream) and _same(stream, beside):
        return stream
    stream.close()
    return None


def _same(stream: IO[bytes], beside: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), beside.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(stream: IO[bytes]) -> bool:
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(stream: IO[bytes]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # a file system that knows no locks
                raise
        return True
