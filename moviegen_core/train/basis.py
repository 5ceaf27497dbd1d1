"""What a stage is trained on, as its checkpoint tells it: settings of the recipe, and what its data were made by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..config import to_dict
from .stage import Stage

# Limits, when it is saved, what LoopConfig tells by itself, and the start, whose weights are compared.
TOLD_ELSEWHERE = (
    "start", "steps", "minutes", "method", "learning_rate", "weight_decay", "warmup_steps", "schedule", "final_scale",
    "ema_decay", "snapshots", "accumulate", "save_seconds",
)  # fmt: skip


def basis_of(recipe: Any, stage: Any = None, *, without: Collection[str] = (), **data: Any) -> dict[str, Any]:
    """Plain values by dotted name: the settings of `recipe` and of one `stage` of it, and `data`.

    Left out are other stages, what is told elsewhere, and the fields `without`, which come after the training.
    """
    stages = {name for name in to_dict(recipe) if isinstance(getattr(recipe, name), Stage)}
    left_out = {*TOLD_ELSEWHERE, *without, *stages}
    told = {name: value for name, value in to_dict(recipe).items() if name not in left_out}
    if stage is not None:
        told["stage"] = {name: value for name, value in to_dict(stage).items() if name not in left_out}
    return dict(_flat({**told, **data}))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", _plain(value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
