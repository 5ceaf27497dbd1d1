"""Files that appear whole or not at all, and what tells one from another."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, ending: str = "") -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes the final name only when the block ends without an exception.

    The folder is made where it is missing; nothing is left after an error or an interrupt. The temporary name ends in
    `ending`, for writers that choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem[:40]}.{uuid.uuid4().hex[:8]}.part{ending}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.filename is None:  # of a full disk nobody tells which file it had no room for
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def in_the_way(path: Path) -> Path | None:
    """What keeps a file from being written as `path`: a folder of no access, or a file where a folder is needed."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return folder
    probe = folder / f".{uuid.uuid4().hex[:8]}.part"
    try:  # on Windows, on shared disks and for root the rights alone tell too little
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)
    except OSError:
        return folder
    return None


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
