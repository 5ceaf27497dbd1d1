"""Recipes of one stage: train, give the network its average, ship it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from .data import Source
from .loop import Hook, LoopConfig, Objective
from .workspace import Workspace


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
