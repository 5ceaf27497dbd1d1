"""Sound judge: hears what a clip sounds like (what acts, where, the mood of the music) from its waveform.

Shape letters: B batch, S samples, F mel bands, T time steps, C channels, K classes of one attribute.
A convolutional network on a logarithmic mel spectrogram (the usual front end of sound tagging, as in Hershey et al.
2017, arXiv 1609.09430), small enough to listen to hundreds of clips on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError, ShapeError
from ...ops.spectrum import mel, spectrum, table, triangles

FLOOR = 1e-4  # amplitude below which nothing is heard: about -80 dBFS


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundJudgeConfig:
    """Sizes that fix every parameter shape, and what the network hears; saved inside the checkpoint."""

    classes: dict[str, tuple[str, ...]]
    channels: tuple[int, ...] = (8, 16, 32, 64)
    width: int = 128
    bands: int = 64
    lowest_hertz: float = 40.0
    highest_hertz: float = 8000.0
    sample_rate: int = 48_000
    window: int = 4096  # samples
    step: int = 1920  # samples: 25 a second

    def __post_init__(self) -> None:
        if not self.classes or any(len(answers) < 2 for answers in self.classes.values()):
            raise ConfigError("a sound judge needs at least one attribute with two or more classes")
        if any(width % 8 for width in (*self.channels, self.width)):
            raise ConfigError(f"sound judge channels {(*self.channels, self.width)} must be multiples of 8")
        if self.bands % 2 ** len(self.channels):
            raise ConfigError(f"{self.bands} bands cannot be halved {len(self.channels)} times; use a power of two")


class SoundJudge(nn.Module):
    """Maps a spectrogram to one row of class scores per attribute."""

    def __init__(
        self,
        config: SoundJudgeConfig,
        *,
        ops: Any = nn,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        place = {"device": device, "dtype": dtype}
        widths = config.channels
        self.stem = ops.Conv2d(1, widths[0], 3, stride=2, padding=1, **place)
        self.stem_norm = ops.GroupNorm(4, widths[0], **place)
        stages: list[nn.Module] = [Block(widths[0], widths[0], 1, ops, place)]
        for before, after in pairwise(widths):
            stages += [Block(before, after, 2, ops, place), Block(after, after, 1, ops, place)]
        self.stages = nn.ModuleList(stages)
        rows = config.bands // 2 ** len(widths)
        # Pitch matters, so the bands are not averaged away: every row has weights of its own.
        self.gather = ops.Conv2d(widths[-1], config.width, (rows, 1), **place)
        self.gather_norm = ops.GroupNorm(8, config.width, **place)
        self.rhythm = ops.Conv1d(config.width, config.width, 5, padding=2, groups=4, **place)
        self.rhythm_norm = ops.GroupNorm(8, config.width, **place)
        self.mix = nn.ModuleList([ops.Linear(2 * config.width, 48, **place) for _ in config.classes])
        self.heads = nn.ModuleList([ops.Linear(48, len(answers), **place) for answers in config.classes.values()])

    def forward(self, spectrogram: Tensor) -> dict[str, Tensor]:
        """spectrogram [B, F, T] as `hear` gives it -> scores [B, K] per attribute; ShapeError for other shapes."""
        if spectrogram.ndim != 3 or spectrogram.shape[1] != self.config.bands:
            raise ShapeError(
                f"a spectrogram of shape {tuple(spectrogram.shape)} was given; the sound judge reads "
                f"[batch, {self.config.bands} bands, time], as `hear` gives it"
            )
        x = F.silu(self.stem_norm(self.stem(spectrogram.unsqueeze(1))))
        for stage in self.stages:
            x = stage(x)
        x = F.silu(self.gather_norm(self.gather(x).squeeze(2)))
        x = x + F.silu(self.rhythm_norm(self.rhythm(x)))
        whole = torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=-1)
        pairs = zip(self.config.classes, self.mix, self.heads, strict=True)
        return {name: head(F.silu(mix(whole))) for name, mix, head in pairs}

    def read(self, waveform: Tensor) -> dict[str, list[str]]:
        """Clips [B, channels, S] of at least 0.2 s in [-1, 1] at the judge's rate -> the answer of each attribute.

        They may lie on any device, in any precision.
        """
        with torch.inference_mode():
            scores = self(hear(waveform, self.config).to(self.stem.weight))
        return {
            name: [self.config.classes[name][best] for best in rows.argmax(dim=-1).tolist()]
            for name, rows in scores.items()
        }


class Block(nn.Module):
    """Residual pair of 3x3 convolutions."""

    def __init__(self, width_in: int, width_out: int, stride: int, ops: Any, place: dict[str, Any]) -> None:
        super().__init__()
        self.first = ops.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False, **place)
        self.first_norm = ops.GroupNorm(8, width_out, **place)
        self.second = ops.Conv2d(width_out, width_out, 3, padding=1, bias=False, **place)
        self.second_norm = ops.GroupNorm(8, width_out, **place)
        changes = stride != 1 or width_in != width_out
        self.skip = ops.Conv2d(width_in, width_out, 1, stride=stride, **place) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, F, T] -> the same at the block's width and stride."""
        kept = x if self.skip is None else self.skip(x)
        x = F.silu(self.first_norm(self.first(x)))
        return F.silu(kept + self.second_norm(self.second(x)))


def hear(waveform: Tensor, config: SoundJudgeConfig) -> Tensor:
    """waveform [B, channels, S] -> logarithmic mel spectrogram [B, F, T], about -1 (silence) to 2 (loud).

    ShapeError for less than 0.2 s.
    """
    mono = waveform.float().mean(dim=1)
    least = round(0.2 * config.sample_rate)
    if mono.shape[-1] < least:
        raise ShapeError(f"{mono.shape[-1]} samples are too short to judge; give at least {least}")
    padded = F.pad(mono, (config.window // 2, config.window // 2))
    power = (spectrum(padded, config.window, config.step).abs() * (2 / config.window)).square()
    energy = mel_filters(config).to(mono.device) @ power
    return torch.log(energy + FLOOR**2) / -math.log(FLOOR) + 1.0


@table
def _filters(bands: int, window: int, rate: int, lowest: float, highest: float) -> Tensor:
    # Ends in single precision: shipped weights were trained on bands between these.
    first, last = mel(torch.tensor([lowest, highest])).tolist()
    edges = torch.linspace(first, last, bands + 2, dtype=torch.float64)
    lines = torch.linspace(0.0, rate / 2, window // 2 + 1, dtype=torch.float64)
    return triangles(edges, mel(lines)).float()


def mel_filters(config: SoundJudgeConfig) -> Tensor:
    """Bands [F, window / 2 + 1], evenly spaced on the mel scale; their sides are straight on it too."""
    return _filters(config.bands, config.window, config.sample_rate, config.lowest_hertz, config.highest_hertz)
