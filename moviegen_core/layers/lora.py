"""Low-rank adapters (Hu et al. 2021): a frozen linear layer plus a trained product of two thin matrices."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRank(nn.Module):
    """base(x) + alpha / rank * up(down(x)); `up` starts at zero, so that nothing changes before training.

    Both are kept in fp32 whatever the base is: what one step changes would be lost in 16 bits.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        place: dict[str, Any] = {"bias": False, "device": base.weight.device, "dtype": torch.float32}
        self.alpha = alpha
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, rank, **place)
        self.up = nn.Linear(rank, base.out_features, **place)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Normal `down` of unit gain, `up` at zero."""
        nn.init.normal_(self.down.weight, std=self.base.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., E]."""
        # The thin matrices take the precision of the activations, which are far larger.
        down, up = self.down.weight.to(x.dtype), self.up.weight.to(x.dtype)
        return self.base(x) + self.alpha / self.up.in_features * F.linear(F.linear(x, down), up)
