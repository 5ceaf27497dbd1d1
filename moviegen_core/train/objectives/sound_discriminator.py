"""Discriminators of sound: by period and by spectrum, with least-squares and feature-matching losses, as DAC's."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops.spectrum import spectrum
from .discriminator import learn

ADVERSARIAL_WEIGHT, FEATURE_WEIGHT = 1.0, 2.0  # DAC's, beside its mel weight of 15
SLOPE = 0.1


class PeriodDiscriminator(nn.Module):
    """Looks at every `period`-th sample as a picture of `period` columns."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 2 * channels, 4 * channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(below, width, (5, 1), (3, 1), padding=(2, 0)) for below, width in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """[B, 1, N] -> feature maps, the last of them the scores."""
        padded = F.pad(waveform, (0, -waveform.shape[2] % self.period))
        return _features(padded.unflatten(2, (-1, self.period)), self.layers, self.last)


class SpectrumDiscriminator(nn.Module):
    """Looks at the real and imaginary parts of a spectrogram."""

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.window = window
        strides = (1, 2, 2)
        widths = (2, channels, channels, channels)
        self.layers = nn.ModuleList(
            nn.Conv2d(below, width, (3, 9), (1, stride), padding=(1, 4))
            for (below, width), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """[B, 1, N] -> feature maps, the last of them the scores."""
        lines = spectrum(waveform[:, 0], self.window, self.window // 4)
        picture = torch.view_as_real(lines).permute(0, 3, 2, 1) / math.sqrt(self.window / 2)
        return _features(picture, self.layers, self.last)


class SoundDiscriminator(nn.Module):
    """Several of both kinds: waveform [B, 1, N] -> the feature maps of each, last the scores (high means real)."""

    def __init__(
        self, periods: tuple[int, ...] = (2, 3, 5, 7, 11), windows: tuple[int, ...] = (2048, 1024, 512),
        channels: int = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        self.parts = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in periods),
                *(SpectrumDiscriminator(window, channels) for window in windows),
            ]
        )

    def forward(self, waveform: Tensor) -> list[list[Tensor]]:
        """One list of feature maps for each part; the loudness is evened first, as DAC does."""
        centred = waveform - waveform.mean(dim=2, keepdim=True)
        evened = 0.8 * centred / (centred.abs().amax(dim=2, keepdim=True) + 1e-4)
        return [part(evened) for part in self.parts]


@dataclass
class SoundAdversary:
    """Discriminators and their optimiser; called once a batch, it trains itself and judges."""

    discriminator: SoundDiscriminator
    weight: float = ADVERSARIAL_WEIGHT
    feature_weight: float = FEATURE_WEIGHT
    learning_rate: float = 2e-4
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.discriminator.parameters(), lr=self.learning_rate, betas=(0.8, 0.99))

    def __call__(self, made: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Waveforms [B, 1, N] -> (weighted loss of the codec, what to report)."""
        learning = least_squares(self.discriminator(real), self.discriminator(made.detach()))
        learn(self.optimizer, learning)
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            wanted = self.discriminator(real)
        found = self.discriminator(made)
        self.discriminator.requires_grad_(True)
        fooling = torch.stack([(1.0 - maps[-1]).square().mean() for maps in found]).mean()
        matching = feature_matching(found, wanted)
        told = {"discriminator": learning.detach(), "fooling": fooling.detach(), "matching": matching.detach()}
        return self.weight * fooling + self.feature_weight * matching, told

    def state_dict(self) -> dict[str, object]:
        """Everything a resumed run needs."""
        return {"discriminator": self.discriminator.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]


def least_squares(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """Loss of the discriminators: scores of real sounds towards 1, of made ones towards 0."""
    pairs = zip(real, made, strict=True)
    return torch.stack([(1.0 - a[-1]).square().mean() + b[-1].square().mean() for a, b in pairs]).mean()


def feature_matching(made: list[list[Tensor]], real: list[list[Tensor]]) -> Tensor:
    """L1 between the feature maps of made and real sounds, without the scores."""
    pairs = zip(made, real, strict=True)
    return torch.stack([F.l1_loss(a, b) for maps, others in pairs for a, b in zip(maps[:-1], others[:-1])]).mean()  # noqa: B905


def _features(x: Tensor, layers: nn.ModuleList, last: nn.Module) -> list[Tensor]:
    maps = []
    for layer in layers:
        x = F.leaky_relu(layer(x), SLOPE)
        maps.append(x)
    return [*maps, last(x)]
