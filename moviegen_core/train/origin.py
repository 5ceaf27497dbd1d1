"""Folders that remember what their contents depend on, and refuse to be filled on by anything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..files import replacing


def claim(folder: Path, origin: Mapping[str, Any], refusal: str) -> None:
    """Write `origin` (JSON values) into a new folder's manifest; CheckpointError where another one stands there.

    `refusal` is the error's text, with {folder} and {changed} (the names of what differs).
    """
    wanted = json.loads(json.dumps(origin))
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            found = json.loads(manifest.read_text())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CheckpointError(
                f"{manifest} is damaged; delete it if its folder was made with these same settings, else the folder"
            )
        changed = sorted(key for key in {**found, **wanted} if found.get(key) != wanted.get(key))
        if changed:
            raise CheckpointError(refusal.format(folder=folder, changed=", ".join(changed)))
    else:
        with replacing(manifest) as partial:
            partial.write_text(json.dumps(wanted, indent=1) + "\n")
