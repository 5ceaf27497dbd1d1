"""Judge: reads what happens in a short clip (thing, colour, motion, place, camera) from its pixels.

Shape letters: B batch, T frames, H W pixels, C channels, K classes of one attribute.
Motion is seen by shifting a share of the channels one frame back and forth (Lin et al. 2019,
arXiv 1811.08383), which costs no arithmetic on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeConfig:
    """Widths, the clip that is read, and the answers each attribute allows."""

    classes: dict[str, tuple[str, ...]]
    channels: tuple[int, ...] = (32, 64, 96, 160)
    num_frames: int = 16
    frames_per_second: float = 8.0  # the rate at which those frames are taken: 16 frames show 2 s
    size: int = 64  # pixels, square
    query_heads: int = 4

    def __post_init__(self) -> None:
        if not self.classes or any(len(answers) < 2 for answers in self.classes.values()):
            raise ConfigError("a judge needs at least one attribute with two or more classes")
        if any(width % 8 for width in self.channels):
            raise ConfigError(f"judge channels {self.channels} must be multiples of 8")


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
        widths = config.channels
        self.stem = ops.Conv2d(3, widths[0], 5, stride=2, padding=2, **place)
        self.stem_norm = ops.GroupNorm(8, widths[0], **place)
        stages: list[nn.Module] = [ShiftBlock(widths[0], widths[0], 1, ops, place)]
        for before, after in pairwise(widths):
            stages += [ShiftBlock(before, after, 2, ops, place), ShiftBlock(after, after, 1, ops, place)]
        self.stages = nn.ModuleList(stages)
        width = widths[-1]
        self.rows = ops.Embedding(config.size // 2 ** len(widths), width, **place)
        self.columns = ops.Embedding(config.size // 2 ** len(widths), width, **place)
        self.frames = ops.Embedding(config.num_frames, width, **place)
        self.queries = ops.Embedding(len(config.classes), width, **place)
        self.key_value = ops.Linear(width, 2 * width, **place)
        self.token_norm = ops.LayerNorm(width, **place)
        self.mix = nn.ModuleList([ops.Linear(2 * width, width, **place) for _ in config.classes])
        self.heads = nn.ModuleList([ops.Linear(width, len(answers), **place) for answers in config.classes.values()])

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """pixels [B, 3, T, H, W] in [-1, 1], sized as the config says -> scores [B, K] per attribute."""
        batch, _, frames, height, width = pixels.shape
        x = pixels.transpose(1, 2).reshape(batch * frames, 3, height, width)
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.silu(self.stem_norm(self.stem(x)))
        for stage in self.stages:
            x = stage(x, frames)
        _, channels, rows, columns = x.shape
        tokens = x.permute(0, 2, 3, 1).reshape(batch, frames, rows, columns, channels)
        index = torch.arange(max(frames, rows, columns), device=x.device)
        tokens = tokens + self.frames(index[:frames])[:, None, None]
        tokens = tokens + self.rows(index[:rows])[:, None] + self.columns(index[:columns])
        tokens = self.token_norm(tokens.reshape(batch, -1, channels))
        return self._answer(tokens)

    def _answer(self, tokens: Tensor) -> dict[str, Tensor]:
        batch, _, width = tokens.shape
        heads = self.config.query_heads
        key, value = self.key_value(tokens).chunk(2, dim=-1)
        queries = self.queries(torch.arange(len(self.heads), device=tokens.device)).expand(batch, -1, -1)
        query, key, value = (x.unflatten(-1, (heads, width // heads)).transpose(1, 2) for x in (queries, key, value))
        read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        whole = tokens.mean(dim=1)
        answers = {}
        for number, name in enumerate(self.config.classes):
            both = torch.cat([read[:, number], whole], dim=-1)
            answers[name] = self.heads[number](F.silu(self.mix[number](both)))
        return answers

    def read(self, pixels: Tensor, fps: float) -> dict[str, list[str]]:
        """Any clip [B, 3, T, H, W] in [-1, 1] at `fps` -> the answer for each attribute and clip."""
        with torch.inference_mode():
            scores = self(prepare_clip(pixels, fps, self.config))
        return {
            name: [self.config.classes[name][best] for best in rows.argmax(dim=-1).tolist()]
            for name, rows in scores.items()
        }


class ShiftBlock(nn.Module):
    """Residual pair of 3x3 convolutions that first exchanges channels with the neighbouring frames."""

    def __init__(self, width_in: int, width_out: int, stride: int, ops: Any, place: dict[str, Any]) -> None:
        super().__init__()
        self.first = ops.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False, **place)
        self.first_norm = ops.GroupNorm(8, width_out, **place)
        self.second = ops.Conv2d(width_out, width_out, 3, padding=1, bias=False, **place)
        self.second_norm = ops.GroupNorm(8, width_out, **place)
        changes = stride != 1 or width_in != width_out
        self.skip = ops.Conv2d(width_in, width_out, 1, stride=stride, **place) if changes else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x [B*T, C, H, W] -> the same clip at the block's width and stride."""
        kept = x if self.skip is None else self.skip(x)
        x = F.silu(self.first_norm(self.first(shift_frames(x, frames))))
        return F.silu(kept + self.second_norm(self.second(x)))


def shift_frames(x: Tensor, frames: int) -> Tensor:
    """Moves an eighth of the channels one frame later and another eighth one frame earlier; ends repeat."""
    clip = x.permute(0, 2, 3, 1).unflatten(0, (-1, frames))
    share = x.shape[1] // 8
    index = torch.arange(frames, device=x.device)
    later = clip[..., :share][:, (index - 1).clamp(min=0)]
    earlier = clip[..., share : 2 * share][:, (index + 1).clamp(max=frames - 1)]
    return torch.cat([later, earlier, clip[..., 2 * share :]], dim=-1).flatten(0, 1).permute(0, 3, 1, 2)


def prepare_clip(pixels: Tensor, fps: float, config: JudgeConfig) -> Tensor:
    """Takes the judge's frames from the clip's start by the clock and scales them to its size.

    pixels [B, 3, T, H, W]; a clip shorter than the judge's span holds its last frame.
    """
    span = torch.arange(config.num_frames, device=pixels.device) / config.frames_per_second
    index = (span * fps).round().long().clamp(max=pixels.shape[2] - 1)
    frames = pixels[:, :, index]
    batch = frames.shape[0]
    flat = frames.transpose(1, 2).flatten(0, 1)
    flat = F.interpolate(flat, size=(config.size, config.size), mode="area")
    return flat.unflatten(0, (batch, config.num_frames)).transpose(1, 2)
