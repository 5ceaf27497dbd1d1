"""Writes locales/en/nodeDefs.json from the nodes themselves, and says what the other languages lack.

usage: python scripts/locales.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "locales"
LANGUAGES = ("en", "zh", "ja", "fr", "de", "es")

Definitions = dict[str, dict[str, Any]]


def english() -> Definitions:
    """Node id -> display_name, description, inputs by name and outputs by place, as ComfyUI's frontend reads them."""
    from moviegen_host.registry import default_registry

    registry = default_registry()
    schemas = {name: registry.schema(name) for name in registry.nodes if name.startswith("MovieGen")}
    return {name: definition(schema) for name, schema in schemas.items() if schema is not None}


def definition(schema: Any) -> dict[str, Any]:
    """The texts of one node."""
    inputs = {
        key: {"name": one.display_name or one.id, "tooltip": one.tooltip} for key, one in named(schema.inputs, "")
    }
    outputs = {
        str(place): {
            "name": one.display_name or (one.io_type if one.id.startswith("_") else one.id),
            "tooltip": one.tooltip,
        }
        for place, one in enumerate(schema.outputs)
    }
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def named(inputs: list[Any], prefix: str) -> list[tuple[str, Any]]:
    """Inputs and those that choices bring; the frontend writes their dots as underscores."""
    found = []
    for one in inputs:
        found.append((prefix + one.id, one))
        for option in getattr(one, "options", None) or []:
            if hasattr(option, "inputs"):
                found += named(option.inputs, f"{prefix}{one.id}_")
    return found


def texts(definitions: Definitions) -> dict[str, str]:
    """Dotted place -> text."""
    flat: dict[str, str] = {}

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}.{key}" if place else key)
        else:
            flat[place] = value or ""

    walk(definitions, "")
    return flat


def read(language: str) -> Definitions:
    """The definitions of one language, empty where the file is missing."""
    path = LOCALES / language / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def lacking(language: str, wanted: Definitions) -> list[str]:
    """Places without a text, and those that no node has any more."""
    given, needed = texts(read(language)), texts(wanted)
    return sorted(
        [place for place in needed if not given.get(place)] + [place for place in given if place not in needed]
    )


def write(language: str, definitions: Definitions) -> None:
    """One file, one language."""
    path = LOCALES / language / "nodeDefs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(definitions, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Write English, report the others; 1 when any text is missing."""
    wanted = english()
    write("en", wanted)
    missing = {language: lacking(language, wanted) for language in LANGUAGES}
    for language, places in missing.items():
        print(f"{language}: {'complete' if not places else f'{len(places)} to do'}", *places[:20], sep="\n  ")
    return int(any(missing.values()))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
