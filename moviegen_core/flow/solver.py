"""Ordinary differential equation solvers that carry noise (time 0) to data (time 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError
from .path import estimate_data

Solver = Literal["euler", "midpoint"]
SOLVERS: tuple[str, ...] = get_args(Solver)
Velocity = Callable[[Tensor, Tensor], Tensor]  # sample [B, ...], time [B] -> velocity [B, ...]
OnStep = Callable[[int, int, Tensor], None]  # finished steps, all steps, estimate of the clean data


def integrate(
    velocity: Velocity, noise: Tensor, times: Tensor, solver: Solver = "euler", on_step: OnStep | None = None
) -> Tensor:
    """Follow `velocity` from noise [B, ...] at times[0] to times[-1]; the sample stays in noise's dtype.

    `times` [S + 1] must rise. Euler asks the network once per step, midpoint twice. After each step
    `on_step(step, steps, estimate)` is called with step counted from 1; raising from it cancels. ConfigError where a
    velocity is not finite.
    """
    check_solver(solver)
    points = times.detach().cpu().double()
    if points.ndim != 1 or len(points) < 2 or not bool((points[1:] > points[:-1]).all()):
        raise ConfigError("times must be a rising list of at least two numbers; use flow.times to make one")
    sample, steps = noise, len(points) - 1
    for step in range(steps):
        start, end = float(points[step]), float(points[step + 1])
        slope = velocity(sample, _times(start, sample)).to(sample.dtype)
        if solver == "midpoint":
            middle = 0.5 * (start + end)
            halfway = torch.add(sample, slope, alpha=middle - start)
            slope = velocity(halfway, _times(middle, sample)).to(sample.dtype)
        if not bool(slope.isfinite().all()):
            raise ConfigError(
                "the network left the range of numbers, and what it made is lost; lower the guidance, or the strength "
                "of LoRAs, or choose another dtype, such as float32"
            )
        if on_step is not None:
            on_step(step + 1, steps, estimate_data(sample, slope, torch.tensor(start)))
        sample = torch.add(sample, slope, alpha=end - start)
    return sample


def check_solver(solver: str) -> None:
    """ConfigError for an unknown solver."""
    if solver not in SOLVERS:
        raise ConfigError(f"solver {solver!r} is unknown; use one of {', '.join(SOLVERS)}")


def _times(value: float, sample: Tensor) -> Tensor:
    return torch.full((sample.shape[0],), value, dtype=torch.float32, device=sample.device)
