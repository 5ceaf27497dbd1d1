"""The weight files that a pipeline is loaded from: shipped under one name, or in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import weights
from ..errors import CheckpointError
from ..models import loading


def find_parts(source: str | os.PathLike[str], names: Sequence[str]) -> dict[str, Path]:
    """Those of the parts `names` that "nano" or a folder holds, by name.

    In a folder a part is NAME.safetensors, NAME.safetensors.index.json or a folder NAME. CheckpointError where
    `source` is neither; what must be there is for the caller to say.
    """
    text = os.fspath(source)
    shipped = weights.shipped()
    families = sorted({name.split("/")[0] for name in shipped})
    if text in families:
        return {name: weights.path(f"{text}/{name}") for name in names if f"{text}/{name}" in shipped}
    folder = Path(text).expanduser()
    if not text.strip() or not folder.exists():
        known = ", ".join(families) or "none yet, make them with: make nano"
        raise CheckpointError(
            f"{text!r} is neither a shipped model nor a folder at {folder.absolute()}; shipped: {known}"
        )
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is one file; give the folder that holds {', '.join(names)}")
    found = {}
    for name in names:
        files = (f"{name}.safetensors", f"{name}.safetensors.index.json", name)
        there = next((folder / file for file in files if (folder / file).exists()), None)
        if there is not None:
            found[name] = there
    return found


def recommended(file: Path) -> dict[str, Any]:
    """Sampling settings that come with a weight file: the manifest's for a shipped one, else those inside of it."""
    for entry in weights.shipped().values():
        if weights.SHIPPED_FOLDER / entry.file == file:
            return dict(entry.sampling)
    return dict(loading.read_header(file).extra.get("sampling", {}))
