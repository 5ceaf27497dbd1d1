"""Measures what the models can do; every figure in the documents comes from a bench of this folder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ConfigError

BENCHES = {
    "tae": ".autoencoder",
    "judge": ".judge",
    "video": ".text_to_video",
    "path": ".path",
    "loss": ".loss",
    "sound": ".sound",
    "words": ".words",
    "codec": ".codec",
    "match": ".match",
    "text": ".text",
}


def bench(name: str) -> Callable[..., dict[str, Any]]:
    """A bench's `evaluate(output, **options)`: measures, writes `<name>.json` and returns the figures.

    Most write a table as `<name>.md` beside it, some a picture. ConfigError for an unknown name.
    """
    if name not in BENCHES:
        raise ConfigError(f"there is no bench {name!r}; choose one of {', '.join(BENCHES)}")
    return importlib.import_module(BENCHES[name], __name__).evaluate


def run(name: str, output: Path, **options: Any) -> dict[str, Any]:
    """Runs one bench into the folder `output`."""
    output.mkdir(parents=True, exist_ok=True)
    return bench(name)(output, **options)
