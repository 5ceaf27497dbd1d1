"""Files that a bench leaves behind: its figures, and a table of them for the documents."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import replacing


def write_report(output: Path, name: str, report: Mapping[str, Any], table: str | None = None) -> None:
    """`report` as NAME.json in the folder `output`, and a `table` as NAME.md; each whole or not at all.

    Numbers that are not finite, of which JSON knows none, are null.
    """
    for ending, text in ((".json", json.dumps(_finite(report), indent=2, allow_nan=False) + "\n"), (".md", table)):
        if text is not None:
            with replacing(output / f"{name}{ending}") as partial:
                partial.write_text(text, encoding="utf-8")


def percent(share: float) -> str:
    """A share for a table; a dash where there was nothing to measure."""
    return f"{share:.1%}" if math.isfinite(share) else "-"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
