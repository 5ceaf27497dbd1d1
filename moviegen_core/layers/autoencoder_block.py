"""Parts of the autoencoders: norm with swish, residual block, single-head attention over space and time.

Shape letters: B batch, T frames, C channels, H W pixels; activations as in `layers.conv`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import kernels
from .conv import Conv25D, as_clip, as_frames

NORM_EPS = 1e-6
MOST_ROWS = 65_535  # that CUDA's attention kernels take at once


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
        update = self.conv1(swish(normed(frames, self.norm1)), batch)
        update = self.conv2(swish(normed(update, self.norm2)), batch)
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
        update = self.down(swish(self.up(normed(frames, self.norm))))
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
        parts = (layer(rows)[:, None].split(MOST_ROWS) for layer in (self.query, self.key, self.value))
        mixed = [F.scaled_dot_product_attention(*part) for part in zip(*parts, strict=True)]
        return self.out((mixed[0] if len(mixed) == 1 else torch.cat(mixed))[:, 0])


class SpatialAttention(Attention):
    """Every pixel of a frame sees that frame."""

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> the same shape."""
        clip = as_clip(normed(frames, self.norm), batch)
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
        clip = as_clip(normed(frames, self.norm), batch)
        length, height, width = clip.shape[1:4]
        mixed = self.mix(clip.flatten(2, 3).transpose(1, 2).flatten(0, 1))
        mixed = mixed.view(batch, height, width, length, -1).permute(0, 3, 1, 2, 4)
        return frames + as_frames(mixed.contiguous())


def normed(frames: Tensor, norm: nn.Module) -> Tensor:
    """A group norm of channels-last frames [N, C, H, W] that gives channels-last ones on any device."""
    if frames.device.type == "cpu":
        return norm(frames)
    # A host's layers may cast their weights, other devices may not mix types, and PyTorch's own is the quicker one to
    # differentiate: all of these copy.
    if type(norm) is nn.GroupNorm and frames.is_cuda and not torch.is_grad_enabled():
        weight, bias = norm.weight, norm.bias
        if all((part.device, part.dtype) == (frames.device, frames.dtype) for part in (weight, bias)):
            return kernels.group_norm(frames, norm.num_groups, weight, bias, norm.eps)
    return norm(frames).contiguous(memory_format=torch.channels_last)


def swish(x: Tensor) -> Tensor:
    """x * sigmoid(x); without gradients it overwrites `x`."""
    return F.silu(x, inplace=not torch.is_grad_enabled())
