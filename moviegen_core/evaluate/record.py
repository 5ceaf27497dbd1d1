"""Puts what a bench measured into the manifest of the shipped weights, so that each file carries its own figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import weights
from ..errors import ConfigError

FAMILY = "nano"
LEFT_OUT = ("commonest mistakes", "length")  # for reading beside the figures, not figures of the weights
DIGITS = 4
MEASURES = {
    "tae": "nano/tae",
    "judge": "nano/judge",
    "video": "nano/video",
    "codec": "nano/audio_codec",
    "match": "nano/sound_match",
}
SEVERAL = ("sound", "text")  # benches that measure more than one network


def record(bench: str, report: Mapping[str, Any], folder: Path = weights.SHIPPED_FOLDER) -> list[str]:
    """Enter the figures of `report`, what bench `bench` returned; gives the names of the entries that have them now."""
    check_recorded(bench, str(report.get("model", FAMILY)))
    known = weights.shipped(folder)
    entered = []
    for name, found in by_weights(bench, report).items():
        if name in known:
            weights.register(name, folder / known[name].file, folder, evaluation=figures(found))
            entered.append(name)
    return entered


def check_recorded(bench: str, model: str = FAMILY) -> None:
    """ConfigError for a bench or a model whose figures are not recorded: ask before hours of measuring."""
    recorded = (*MEASURES, *SEVERAL)
    if bench not in recorded:
        raise ConfigError(f"no weights carry figures of {bench}; leave --record out, or measure {', '.join(recorded)}")
    check_shipped(model)
    if bench in MEASURES and model not in (FAMILY, MEASURES[bench]):
        raise ConfigError(f"the figures would be of {model}, those of {bench} are recorded for {MEASURES[bench]} alone")


def check_shipped(model: str) -> None:
    """ConfigError for a model whose figures are not recorded: ask before hours of measuring."""
    if model.split("/")[0] != FAMILY:
        raise ConfigError(f"the figures are of {model}, which is not shipped; only nano's are recorded")


def by_weights(bench: str, report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a report says of which shipped weights."""
    if bench == "sound":
        sources = report["sources"]
        beside = {name: report[name] for name in ("films", "candidates", "picture_guidance") if name in report}
        made = {**sources["generated"], **beside} if "generated" in sources else {}
        told = {"nano/audio": made, "nano/sound_judge": sources.get("real", {}).get("heard")}
        return {name: found for name, found in told.items() if found}
    if bench == "text":
        return {f"{FAMILY}/{name}": found for name, found in report.items() if isinstance(found, Mapping)}
    return {MEASURES[bench]: report}


def figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """The finite numbers of a report, rounded, in its own nesting."""
    kept: dict[str, Any] = {}
    for name, value in report.items():
        if isinstance(value, Mapping) and name not in LEFT_OUT:
            inner = figures(value)
            if inner:
                kept[name] = inner
        elif isinstance(value, (int, float)) and math.isfinite(value):
            kept[name] = round(value, DIGITS)
    return kept
