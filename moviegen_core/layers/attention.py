"""Multi-head attention layers. Shape letters: B batch, N tokens, L context tokens, D width, H heads, K head width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..ops import kernels
from ..ops.attention import Attend

QK_EPS = 1e-6  # assumption


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """[B, N, D] -> [B, H, N, K], without a copy."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, N, K] -> [B, N, D]."""
    return x.transpose(1, 2).flatten(2)


class _Attention(nn.Module):
    """Projections without bias (assumption for sound), and the optional normalisation of queries and keys."""

    def __init__(
        self, dim: int, num_heads: int, *, qk_norm: bool = False, ops: Any = torch.nn, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_heads = num_heads
        factory = {"device": device, "dtype": dtype}
        self.query = ops.Linear(dim, dim, bias=False, **factory)
        self.key = ops.Linear(dim, dim, bias=False, **factory)
        self.value = ops.Linear(dim, dim, bias=False, **factory)
        self.out = ops.Linear(dim, dim, bias=False, **factory)
        # Only the product of both scales reaches a score, so the keys' one is left out. Rotary positions would tell the
        # two apart, but one serves there too.
        self.query_scale = ops.Embedding(1, dim // num_heads, **factory) if qk_norm else None

    def queries(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, H, N, K]."""
        q = split_heads(self.query(x), self.num_heads)
        if self.query_scale is None:
            return q
        scale = self.query_scale(torch.zeros(1, dtype=torch.long, device=x.device)).to(q.dtype)
        return kernels.rms_norm(q, QK_EPS) * scale

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, L, D] -> keys and values [B, H, L, K]."""
        k = split_heads(self.key(x), self.num_heads)
        v = split_heads(self.value(x), self.num_heads)
        return (k if self.query_scale is None else kernels.rms_norm(k, QK_EPS)), v


class SelfAttention(_Attention):
    """Full bidirectional attention of tokens to each other."""

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        k, v = self.keys_values(x)
        return self.out(merge_heads(attend(self.queries(x), k, v, None)))


class CrossAttention(_Attention):
    """Attention to context tokens whose keys and values were made beforehand by `keys_values`."""

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, attend: Attend) -> Tensor:
        """x [B, N, D], keys and values [B, H, L, K], mask [B, 1, 1, L] or None -> [B, N, D] or [B, 1, D]."""
        if keys.shape[2] == 1 and mask is None:
            # The softmax over a single token is 1 whatever the query: the null condition costs next to nothing.
            return self.out(merge_heads(values))
        return self.out(merge_heads(attend(self.queries(x), keys, values, mask)))
