"""Files that a bench leaves behind: its figures, and a table of them for the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files import replacing


def write_report(output: Path, name: str, report: Mapping[str, Any], table: str | None = None) -> None:
    """`report` as NAME.json in the folder `output`, and a `table` as NAME.md; each whole or not at all."""
    for ending, text in ((".json", json.dumps(report, indent=2) + "\n"), (".md", table)):
        if text is not None:
            with replacing(output / f"{name}{ending}") as partial:
                partial.write_text(text, encoding="utf-8")
