"""Recipes of one stage: train, give the network its average, ship it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from .data import Objective, Source
from .loop import Hook, LoopConfig
from .ranges import above
from .stage import Stage
from .workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class SingleStage(Stage):
    """A recipe of one stage, which cannot be left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, 0, "steps", "minutes")


def train_and_ship(
    network: nn.Module,
    objective: Objective,
    source: Source,
    loop: LoopConfig,
    workspace: Workspace,
    *,
    hooks: Sequence[Hook] = (),
    finish: Callable[[Any], nn.Module] = lambda network: network,
    basis: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Train `network` and ship it; a `loop` called "sound_match" is recipe nano-sound-match and gives nano/sound_match.

    `finish` turns what was trained into what is shipped; `basis` is that of `loop.fit`; `facts` enter the manifest
    beside recipe, seed and steps.
    """
    recipe = f"nano-{loop.name.replace('_', '-')}"
    average = workspace.fit(network, objective, source, loop, workspace.training(recipe), hooks=hooks, basis=basis)
    average.copy_to(network)
    workspace.export(
        f"nano/{loop.name}", finish(network), recipe=recipe, seed=loop.seed, steps=workspace.steps(recipe), **facts
    )
