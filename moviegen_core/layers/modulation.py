"""Shift, scale and gate vectors that time gives to normalised activations (adaLN)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ModulationOffsets(nn.Module):
    """A layer's own learned offsets [count, D] to vectors that all layers share (adaLN-single)."""

    def __init__(
        self, count: int, dim: int, *, ops: Any = torch.nn, device: Any = None, dtype: Any = None
    ) -> None:  # fmt: skip
        super().__init__()
        self.count = count
        self.table = ops.Embedding(count, dim, device=device, dtype=dtype)

    def forward(self, shared: Tensor) -> Tensor:
        """shared [B, count or 1, D] -> shared + offsets [B, count, D]."""
        return shared + self.table(torch.arange(self.count, device=shared.device)).to(shared.dtype)
