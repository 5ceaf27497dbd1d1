"""Shift, scale and gate vectors that time gives to normalised activations (adaLN)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODULATION_VECTORS = 6  # of a block: three each round self-attention and feed-forward


@dataclass(frozen=True, slots=True)
class Modulation:
    """What time gives to every block and to the last layer; made once per step by the network's `modulate`."""

    blocks: tuple[Tensor, ...]  # per block [B, 6, D]
    final: Tensor  # [B, 2, D]: shift, scale

    @classmethod
    def of(
        cls, vector: Tensor, projection: nn.Module, blocks: Iterable[ModulationOffsets], final: ModulationOffsets
    ) -> Modulation:
        """From the time's vector [B, D]: one projection for all blocks, each with offsets of its own."""
        shared = projection(F.silu(vector)).unflatten(-1, (MODULATION_VECTORS, -1))
        return cls(tuple(offsets(shared) for offsets in blocks), final(vector[:, None]))


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
