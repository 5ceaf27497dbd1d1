"""Standardisation of features that come from another, frozen network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_STD = 1e-3  # features that hardly vary are not blown up


class Standardise(nn.Module):
    """(x - mean) / std of each feature, both measured on training data; the identity until `measure` is called."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim, device=device, dtype=dtype))
        self.register_buffer("std", torch.ones(dim, device=device, dtype=dtype))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The identity."""
        nn.init.zeros_(self.mean)
        nn.init.ones_(self.std)

    @torch.no_grad()
    def measure(self, features: Tensor) -> None:
        """Take mean and standard deviation of features [N, D]; a single row deviates by the least that is counted."""
        self.mean.copy_(features.float().mean(dim=0))
        spread = features.float().std(dim=0, correction=0 if len(features) == 1 else 1)
        self.std.copy_(spread.clamp(min=SMALLEST_STD))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return (x - self.mean.to(x)) / self.std.to(x)
