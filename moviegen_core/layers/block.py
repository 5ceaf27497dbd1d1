"""The transformer block of Movie Gen (paper, figure 8)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..ops import kernels
from ..ops.attention import Attend
from .attention import CrossAttention, SelfAttention
from .mlp import SwiGLU
from .modulation import MODULATION_VECTORS, ModulationOffsets


class TransformerBlock(nn.Module):
    """Modulated self-attention, plain cross-attention (no norm, no gate), modulated feed-forward; all residual.

    The norms have no weight of their own: the block's offsets hold one scale and shift per channel already
    (assumption: the paper's tables do not state it).
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_dim: int, *, qk_norm: bool = False, norm_eps: float = 1e-5,
        ops: Any = torch.nn, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm_eps = norm_eps
        place = {"ops": ops, "device": device, "dtype": dtype}
        self.modulation = ModulationOffsets(MODULATION_VECTORS, dim, **place)
        self.self_attention = SelfAttention(dim, num_heads, qk_norm=qk_norm, **place)
        self.cross_attention = CrossAttention(dim, num_heads, qk_norm=qk_norm, **place)
        self.mlp = SwiGLU(dim, mlp_dim, **place)

    def forward(
        self, x: Tensor, modulation: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, attend: Attend
    ) -> Tensor:
        """x [B, N, D] (positions included), modulation [B, 6, D], context keys and values -> [B, N, D]."""
        x = self.attention_half(x, modulation, keys, values, mask, attend)
        return self.mlp_half(x, modulation)

    def attention_half(
        self, x: Tensor, modulation: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, attend: Attend
    ) -> Tensor:
        """Self-attention and cross-attention; hosts put their patches between this and `mlp_half`."""
        # Shift, scale and gate, of self-attention first.
        shift, scale, gate = modulation.chunk(MODULATION_VECTORS, dim=1)[:3]
        attended = self.self_attention(kernels.rms_modulate(x, scale, shift, self.norm_eps), attend)
        x = kernels.gated_residual(x, attended, gate)
        return x + self.cross_attention(x, keys, values, mask, attend)

    def mlp_half(self, x: Tensor, modulation: Tensor) -> Tensor:
        """The feed-forward."""
        shift, scale, gate = modulation.chunk(MODULATION_VECTORS, dim=1)[3:]
        return kernels.gated_residual(x, self.mlp(kernels.rms_modulate(x, scale, shift, self.norm_eps)), gate)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as the identity: gates and the ungated cross-attention's output are zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.modulation.table.weight)
        nn.init.zeros_(self.cross_attention.out.weight)
        for attention in (self.self_attention, self.cross_attention):
            if attention.query_scale is not None:
                nn.init.ones_(attention.query_scale.weight)
