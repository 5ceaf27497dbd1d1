"""Files that appear whole or not at all."""

from __future__ import annotations

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
    finally:
        partial.unlink(missing_ok=True)
