"""`moviegen train RECIPE`: finds a recipe, applies the user's settings, runs its stages.

run(recipe, output=None, *, resume=True, minutes_scale=1.0, settings={}, ship=None, device="auto", dtype="auto",
    render_workers=1, strategy="ddp") -> Path of the output folder
    recipe          a name of `recipes.RECIPES`; "nano" is all that ship weights, in sequence
    output          folder for clips, caches, checkpoints, metrics and sheets (default runs/nano)
    resume          continue what the folder holds; False deletes the checkpoints of the recipe's stages and trains them
                    again (clips stay, and caches that other weights or words made are computed again)
    minutes_scale   factor on every time limit, to fit another machine or another patience
    settings        {"joint.minutes": "20"}: fields of the recipe by dotted name, values in JSON or plain text; the
                    recipe's own name may stand before them ("nano-video.joint.minutes"), and must with "nano"
    ship            folder that receives the trained weights and their manifest (default: the package's own), and
                    is searched first for those that a recipe reads
    strategy        what several processes, which torchrun started, share: gradients ("ddp"), or weights too ("fsdp")
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .. import weights
from ..config import from_dict, to_dict
from ..devices import choose
from ..errors import BackendError, ConfigError
from ..files import in_the_way
from ..ops.memory import keep_large_buffers
from .distributed import STRATEGIES, join, leave
from .loop import Stopped
from .ranges import at_least
from .recipes import RECIPES
from .workspace import Workspace

DEFAULT_OUTPUT = Path("runs/nano")


def run(
    recipe: str,
    output: str | Path | None = None,
    *,
    resume: bool = True,
    minutes_scale: float = 1.0,
    settings: Mapping[str, str] | None = None,
    ship: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    render_workers: int = 1,
    strategy: str = "ddp",
) -> Path:
    """Train; see the module's text for the arguments. ConfigError for impossible ones, BackendError for float16."""
    if not 0 < minutes_scale < math.inf:
        raise ConfigError(f"minutes_scale {minutes_scale} must be a number above 0; 1 is the recipe's own time")
    if render_workers < 0:
        raise ConfigError(f"render_workers {render_workers} must be at least 0; 0 renders in this process")
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    chosen = names(recipe)
    told = settings_by_recipe(settings or {}, chosen)
    configs = {name: with_settings(RECIPES[name].config, told[name]) for name in chosen}
    workspace = Workspace(
        output=Path(output or DEFAULT_OUTPUT),
        ship=Path(ship) if ship else weights.SHIPPED_FOLDER,
        resume=resume,
        minutes_scale=minutes_scale,
        placement=choose(device, dtype),
        render_workers=render_workers,
        strategy=strategy,
    )
    if workspace.placement.dtype == torch.float16:
        raise BackendError("float16 gradients become zero without a word; train in bfloat16 or float32")
    ships = any(name.startswith("nano-") for name in chosen)
    if ships and (blocked := in_the_way(workspace.ship / "manifest.json")):
        raise ConfigError(
            f"{workspace.ship} cannot receive the trained weights: {blocked} is no writable folder; name another (ship)"
        )
    join(workspace.placement.device.type)
    keep_large_buffers()
    workspace.output.mkdir(parents=True, exist_ok=True)
    workspace.say(f"device: {workspace.placement}")
    try:
        for name, config in configs.items():
            workspace.say(f"recipe: {name}")
            RECIPES[name].run(config, replace(workspace, settings=told[name]))
    except Stopped:  # in all processes, after the same step
        leave()
        raise
    # Where one fails alone, the others may wait for it: it leaves by ending, upon which torchrun ends them.
    leave()
    return workspace.output


def names(recipe: str) -> list[str]:
    """The recipes that a name stands for; ConfigError lists what there is."""
    if recipe == "nano":
        return [name for name in RECIPES if name.startswith("nano-")]
    if recipe not in RECIPES:
        raise ConfigError(f"no recipe is called {recipe!r}; use nano (all) or one of {', '.join(RECIPES)}")
    return [recipe]


def settings_by_recipe(settings: Mapping[str, str], chosen: list[str]) -> dict[str, dict[str, str]]:
    """Settings of each chosen recipe; ConfigError where it is open which one is meant."""
    told: dict[str, dict[str, str]] = {name: {} for name in chosen}
    for key, text in settings.items():
        name, dot, rest = key.partition(".")
        if name in told and dot:
            told[name][rest] = text
        elif len(chosen) == 1:
            told[chosen[0]][key] = text
        else:
            raise ConfigError(
                f"the setting {key!r} names no recipe; write {chosen[0]}.{key}, or another of {', '.join(chosen)}"
            )
    return told


def with_settings(config: Any, settings: Mapping[str, str]) -> Any:
    """A recipe's dataclass with fields replaced by dotted name; ConfigError names what is unknown."""
    values = to_dict(config)
    for key, text in settings.items():
        *parents, last = key.split(".")
        place: Any = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) and parent in place else None
        if not isinstance(place, dict):
            raise ConfigError(f"{type(config).__name__} has no setting {key!r}; its fields are {', '.join(values)}")
        if last not in place:
            where = f" below {'.'.join(parents)}" if parents else ""
            raise ConfigError(
                f"{type(config).__name__} has no setting {key!r}; its fields{where} are {', '.join(place)}"
            )
        try:
            place[last] = json.loads(text)
        except ValueError:
            place[last] = text
    changed = from_dict(type(config), values)
    if hasattr(changed, "seed"):
        at_least(changed, 0, "seed")
    return changed
