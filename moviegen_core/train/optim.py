"""AdamW or Muon with the usual groups, and learning-rate schedules over a stage's progress."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from ..errors import ConfigError
from .muon import Muon
from .ranges import above, at_least

SCHEDULES = ("constant", "linear", "cosine")
METHODS = ("adamw", "muon")
SMALL_TABLE = 8  # rows of modulation offsets and scales, which are vectors by role; null tokens and the like too


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How weights move; the rate warms up, stays, and falls to `final_scale` from `decay_start` of the stage on.

    The paper names AdamW for sound and none for video; methods, betas and eps are assumptions.
    """

    method: str = "adamw"
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    warmup_steps: int = 100
    schedule: str = "cosine"
    decay_start: float = 0.0  # share of the stage
    final_scale: float = 0.05
    rate_scales: Mapping[str, float] = field(default_factory=dict)  # parameter name prefix -> factor

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule {self.schedule!r} is unknown; use one of {', '.join(SCHEDULES)}")
        check_method(self.method)
        if not 0 <= self.decay_start < 1:
            raise ConfigError(f"decay_start {self.decay_start} must lie in [0, 1)")
        at_least(self, 0, "learning_rate", "weight_decay", "warmup_steps", "final_scale")
        above(self, 0, "eps", "clip_norm")


def check_method(method: str) -> None:
    """ConfigError where an optimiser is unknown."""
    if method not in METHODS:
        raise ConfigError(f"optimiser {method!r} is unknown; use one of {', '.join(METHODS)}")


def rate_scale(config: OptimConfig, step: int, progress: float) -> float:
    """Factor on the learning rate at `step` (0 first), `progress` in [0, 1] of the stage done."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    fallen = min(1.0, max(0.0, (progress - config.decay_start) / (1.0 - config.decay_start)))
    if config.schedule == "cosine":
        fall = 0.5 * (1.0 + math.cos(math.pi * fallen))
    elif config.schedule == "linear":
        fall = 1.0 - fallen
    else:
        fall = 1.0
    return warmup * (config.final_scale + (1.0 - config.final_scale) * fall)


def build(module: nn.Module, config: OptimConfig, dtype: torch.dtype | None = None) -> torch.optim.Optimizer:
    """Optimiser over the trainable parameters; vectors (norms, biases, tables of a few rows) are not decayed.

    With "muon" the weights of linear layers and convolutions move by Muon, which iterates in `dtype` (None: the
    weights'), tables and vectors by AdamW. ConfigError where nothing is trainable.
    """
    tables = {id(layer.weight) for layer in module.modules() if isinstance(layer, nn.Embedding)}
    groups: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            scale = next((factor for prefix, factor in config.rate_scales.items() if name.startswith(prefix)), 1.0)
            matrix, table = parameter.numel() > max(parameter.shape, default=1), id(parameter) in tables
            decayed = matrix and not (table and len(parameter) <= SMALL_TABLE)
            orthogonal = config.method == "muon" and matrix and not table
            groups.setdefault((decayed, orthogonal, scale), []).append(parameter)
    if not groups:
        raise ConfigError("the module has no trainable parameters; unfreeze some before training")
    described = [
        {"params": parameters, "weight_decay": config.weight_decay if decayed else 0.0, "scale": scale}
        | ({"orthogonal": orthogonal} if config.method == "muon" else {})
        for (decayed, orthogonal, scale), parameters in groups.items()
    ]
    if config.method == "muon":
        return Muon(described, lr=config.learning_rate, betas=config.betas, eps=config.eps, dtype=dtype)
    return torch.optim.AdamW(described, lr=config.learning_rate, betas=config.betas, eps=config.eps)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
