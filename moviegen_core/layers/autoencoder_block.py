"""Parts of the autoencoders: norm with swish, residual block, single-head attention over space and time.

Shape letters: B batch, T frames, C channels, H W pixels; activations as in `layers.conv`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import Conv25D, as_clip, as_frames

NORM_EPS = 1e-6


class ResBlock(nn.Module):
    """norm, swish, convolution, twice; the norms see one frame at a time (assumption).

    The 1 x 1 shortcut, and the other 1 x 1 convolutions of the autoencoder, have no temporal one behind them: the paper
    speaks of one after each spatial convolution, and these see no neighbours in space either (assumption).
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm1 = ops.GroupNorm(groups, in_channels, eps=NORM_EPS, **factory)
        self.conv1 = Conv25D(in_channels, out_channels, ops=ops, **factory)
        self.norm2 = ops.GroupNorm(groups, out_channels, eps=NORM_EPS, **factory)
        self.conv2 = Conv25D(out_channels, out_channels, ops=ops, **factory)
        self.shortcut = ops.Conv2d(in_channels, out_channels, 1, **factory) if in_channels != out_channels else None

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, Cin, H, W] -> [B * T, Cout, H, W]."""
        update = self.conv1(swish(self.norm1(frames)), batch)
        update = self.conv2(swish(self.norm2(update)), batch)
        kept = frames if self.shortcut is None else self.shortcut(frames)
        return update.add_(kept) if not torch.is_grad_enabled() else update + kept


class PointwiseMLP(nn.Module):
    """norm, then two 1 x 1 convolutions with a swish between them, around which the input passes."""

    def __init__(
        self, channels: int, hidden: int, groups: int, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm = ops.GroupNorm(groups, channels, eps=NORM_EPS, **factory)
        self.up = ops.Conv2d(channels, hidden, 1, **factory)
        self.down = ops.Conv2d(hidden, channels, 1, **factory)

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> the same shape."""
        update = self.down(swish(self.up(self.norm(frames))))
        return update.add_(frames) if not torch.is_grad_enabled() else update + frames


class Attention(nn.Module):
    """One head over the rows [N, L, C] of a clip, after a group norm and with a residual."""

    def __init__(
        self, channels: int, groups: int, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        factory: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm = ops.GroupNorm(groups, channels, eps=NORM_EPS, **factory)
        self.query = ops.Linear(channels, channels, **factory)
        self.key = ops.Linear(channels, channels, **factory)
        self.value = ops.Linear(channels, channels, **factory)
        self.out = ops.Linear(channels, channels, **factory)

    def mix(self, rows: Tensor) -> Tensor:
        """Rows [N, L, C], each of the N sequences attending within itself."""
        query, key, value = (layer(rows)[:, None] for layer in (self.query, self.key, self.value))
        return self.out(F.scaled_dot_product_attention(query, key, value)[:, 0])


class SpatialAttention(Attention):
    """Every pixel of a frame sees that frame."""

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> the same shape."""
        clip = as_clip(self.norm(frames), batch)
        mixed = self.mix(clip.flatten(2, 3).flatten(0, 1))
        return frames + as_frames(mixed.view_as(clip))


class TemporalAttention(Attention):
    """Every pixel sees its own place in all frames; starts as the identity."""

    def reset_parameters(self) -> None:
        """A zero output projection: an inflated image network stays itself."""
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> the same shape."""
        clip = as_clip(self.norm(frames), batch)
        length, height, width = clip.shape[1:4]
        mixed = self.mix(clip.flatten(2, 3).transpose(1, 2).flatten(0, 1))
        mixed = mixed.view(batch, height, width, length, -1).permute(0, 3, 1, 2, 4)
        return frames + as_frames(mixed.contiguous())


def swish(x: Tensor) -> Tensor:
    """x * sigmoid(x); without gradients it overwrites `x`."""
    return F.silu(x, inplace=not torch.is_grad_enabled())
