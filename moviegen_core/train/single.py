"""Recipes of one stage: train, give the network its average, ship it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from .data import Source
from .loop import Hook, LoopConfig, Objective, fit
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
    **facts: Any,
) -> None:
    """Train `network` and ship it; a `loop` called "sound_match" is recipe nano-sound-match and gives nano/sound_match.

    `finish` turns what was trained into what is shipped; `facts` enter the manifest beside recipe, seed and steps.
    """
    recipe = f"nano-{loop.name.replace('_', '-')}"
    average = fit(
        network, objective, source, workspace.timed(loop), workspace.training(recipe), resume=workspace.resume,
        hooks=hooks, placement=workspace.placement, out=workspace.out,
    )  # fmt: skip
    average.copy_to(network)
    workspace.export(
        f"nano/{loop.name}", finish(network), recipe=recipe, seed=loop.seed, steps=workspace.steps(recipe), **facts
    )
