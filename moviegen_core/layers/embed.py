"""Embeddings of time and place."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import locality

SINUSOID_DIM = 256  # paper, figure 28 (audio); taken for video too
TIME_SCALE = 1000.0  # assumption: the paper does not say how time in [0, 1] is scaled
MAX_PERIOD = 10_000.0


def sinusoid(
    time: Tensor, dim: int = SINUSOID_DIM, scale: float = TIME_SCALE, max_period: float = MAX_PERIOD
) -> Tensor:
    """time [B] in [0, 1] -> [B, dim] cosines then sines of `scale * time`, fp32."""
    half = dim // 2
    rates = torch.exp(-math.log(max_period) / half * torch.arange(half, dtype=torch.float32, device=time.device))
    angles = time.float()[:, None] * scale * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """Time -> vector of the network's width: sinusoid and a two-layer MLP."""

    def __init__(self, dim: int, *, ops: Any = torch.nn, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.wide = ops.Linear(SINUSOID_DIM, dim, device=device, dtype=dtype)
        self.out = ops.Linear(dim, dim, device=device, dtype=dtype)

    def forward(self, time: Tensor, dtype: torch.dtype) -> Tensor:
        """time [B] -> [B, D] in `dtype`."""
        return self.out(F.silu(self.wide(sinusoid(time).to(dtype))))


class FactorisedPositions(nn.Module):
    """Learnable absolute positions: one table per axis, summed (NaViT; paper 3.1.3)."""

    def __init__(
        self, dim: int, max_grid: tuple[int, int, int], *, ops: Any = torch.nn, device: Any = None, dtype: Any = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        frames, rows, columns = max_grid
        self.frames = ops.Embedding(frames, dim, device=device, dtype=dtype)
        self.rows = ops.Embedding(rows, dim, device=device, dtype=dtype)
        self.columns = ops.Embedding(columns, dim, device=device, dtype=dtype)

    def forward(self, grid: tuple[int, int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Grid (frames, rows, columns) -> [1, N, D]."""
        tables = (self.frames, self.rows, self.columns)
        frames, rows, columns = (
            table(torch.arange(length, device=device)).to(dtype) for table, length in zip(tables, grid, strict=True)
        )
        places = frames[:, None, None] + (rows[:, None] + columns)
        return places.flatten(0, 2).unsqueeze(0)

    @torch.no_grad()
    def reset_parameters(self, width: int | None = None) -> None:
        """Start as sinusoids, each axis in channels of its own among the first `width` (None: all)."""
        described = locality.axis_rates(width or self.dim)
        for table, (first, rates) in zip((self.frames, self.rows, self.columns), described, strict=True):
            nn.init.zeros_(table.weight)
            table.weight[:, first : first + 2 * len(rates)] = locality.waves(table.weight.shape[0], rates)
