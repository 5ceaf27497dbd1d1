"""Sound match: tells whether a sound belongs to moving pictures, moment by moment, and to a description.

It stands for ImageBind and CLAP in the re-ranking of candidates, and what it sees of motion is offered to the nano
sound transformer beside MetaCLIP's still pictures. None of it is in the paper: all of it is an assumption.

Shape letters: B batch, N video frames, M moments (50 a second), W width, F width of a moment's features, S width of
the shared space, K frequency bands, T text tokens, E width of a text token.
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
from ...layers.standard import Standardise
from ...ops.resample import squares
from ...ops.spectrum import mel_edges, spectrum, table, triangles
from ...shapes import SOUND_SAMPLE_RATE

MOMENT_RATE = 50  # a second
HOP = SOUND_SAMPLE_RATE // MOMENT_RATE
WINDOW = 2 * HOP  # samples of a spectrum: half of it overlaps the next one
LOWEST_HERTZ, HIGHEST_HERTZ = 60.0, 16_000.0
FLOOR = 1e-8  # power of a full-scale wave's share that counts as silence: -80 dB


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundMatchConfig:
    """Widths, and the size at which pictures are looked at."""

    image_size: int = 32  # pixels, square; other shapes are squeezed
    first_stride: int = 2  # pixels from one place of the first look to the next: an even number
    channels: tuple[int, ...] = (16, 32, 48)  # all but the first halve the picture
    dim: int = 64
    feature_dim: int = 48
    shared_dim: int = 32
    dilations: tuple[int, ...] = (1, 2, 4)  # of the convolutions over moments, five taps each: 0.6 s to either side
    bands: int = 40
    onset_bands: int = 6  # broad bands whose loudness is foretold from the pictures while training
    text_dim: int = 192
    text_heads: int = 4

    def __post_init__(self) -> None:
        if self.first_stride < 2 or self.first_stride % 2:
            raise ConfigError(f"first_stride {self.first_stride} must be even and at least 2")
        if self.image_size % self.shrinks:
            raise ConfigError(
                f"image_size {self.image_size} cannot be shrunk {self.shrinks} times; use a multiple of {self.shrinks}"
            )
        if self.text_heads < 1 or self.dim % self.text_heads:
            raise ConfigError(f"dim {self.dim} must be a multiple of text_heads {self.text_heads}")
        if self.bands < self.onset_bands or any(width % 8 for width in self.channels):
            raise ConfigError("onset_bands must not exceed bands, and channels must be multiples of 8")

    @property
    def shrinks(self) -> int:
        """How many times shorter a side becomes."""
        return self.first_stride * 2 ** (len(self.channels) - 1)


class Moments(nn.Module):
    """Residual convolutions over moments: [B, M, W] -> [B, M, W]."""

    def __init__(self, dim: int, dilations: tuple[int, ...], *, ops: Any, device: Any, dtype: Any) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            ops.Conv1d(dim, dim, 5, padding=2 * dilation, dilation=dilation, device=device, dtype=dtype)
            for dilation in dilations
        )
        self.norms = nn.ModuleList(ops.LayerNorm(dim, device=device, dtype=dtype) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Each layer adds what it finds around a moment."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = x + F.gelu(convolution(norm(x).transpose(1, 2))).transpose(1, 2)
        return x


class SoundMatch(nn.Module):
    """Frames, sound and text in one space; a pair's score is the mean of the moments' cosines."""

    def __init__(
        self, config: SoundMatchConfig, *, ops: Any = nn, device: Any = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.config = config
        leaf = {"device": device, "dtype": dtype}
        # The first one sees 5 x 5 pixels at a stride of 2, and as much of a finer picture.
        stride = config.first_stride
        first = ops.Conv2d(3, config.channels[0], 5 * stride // 2, stride=stride, padding=stride, **leaf)
        self.looks = nn.ModuleList(
            [first, *(ops.Conv2d(*widths, 3, stride=2, padding=1, **leaf) for widths in pairwise(config.channels))]
        )
        self.look_norms = nn.ModuleList(ops.GroupNorm(8, width, **leaf) for width in config.channels)
        side = config.image_size // config.shrinks
        # Flattened, not pooled: where something is tells when it hits the ground.
        self.seen = ops.Linear(config.channels[-1] * side * side, config.dim, **leaf)
        self.watch = Moments(config.dim, config.dilations, ops=ops, **leaf)
        self.features = ops.Linear(config.dim, config.feature_dim, **leaf)
        self.feature_norm = ops.LayerNorm(config.feature_dim, **leaf)
        self.frames_out = ops.Linear(config.feature_dim, config.shared_dim, **leaf)
        self.foretell = ops.Linear(config.feature_dim, 2 * config.onset_bands, **leaf)
        self.heard = ops.Linear(config.bands, config.dim, **leaf)
        self.listen = Moments(config.dim, config.dilations, ops=ops, **leaf)
        self.sound_out = ops.Linear(config.dim, config.shared_dim, **leaf)
        self.sound_kind = ops.Linear(2 * config.dim, config.shared_dim, **leaf)
        self.text_standard = Standardise(config.text_dim, **leaf)
        self.text_in = ops.Linear(config.text_dim, config.dim, **leaf)
        self.text_weight = ops.Linear(config.dim, config.text_heads, **leaf)
        self.text_out = ops.Linear(config.dim, config.shared_dim, **leaf)
        self.log_scale = ops.Embedding(2, 1, **leaf)  # of the two comparisons: frames and sound, text and sound

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """PyTorch's own start for every layer; the scale of the cosines starts at 10."""
        for layer in self.modules():
            if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.LayerNorm, nn.GroupNorm, Standardise)):
                layer.reset_parameters()
        nn.init.constant_(self.log_scale.weight, math.log(10.0))

    def see(self, pictures: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] in [-1, 1], of any size on any device -> what is where in each, [N, W]."""
        x = squares(pictures, self.config.image_size, "area").to(self.seen.weight)
        for convolution, norm in zip(self.looks, self.look_norms, strict=True):
            x = F.silu(norm(convolution(x)))
        return self.seen(x.flatten(1))

    def moments(self, seen: Tensor) -> Tensor:
        """`see` of the moments [B, M, W] (resampled to 50 a second) -> features of what moves, [B, M, F]."""
        return self.feature_norm(self.features(self.watch(seen)))

    def embed_frames(self, features: Tensor) -> Tensor:
        """`moments` [B, M, F] -> unit vectors [B, M, S]."""
        return F.normalize(self.frames_out(features).float(), dim=-1)

    def embed_sound(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """`sound_bands` [B, M, K] -> unit vectors of the moments [B, M, S] and of the whole [B, S]."""
        heard = self.listen(self.heard(bands))
        whole = torch.cat([heard.mean(dim=1), heard.amax(dim=1)], dim=-1)
        return F.normalize(self.sound_out(heard).float(), dim=-1), F.normalize(self.sound_kind(whole).float(), dim=-1)

    def embed_text(self, text: Tensor, mask: Tensor) -> Tensor:
        """Token features [B, T, E] and mask [B, T] -> unit vectors [B, S]."""
        tokens = F.gelu(self.text_in(self.text_standard(text)))
        # The caption's template is the same everywhere: each head picks the words that tell sounds apart.
        scores = self.text_weight(tokens).masked_fill(~mask[..., None], -1e4)
        weights = scores.softmax(dim=1)[..., None]
        read = (weights * tokens.unflatten(-1, (self.config.text_heads, -1))).sum(dim=1).flatten(1)
        return F.normalize(self.text_out(read).float(), dim=-1)

    def scales(self) -> tuple[Tensor, Tensor]:
        """Factors of the cosines: frames with sound, text with sound; at most 100."""
        both = self.log_scale(torch.arange(2, device=self.log_scale.weight.device)).exp().clamp(max=100.0)
        return both[0, 0], both[1, 0]


def sound_bands(waveform: Tensor, bands: int) -> Tensor:
    """Mono [B, N] at 48 kHz -> loudness of `bands` bands at ceil(N / 1920) * 2 moments, [B, M, K] of about unit size.

    Moment m lies around (m + 1/2) / 50 s. Log of the power between 60 Hz and 16 kHz in bands that widen as the ear's
    do; a full-scale sine is about 2, silence is -2. ShapeError for other shapes.
    """
    if waveform.ndim != 2 or waveform.shape[1] < 1:
        raise ShapeError(f"a sound of shape {tuple(waveform.shape)} was given; give mono [batch, samples]")
    moments = 2 * -(-waveform.shape[1] // (2 * HOP))
    padded = F.pad(waveform, (HOP // 2, moments * HOP + HOP // 2 - waveform.shape[1]))
    power = spectrum(padded, WINDOW, HOP).abs().square() / (WINDOW / 4) ** 2
    energy = _filters(bands).to(power) @ power
    # 80 dB fall on [-2, 2].
    return (energy.clamp(min=FLOOR).log10() / 2 + 2).transpose(1, 2)


@table
def _filters(bands: int) -> Tensor:
    """Bands over the spectrum [K, WINDOW / 2 + 1], evenly spaced on the mel scale."""
    edges = mel_edges(LOWEST_HERTZ, HIGHEST_HERTZ, bands + 2, torch.float32)
    lines = torch.linspace(0, SOUND_SAMPLE_RATE / 2, WINDOW // 2 + 1)
    return triangles(edges, lines, SOUND_SAMPLE_RATE / WINDOW)
