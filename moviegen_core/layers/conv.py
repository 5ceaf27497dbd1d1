"""2.5D convolutions: a spatial one per frame, then a temporal one per pixel (paper 3.1.1).

Shape letters: B batch, T frames, C channels, H W pixels. Activations are frames [B * T, C, H, W] in channels-last
order, which is a clip [B, T, H, W, C] in memory: the temporal convolution reads the same memory as an image with T
rows and H * W columns, so neither of the two needs a copy of the other's result, as long as what stands between them
keeps that order; PyTorch's group norm does so on a CPU only (`autoencoder_block.normed` elsewhere).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TemporalConv(nn.Module):
    """Kernel 3 (assumption) in time with symmetric replicate padding: T frames -> ceil(T / stride), or phases * T."""

    def __init__(
        self, channels: int, *, stride: int = 1, phases: int = 1, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.phases = phases
        # A convolution over (T, H * W) is the fastest form on a CPU: 2 to 3 times conv3d or shifted matrix products.
        self.taps = ops.Conv2d(channels, channels * phases, (3, 1), stride=(stride, 1), device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Identity (assumption): the centre tap passes its frame, so that an inflated image network stays itself."""
        with torch.no_grad():
            nn.init.zeros_(self.taps.weight)
            nn.init.zeros_(self.taps.bias)
            for phase in self.taps.weight[:, :, 1, 0].chunk(self.phases):
                phase.fill_diagonal_(1.0)

    def forward(self, frames: Tensor, batch: int, *, still: bool = False) -> Tensor:
        """[B * T, C, H, W] -> [B * ceil(T / stride) * phases, C, H, W]; `still` keeps the first phase alone.

        An image meets the sum of the taps.
        """
        height, width = frames.shape[-2:]
        clip = as_clip(frames, batch)
        clip = torch.cat((clip[:, :1], clip, clip[:, -1:]), dim=1)
        mixed = self.taps(clip.flatten(2, 3).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        if self.phases > 1:  # B T P, phases and C -> B T phases P C
            mixed = mixed.unflatten(3, (self.phases, -1)).transpose(2, 3)
            mixed = (mixed[:, :, :1] if still else mixed).flatten(1, 2).contiguous()
        return as_frames(mixed.unflatten(2, (height, width)))


class Conv25D(nn.Module):
    """3 x 3 convolution of every frame, then a temporal one; the latter starts as the identity."""

    def __init__(
        self, in_channels: int, out_channels: int, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spatial = ops.Conv2d(in_channels, out_channels, 3, padding=1, device=device, dtype=dtype)
        self.temporal = TemporalConv(out_channels, ops=ops, device=device, dtype=dtype)

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, Cin, H, W] -> [B * T, Cout, H, W]."""
        return self.temporal(self.spatial(frames), batch)


class Downsample(nn.Module):
    """Strided convolutions; a spatial stride of 1 leaves the temporal one alone."""

    def __init__(
        self, channels: int, spatial_stride: int, temporal_stride: int, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spatial = (
            ops.Conv2d(channels, channels, 3, stride=spatial_stride, device=device, dtype=dtype)
            if spatial_stride > 1
            else None
        )
        self.temporal = TemporalConv(channels, stride=temporal_stride, ops=ops, device=device, dtype=dtype)

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> [B * ceil(T / temporal), C, H / spatial, W / spatial]."""
        if self.spatial is not None:
            # Latent Diffusion pads below and to the right only; its weights expect that.
            frames = self.spatial(F.pad(frames, (0, 1, 0, 1)))
        return self.temporal(frames, batch)


class Upsample(nn.Module):
    """Up in space, then in time: nearest neighbour, then convolution.

    With `subpixel`, which the paper does not have, each half is one convolution whose channels become pixels or frames.
    Nearest neighbour tells the pixels and frames of a block apart only through their neighbours, which a small network
    takes long to learn.
    """

    def __init__(
        self, in_channels: int, out_channels: int, spatial_stride: int, temporal_stride: int, *,
        subpixel: bool = False, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spatial_stride, self.temporal_stride, self.subpixel = spatial_stride, temporal_stride, subpixel
        made = out_channels * spatial_stride**2 if subpixel else out_channels
        self.spatial = (
            ops.Conv2d(in_channels, made, 3, padding=1, device=device, dtype=dtype)
            if spatial_stride > 1 or in_channels != out_channels
            else None
        )
        phases = temporal_stride if subpixel else 1
        self.temporal = TemporalConv(out_channels, phases=phases, ops=ops, device=device, dtype=dtype)

    def forward(self, frames: Tensor, batch: int, *, still: bool = False) -> Tensor:
        """[B * T, Cin, H, W] -> [B * T * temporal, Cout, H * spatial, W * spatial]; `still` keeps T."""
        stride = self.spatial_stride
        if self.spatial is not None:
            if stride > 1 and not self.subpixel:
                frames = F.interpolate(frames, scale_factor=float(stride), mode="nearest")
            frames = self.spatial(frames)
            if stride > 1 and self.subpixel:
                frames = as_frames(depth_to_space(as_clip(frames, batch), stride))
        if self.temporal_stride > 1 and not (still or self.subpixel):
            frames = as_frames(as_clip(frames, batch).repeat_interleave(self.temporal_stride, dim=1))
        return self.temporal(frames, batch, still=still)


def space_to_depth(clip: Tensor, size: int) -> Tensor:
    """Space to channels: [B, T, H, W, C] -> [B, T, H / size, W / size, C size^2], channels ordered (C, row, column)."""
    blocks = clip.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # B T h y w x C
    return blocks.permute(0, 1, 2, 4, 6, 3, 5).flatten(4)


def depth_to_space(clip: Tensor, size: int) -> Tensor:
    """Channels to space, the inverse of `space_to_depth`."""
    blocks = clip.unflatten(4, (-1, size, size))  # B T h w C y x
    return blocks.permute(0, 1, 2, 5, 3, 6, 4).flatten(4, 5).flatten(2, 3)


def as_clip(frames: Tensor, batch: int) -> Tensor:
    """Frames [B * T, C, H, W] -> clip [B, T, H, W, C]; no copy where the frames are channels-last."""
    return frames.permute(0, 2, 3, 1).contiguous().unflatten(0, (batch, -1))


def as_frames(clip: Tensor) -> Tensor:
    """Clip [B, T, H, W, C] -> frames [B * T, C, H, W] in channels-last order."""
    return clip.flatten(0, 1).permute(0, 3, 1, 2)
