"""Block of the sound transformer: a plain DiT block (paper 6.1.2); how it knows positions the paper does not say.

Shape letters: B batch, L sound frames, T text tokens, D width, H heads, K head width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.attention import CrossAttention, SelfAttention, merge_heads
from ...layers.modulation import MODULATION_VECTORS, ModulationOffsets
from ...ops import kernels
from ...ops.attention import Attend

ROTARY_BASE = 10_000.0  # assumption, as rotary positions are


def rotary_table(length: int, head_dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Cosines and sines [2, L, K / 2] of the angles by which queries and keys turn (Su et al. 2021)."""
    rates = ROTARY_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim)
    angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] * rates
    return torch.stack([angles.cos(), angles.sin()]).to(dtype)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """x [B, H, L, K] turned by `rotary_table`; its two halves are the coordinates of the planes."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = table[0], table[1]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class RotaryAttention(SelfAttention):
    """Full attention of sound frames to each other that knows only their distances, so any length fits."""

    def forward(self, x: Tensor, attend: Attend, table: Tensor | None = None) -> Tensor:
        """[B, L, D] -> [B, L, D]."""
        q, (k, v) = self.queries(x), self.keys_values(x)
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        return self.out(merge_heads(attend(q, k, v, None)))


class SoundBlock(nn.Module):
    """Self-attention, cross-attention to text, feed-forward; all residual, the first and the last modulated.

    The paper gives four scales and two biases a layer: each modulated part is scaled and biased after its norm and
    scaled once more at its end. The norms have no weight of their own; that cross-attention reads normalised frames
    is an assumption.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_dim: int, *, qk_norm: bool = False, norm_eps: float = 1e-6,
        ops: Any = torch.nn, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm_eps = norm_eps
        leaf = {"device": device, "dtype": dtype}
        place = {"ops": ops, **leaf}
        self.modulation = ModulationOffsets(MODULATION_VECTORS, dim, **place)
        self.self_attention = RotaryAttention(dim, num_heads, qk_norm=qk_norm, **place)
        self.cross_attention = CrossAttention(dim, num_heads, qk_norm=qk_norm, **place)
        self.wide = ops.Linear(dim, mlp_dim, **leaf)
        self.narrow = ops.Linear(mlp_dim, dim, **leaf)

    def forward(
        self, x: Tensor, modulation: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, table: Tensor,
        attend: Attend,
    ) -> Tensor:  # fmt: skip
        """x [B, L, D], modulation [B, 6, D], text keys and values [B, H, T, K], `rotary_table` -> [B, L, D]."""
        # Bias, scale before and scale after self-attention, then of the feed-forward.
        bias, scale, gate, mlp_bias, mlp_scale, mlp_gate = modulation.chunk(MODULATION_VECTORS, dim=1)
        attended = self.self_attention(torch.addcmul(bias, self._norm(x), 1.0 + scale), attend, table)
        x = kernels.gated_residual(x, attended, gate)
        x = x + self.cross_attention(self._norm(x), keys, values, mask, attend)
        hidden = F.gelu(self.wide(torch.addcmul(mlp_bias, self._norm(x), 1.0 + mlp_scale)), approximate="tanh")
        return kernels.gated_residual(x, self.narrow(hidden), mlp_gate)

    def _norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=self.norm_eps)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as the identity: the last scales and the ungated cross-attention's output are zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.modulation.table.weight)
        nn.init.zeros_(self.cross_attention.out.weight)
        for attention in (self.self_attention, self.cross_attention):
            if attention.query_scale is not None:
                nn.init.ones_(attention.query_scale.weight)
