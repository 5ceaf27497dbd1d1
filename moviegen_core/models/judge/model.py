"""Judge: reads what happens in a short clip (thing, colour, motion, place, camera) from its pixels.

Two looks: a few frames in full for what stands still in words, every frame small for what moves. Each place of a
frame votes and the votes are pooled softly towards the strongest (Pinheiro and Collobert 2015, arXiv 1411.6228), so a
small thing is found without being told where it is.

Shape letters: B batch, T frames, H W pixels, N places, D width, K classes of one attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from ...ops.attention import sdpa
from ...ops.resample import squares

SHARPNESS = 5.0  # the cited paper's; the higher, the fewer places it takes to decide


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeConfig:
    """Widths, the clip that is read, and the answers each attribute allows."""

    classes: dict[str, tuple[str, ...]]
    still: tuple[str, ...] = ("thing", "colour", "place")  # attributes that single frames show
    still_frames: int = 3
    still_channels: tuple[int, ...] = (32, 64, 96, 128, 128, 128)
    motion_channels: tuple[int, ...] = (32, 64, 96)
    num_frames: int = 16
    frames_per_second: float = 8.0  # the rate at which those frames are taken: 16 frames show 2 s
    size: int = 64  # pixels, square; motion is read at half of it
    detail: int = 1  # single frames are seen so many times finer; the first convolution reads squares of so many pixels
    layers: int = 2  # of attention over space and time
    num_heads: int = 4

    def __post_init__(self) -> None:
        if not self.classes or any(len(answers) < 2 for answers in self.classes.values()):
            raise ConfigError("a judge needs at least one attribute with two or more classes")
        if any(width % 8 for width in (*self.still_channels, *self.motion_channels)):
            raise ConfigError(f"judge channels {self.still_channels} and {self.motion_channels} must be multiples of 8")
        if not 1 <= self.still_frames <= self.num_frames:
            raise ConfigError(f"still_frames {self.still_frames} must be from 1 to num_frames {self.num_frames}")
        if self.detail < 1:
            raise ConfigError(f"detail is {self.detail}; it must be at least 1")


class Judge(nn.Module):
    """Maps a clip to one row of class scores per attribute."""

    def __init__(
        self,
        config: JudgeConfig,
        *,
        ops: Any = nn,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        place = {"device": device, "dtype": dtype}
        self.still = Frames(3 * config.detail**2, config.still_channels, (2, 2, 1, 2, 1, 1), ops, place)
        # Beside each frame stands its difference from the one before.
        self.moving = Frames(6, config.motion_channels, (2, 2, 2), ops, place)
        width, cells = config.motion_channels[-1], -(-config.size // 16)
        self.rows = ops.Embedding(cells, width, **place)
        self.columns = ops.Embedding(cells, width, **place)
        self.frames = ops.Embedding(config.num_frames, width, **place)
        self.mixers = nn.ModuleList(Mixer(width, config.num_heads, ops, place) for _ in range(config.layers))
        self.norm = ops.LayerNorm(width, **place)
        wide = config.still_channels[-1]
        self.summary = ops.Linear(wide, width, **place)
        self.heads = nn.ModuleDict(
            {
                name: ops.Linear(wide if name in config.still else 2 * width, len(answers), **place)
                for name, answers in config.classes.items()
            }
        )

    def forward(self, stills: Tensor, moves: Tensor) -> dict[str, Tensor]:
        """What `prepare_clip` gives of clips -> scores [B, K] per attribute."""
        folded = F.pixel_unshuffle(stills.transpose(1, 2), self.config.detail).transpose(1, 2)
        places = self.still(folded).flatten(1, 2)
        tokens = self._moves(moves)
        both = torch.cat([tokens.mean(dim=1), self.summary(places.mean(dim=1))], dim=-1)
        return {
            name: soft_max(head(places)) if name in self.config.still else head(both)
            for name, head in self.heads.items()
        }

    def _moves(self, pixels: Tensor) -> Tensor:
        """pixels [B, 3, T, H, W] -> tokens of space and time that have seen each other [B, T * N, D]."""
        change = 4 * torch.diff(pixels, dim=2, prepend=pixels[:, :, :1])
        tokens = self.moving(torch.cat([pixels, change], dim=1))
        side = math.isqrt(tokens.shape[2])
        index = torch.arange(max(side, tokens.shape[1]), device=pixels.device)
        grid = self.rows(index[:side])[:, None] + self.columns(index[:side])
        tokens = tokens + self.frames(index[: tokens.shape[1]])[:, None] + grid.flatten(0, 1)
        tokens = tokens.flatten(1, 2)
        for mixer in self.mixers:
            tokens = mixer(tokens)
        return self.norm(tokens)

    def read(self, pixels: Tensor, fps: float) -> dict[str, list[str]]:
        """Any clip [B, 3, T, H, W] in [-1, 1] at `fps`, on any device -> the answer for each attribute and clip."""
        with torch.inference_mode():
            views = prepare_clip(pixels, fps, self.config)
            scores = self(**{name: view.to(self.norm.weight) for name, view in views.items()})
        return {
            name: [self.config.classes[name][best] for best in rows.argmax(dim=-1).tolist()]
            for name, rows in scores.items()
        }


def soft_max(votes: Tensor) -> Tensor:
    """Votes [B, N, K] of every place -> scores [B, K]: between their mean and their maximum, smooth everywhere."""
    return (torch.logsumexp(SHARPNESS * votes, dim=1) - math.log(votes.shape[1])) / SHARPNESS


class Frames(nn.Module):
    """Plain convolutions on every frame by itself."""

    def __init__(
        self, channels: int, widths: tuple[int, ...], strides: tuple[int, ...], ops: Any, place: dict[str, Any]
    ) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for number, (width, stride) in enumerate(zip(widths, strides, strict=False)):
            kernel = 5 if number == 0 else 3
            self.convs.append(ops.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, **place))
            self.norms.append(ops.LayerNorm(width, **place))
            channels = width

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, T, H, W] -> [B, T, N, D]."""
        batch = pixels.shape[0]
        x = pixels.transpose(1, 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            # Channels last in memory, so the norm over channels needs no copy.
            update = F.silu(norm(conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
            x = x + update if x.shape == update.shape else update
        return x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(0, (batch, -1))


class Mixer(nn.Module):
    """Pre-norm attention and feed-forward over all tokens."""

    def __init__(self, width: int, num_heads: int, ops: Any, place: dict[str, Any]) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = ops.LayerNorm(width, **place)
        self.query_key_value = ops.Linear(width, 3 * width, **place)
        self.out = ops.Linear(width, width, **place)
        self.mlp_norm = ops.LayerNorm(width, **place)
        self.wide = ops.Linear(width, 3 * width, **place)
        self.narrow = ops.Linear(3 * width, width, **place)

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        parts = self.query_key_value(self.norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        x = x + self.out(sdpa(query, key, value).transpose(1, 2).flatten(2))
        return x + self.narrow(F.silu(self.wide(self.mlp_norm(x))))


def prepare_clip(pixels: Tensor, fps: float, config: JudgeConfig) -> dict[str, Tensor]:
    """Any clip as the judge sees it: single frames, finely, and all that move, coarsely.

    pixels [B, 3, T, H, W], of which frames are taken from the start by the clock; a clip shorter than the judge's span
    holds its last frame. Returns "stills" [B, 3, still_frames, H', H'] of side size x detail, and "moves" [B, 3,
    num_frames, H", H"] of side size / 2: what the judge is called with.
    """
    # Reckoned on the CPU, whose rounding picks the same frames for every device.
    span = torch.arange(config.num_frames) / config.frames_per_second
    index = (span * fps).round().long().clamp(max=pixels.shape[2] - 1)
    looks = torch.linspace(0, config.num_frames - 1, config.still_frames + 2)[1:-1]
    stills = _scaled(pixels[:, :, index[looks.round().long()]], config.size * config.detail)
    return {"stills": stills, "moves": _scaled(pixels[:, :, index], config.size // 2)}


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """Frames [B, 3, T, H, W] as squares."""
    flat = squares(pixels.transpose(1, 2).flatten(0, 1), side, "area")
    return flat.unflatten(0, (pixels.shape[0], -1)).transpose(1, 2)


def finer(weights: Mapping[str, Tensor], detail: int) -> dict[str, Tensor]:
    """Weights of a judge of detail 1 -> those of one of more detail that gives the same answers."""
    first = "still.convs.0.weight"
    # Each of the finer pixels counts as its share of their mean.
    return {**weights, first: weights[first].repeat_interleave(detail**2, dim=1) / detail**2}
