"""Feed-forward layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..ops import kernels


class SwiGLU(nn.Module):
    """Gated feed-forward of LLaMa3: down(silu(gate(x)) * up(x)), without bias."""

    def __init__(
        self, dim: int, mlp_dim: int, out_dim: int | None = None, *, ops: Any = torch.nn, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        """`out_dim` is `dim` unless given."""
        super().__init__()
        place = {"bias": False, "device": device, "dtype": dtype}
        self.gate = ops.Linear(dim, mlp_dim, **place)
        self.up = ops.Linear(dim, mlp_dim, **place)
        self.down = ops.Linear(mlp_dim, out_dim or dim, **place)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., out_dim]."""
        return self.down(kernels.swiglu(self.gate(x), self.up(x)))
