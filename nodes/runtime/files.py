"""Weight files as loader nodes list them: what ships with the pack, and the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from moviegen_core import weights
from moviegen_core.errors import CheckpointError

NONE = "none"
_SHIPPED = " (shipped)"
_SHARD = re.compile(r"-(\d{5})-of-\d{5}(?=\.safetensors$)")


def shipped(part: str) -> list[str]:
    """Choices for a part ("video", "tae", "ul2", ...): "nano" is listed even where its file is missing.

    The choice must not vanish from a saved workflow: choosing it then says how to get the file.
    """
    names = {name.split("/")[0] for name in weights.shipped() if name.endswith(f"/{part}")} | {"nano"}
    return [f"{name}{_SHIPPED}" for name in sorted(names)]


def usable(files: Iterable[str]) -> list[str]:
    """The user's safetensors files; a sharded checkpoint is listed once, by its first shard."""
    found = [file for file in files if file.endswith(".safetensors")]
    return [file for file in found if not (match := _SHARD.search(file)) or int(match[1]) == 1]


def locate(part: str, choice: str, find: Callable[[str], str | Path]) -> Path:
    """Choice -> file or folder; `find` turns a user's file name into a path."""
    if choice.endswith(_SHIPPED):
        return weights.path(f"{choice.removesuffix(_SHIPPED)}/{part}")
    path = Path(find(choice))
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; check the name and the folder")
    if _SHARD.search(path.name):
        return path.with_name(_SHARD.sub("", path.name) + ".index.json")
    return path
