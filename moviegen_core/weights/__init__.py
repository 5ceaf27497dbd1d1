"""Finds weight files: the small ones shipped here, and the user's own.

`manifest.json` beside the shipped files holds, for each name such as "nano/video", where it came
from (recipe, commit, seed), its sha256 and its evaluation. A shipped file is hashed once per process.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import os
import re
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError
from ..files import replacing, sha256
from ..lock import alone

SHIPPED_FOLDER = Path(__file__).parent / "nano"
MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shipped:
    """One entry of the manifest; `file` is relative to the manifest's folder."""

    name: str
    file: str
    network: str
    sha256: str
    bytes: int
    recipe: str = ""
    commit: str = ""
    seed: int | None = None
    steps: int | None = None
    settings: dict[str, str] = dataclasses.field(default_factory=dict)  # of the recipe, where they are not its own
    # What it was trained on from, oldest first: sha256, recipe, commit, seed, steps and settings of each, where known.
    ancestors: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    # Where they are the mean of several trainings (`moviegen average`), those, as ancestors are told.
    averaged: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    evaluation: dict[str, Any] = dataclasses.field(default_factory=dict)
    sampling: dict[str, Any] = dataclasses.field(default_factory=dict)


# What an entry tells its descendants.
INHERITED = ("sha256", "recipe", "commit", "seed", "steps", "settings", "averaged")


def lineage(name_or_path: str | os.PathLike[str], folder: Path = SHIPPED_FOLDER) -> list[dict[str, Any]]:
    """The `ancestors` of weights that are trained on from these, a shipped name or a file.

    What is not known of a file (no manifest beside it tells) is left out.
    """
    file = resolve(name_or_path, folder)
    digest = sha256(file)
    for entry in shipped(file.parent).values():
        if entry.sha256 == digest:
            told = dataclasses.asdict(entry)
            return [*entry.ancestors, {key: told[key] for key in INHERITED if told[key] not in ("", None, {}, [])}]
    return [{"sha256": digest}]


def shipped(folder: Path = SHIPPED_FOLDER) -> dict[str, Shipped]:
    """Manifest entries by name; empty where nothing was trained yet. CheckpointError for a damaged manifest."""
    manifest = folder / MANIFEST
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        known = {field.name for field in dataclasses.fields(Shipped)}
        return {
            name: Shipped(name=name, **{key: value for key, value in facts.items() if key in known})
            for name, facts in entries.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{manifest} is damaged ({error}); restore it from the repository or run: make nano"
        ) from error


def path(name: str, folder: Path = SHIPPED_FOLDER) -> Path:
    """File of a shipped name, verified against its sha256; CheckpointError otherwise."""
    entries = shipped(folder)
    if name not in entries:
        raise CheckpointError(f"no shipped weights are called {name!r}; {_hint(name, list(entries))}")
    entry = entries[name]
    file = folder / entry.file
    if not file.is_file():
        raise CheckpointError(f"{name} should be at {file}, which does not exist; restore it or run: make nano")
    stat = file.stat()
    if stat.st_size != entry.bytes:
        detail = "a Git LFS pointer? run: git lfs pull" if stat.st_size < 1024 else "restore it or run: make nano"
        raise CheckpointError(f"{file} has {stat.st_size} bytes, its manifest says {entry.bytes} ({detail})")
    if _sha256_once(file, stat.st_mtime_ns, stat.st_size) != entry.sha256:
        raise CheckpointError(f"{file} does not match the sha256 of its manifest; restore it or run: make nano")
    return file


def resolve(name_or_path: str | os.PathLike[str], folder: Path = SHIPPED_FOLDER) -> Path:
    """A shipped name, or a user's file or folder -> an existing path; CheckpointError says what was looked for."""
    text = os.fspath(name_or_path)
    if not text.strip():
        raise CheckpointError("an empty name was given for a weight file; give a shipped name or a path")
    if text in shipped(folder):
        return path(text, folder)
    candidate = Path(text).expanduser()
    if candidate.exists():
        return candidate
    raise CheckpointError(
        f"{text!r} is neither shipped weights nor a file or folder at {candidate.absolute()}; "
        + _hint(text, list(shipped(folder)))
    )


def register(
    name: str, file: str | os.PathLike[str], folder: Path = SHIPPED_FOLDER, *, made: Path | None = None, **facts: Any
) -> Shipped:
    """Add or replace manifest entry `name` for `file`, which must lie in `folder`.

    `made` are new weights on the same disk, which take the place of `file` together with the entry. `facts` are fields
    of Shipped; sha256 and size are measured here. Facts not given keep the values that the entry had, so an evaluation
    can be added to a trained file later; other weights keep the network alone. ConfigError for a name, a place or facts
    that do not fit.
    """
    if not re.fullmatch(r"[a-z0-9_.-]+/[a-z0-9_.-]+", name):
        raise ConfigError(f"weights name {name!r} must look like nano/video (lower case, one slash)")
    file = Path(file).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ConfigError(f"{file} must lie in {folder} to be shipped; copy it there first")
    written = made or file
    measured = {
        "file": file.relative_to(folder.resolve()).as_posix(),
        "sha256": sha256(written),
        "bytes": written.stat().st_size,
    }
    with alone(folder / MANIFEST):
        previous = shipped(folder)
        kept: dict[str, Any] = {}
        if name in previous:
            kept = {key: value for key, value in dataclasses.asdict(previous[name]).items() if key != "name"}
            if kept["sha256"] != measured["sha256"]:
                kept = {"network": kept["network"]}
        try:
            entry = Shipped(name=name, **{"network": "", **kept, **facts, **measured})
        except TypeError as error:
            raise ConfigError(f"the manifest does not know one of {', '.join(sorted(facts))}: {error}") from error
        entries = {**previous, name: entry}
        files = {
            key: {field: value for field, value in dataclasses.asdict(entries[key]).items() if field != "name"}
            for key in sorted(entries)
        }
        with replacing(folder / MANIFEST) as partial:
            partial.write_text(json.dumps({"files": files}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            if made is not None:
                os.replace(made, file)
    return entry


def _hint(name: str, known: list[str]) -> str:
    if not known:
        return "none are shipped yet; run: make nano"
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"shipped are {', '.join(sorted(known))}"


@functools.cache
def _sha256_once(file: Path, modified_ns: int, size: int) -> str:
    return sha256(file)
