"""Times at which a network is asked: schedules for sampling, random times for training."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError

Kind = Literal["slope_continuous", "quadratic"]
KINDS: tuple[str, ...] = get_args(Kind)
SCHEDULES = ("linear_quadratic", "linear")


def linear(steps: int) -> Tensor:
    """Evenly spaced times [steps + 1], fp32, 0 -> 1."""
    _check_steps(steps)
    return torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64).float()


def linear_quadratic(steps: int, emulated_steps: int = 1000, kind: Kind = "slope_continuous") -> Tensor:
    """Movie Gen's inference schedule (paper 3.4.2): times [steps + 1], fp32, 0 -> 1.

    The first half takes the first steps of an `emulated_steps`-long linear schedule; the rest is quadratic up to
    exactly 1. The paper prints no formula for that part, hence both readings:
    "slope_continuous" goes on at the linear slope and accelerates (Mochi, ComfyUI and diffusers do so);
    "quadratic" is t0 + (1 - t0) * (j / Q)^2, whose first step may be shorter or longer than the linear ones.
    ConfigError for an unknown kind, or steps that do not fit.
    """
    _check_steps(steps)
    if kind not in KINDS:
        raise ConfigError(f"linear-quadratic kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    if emulated_steps < steps:
        raise ConfigError(
            f"emulated_steps {emulated_steps} is fewer than the {steps} steps taken; use {steps} or more "
            "(paper: 250 or 1000)"
        )
    straight = steps // 2
    curved = steps - straight
    slope = 1.0 / emulated_steps
    start = straight * slope
    fraction = torch.arange(1, curved + 1, dtype=torch.float64) / curved
    if kind == "quadratic":
        tail = start + (1.0 - start) * fraction**2
    else:
        tail = start + slope * curved * fraction + (1.0 - start - slope * curved) * fraction**2
    times = torch.cat([torch.arange(straight + 1, dtype=torch.float64) * slope, tail])
    times[-1] = 1.0  # rounding must not leave a trace of noise
    return times.float()


def schedule(name: str, steps: int, emulated_steps: int = 1000, kind: Kind = "slope_continuous") -> Tensor:
    """Schedule by name ("linear_quadratic" or "linear") -> times [steps + 1]; ConfigError for another name."""
    if name == "linear":
        return linear(steps)
    if name == "linear_quadratic":
        return linear_quadratic(steps, emulated_steps, kind)
    raise ConfigError(f"schedule {name!r} is unknown; use one of {', '.join(SCHEDULES)}")


def logit_normal(
    batch: int, *, mean: float = 0.0, std: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Training times [batch], fp32 on the generator's device: sigmoid of a normal (paper: mean 0, std 1)."""
    device = generator.device if generator is not None else None
    return torch.sigmoid(mean + std * torch.randn(batch, generator=generator, device=device))


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"{steps} steps were asked for; use at least 1 (paper: 50)")
