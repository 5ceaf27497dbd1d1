"""Checks of a finished waveform: silence, seams where windows were joined, and length to the sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..shapes import SOUND_SAMPLE_RATE

RATE = SOUND_SAMPLE_RATE
QUIETEST_DBFS = -120.0
FRAME_RATES = (
    Fraction(12),
    Fraction(16),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(60),
)


def loudest_dbfs(waveform: Tensor, seconds: float = 0.1) -> float:
    """RMS of the loudest stretch of `seconds` in dB below full scale, -120 at least; waveform [channels, S]."""
    power = waveform.double().square().mean(dim=0)
    size = max(1, min(round(seconds * RATE), power.numel()))
    if power.numel() == 0:
        return QUIETEST_DBFS
    means = power[: power.numel() // size * size].unflatten(0, (-1, size)).mean(dim=1)
    return max(10 * math.log10(max(float(means.max()), 1e-30)), QUIETEST_DBFS)


def seam_report(waveform: Tensor, joins: Sequence[float], span_seconds: float = 0.2) -> dict[str, Any]:
    """Is the jump in loudness at the `joins` (seconds) larger than elsewhere? waveform [channels, S] at 48 kHz.

    A jump is the difference in dB between the `span_seconds` after and before a moment. "excess" is the mean jump at
    the joins less the mean elsewhere, in standard errors of a mean of as many: beyond 2 a seam would show. "click" is
    the same for the step from one sample to the next.
    """
    power = waveform.double().square().mean(dim=0)
    span = round(span_seconds * RATE)
    total = torch.cat([power.new_zeros(1), power.cumsum(0)])
    step = torch.cat([power.new_zeros(1), waveform.double().diff(dim=1).abs().amax(dim=0)])
    places = torch.arange(span, power.numel() - span, RATE // 50)
    at_joins = torch.tensor([round(join * RATE) for join in joins], dtype=torch.long)
    at_joins = at_joins[(at_joins >= span) & (at_joins < power.numel() - span)]
    apart = (places[:, None] - at_joins).abs().amin(dim=1) > span if at_joins.numel() else places > 0

    def jumps(moments: Tensor) -> np.ndarray:
        after, before = total[moments + span] - total[moments], total[moments] - total[moments - span]
        floor = 1e-9 * span
        return (10 * torch.log10((after + floor) / (before + floor))).abs().numpy()

    def clicks(moments: Tensor) -> np.ndarray:
        near = moments[:, None] + torch.arange(-48, 49)
        return step[near].amax(dim=1).numpy()

    def excess(measure: Callable[[Tensor], np.ndarray]) -> float:
        here, elsewhere = measure(at_joins), measure(places[apart])
        error = max(float(elsewhere.std()), 1e-9) / math.sqrt(len(here))
        return float((here.mean() - elsewhere.mean()) / error)

    if not at_joins.numel() or not bool(apart.any()):
        return {"joins": 0}
    here, elsewhere = jumps(at_joins), jumps(places[apart])
    return {
        "joins": len(here),
        "jump at joins (dB)": float(here.mean()),
        "jump elsewhere (dB)": float(elsewhere.mean()),
        "95 % of jumps elsewhere are below (dB)": float(np.quantile(elsewhere, 0.95)),
        "largest jump at a join (dB)": float(here.max()),
        "excess": excess(jumps),
        "click": excess(clicks),
    }


def exact_samples(num_frames: int, fps: Fraction) -> int:
    """Samples at 48 kHz that last as long as `num_frames` frames, rounded to the nearest, by exact arithmetic."""
    return round(Fraction(num_frames) / fps * RATE)


def length_table(length: Callable[[int, Fraction], int], durations: Sequence[float]) -> dict[str, dict[str, int]]:
    """Samples too many (+) or too few (-) for clips of about each duration at each frame rate; all must be 0.

    `length(num_frames, fps)` is the number of samples that the system under test gives.
    """
    table: dict[str, dict[str, int]] = {}
    for fps in FRAME_RATES:
        row = {}
        for seconds in durations:
            frames = max(1, round(seconds * fps))
            row[f"{seconds:g} s"] = length(frames, fps) - exact_samples(frames, fps)
        table[f"{float(fps):.5g} fps"] = row
    return table
