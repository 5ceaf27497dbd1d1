"""Closed-form start of a codec with a lapped transform: the best linear code of given sounds.

The transform starts as the modified discrete cosine transform with a sine window, which reconstructs perfectly. The
linear code starts as the principal components of all coefficients of a latent frame, scaled to unit variance. With
gains each half of a frame has components of its own, grouped by frequency, so that gains follow 20 ms and a band.
Encoder and decoder start silent beside it and learn what the linear code lacks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from .layers import Snake
from .model import AudioCodec, LinearCode

START_SCALE = 0.03  # standard deviation of the posterior, where the mean has 1
SMALLEST_POWER = 1e-12
SMALLEST_SHARE = 1e-3  # of the first component's deviation that any component is taken to have at least
START_ALPHA = 0.5  # gentler than the fresh 1: coefficients are small


def lapped_basis(block: int) -> Tensor:
    """Orthonormal MDCT with a sine window: [block, 2 block], the inverse is the transpose (Princen and Bradley)."""
    time = torch.arange(2 * block, dtype=torch.float64)
    frequency = torch.arange(block, dtype=torch.float64)
    window = torch.sin(math.pi * (time + 0.5) / (2 * block))
    phase = math.pi / block * (time + 0.5 + block / 2) * (frequency[:, None] + 0.5)
    return (math.sqrt(2 / block) * window * phase.cos()).float()


@torch.no_grad()
def linear_start(codec: AudioCodec, waveforms: Tensor) -> None:
    """Set a fresh codec to the linear code of sounds [K, 1, N], all of which count alike.

    ConfigError for a codec without a lapped transform.
    """
    config, linear = codec.config, codec.linear
    if linear is None:
        raise ConfigError("this codec works on samples and has no linear start; choose a config with a transform")
    start_transform(linear, config.transform)
    count = config.latent_channels - config.gains
    frames = frame_coefficients(codec, waveforms)
    basis, scales = halves(frames, count, config.transform) if config.gains else components(frames, count)
    taps = basis.view(count, -1, config.transform).transpose(1, 2)  # [component, coefficient, block of the frame]
    inward: Any = linear.code_in
    outward: Any = linear.code_out
    for layer in (inward, outward):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    inward.weight[:count] = taps / scales.view(-1, 1, 1)
    outward.weight[:count] = taps * scales.view(-1, 1, 1)
    moments: Any = codec.quantizer.in_proj
    size = config.latent_channels
    moments.weight[:count], moments.bias[:count] = 0.0, 0.0
    moments.weight[size:] = 0.0
    moments.bias[size:] = math.log(math.expm1(START_SCALE))
    last: Any = codec.decoder.wm_model.encoder_block.pre[1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    for module in codec.modules():
        if isinstance(module, Snake):
            nn.init.constant_(module.alpha, START_ALPHA)


def halves(frames: Tensor, count: int, block: int) -> tuple[Tensor, Tensor]:
    """`components` of the two halves of frames [K, L, D] for themselves: [count, D] and [count], low ones first."""
    size, own = frames.shape[2] // 2, count // 2
    basis, scales = components(frames.unflatten(2, (2, size)).flatten(1, 2), own)
    heights = (basis.square().unflatten(1, (-1, block)).sum(dim=1) * torch.arange(block)).sum(dim=1)
    order = heights.argsort()
    whole = torch.zeros(2 * own, 2 * size)
    whole[:own, :size] = whole[own:, size:] = basis[order]
    return whole, scales[order].repeat(2)


def start_transform(linear: LinearCode, block: int) -> None:
    """Set analysis and synthesis to the MDCT of `block` coefficients."""
    basis = lapped_basis(block).unsqueeze(1)
    analysis: Any = linear.analysis
    synthesis: Any = linear.synthesis
    analysis.weight.copy_(basis)
    synthesis.weight.copy_(basis)


def frame_coefficients(codec: AudioCodec, waveforms: Tensor) -> Tensor:
    """Coefficients of whole latent frames of sounds [K, 1, N] -> [K, L, blocks * block], block after block."""
    assert codec.linear is not None
    group = codec.config.hop_length // codec.config.transform
    sounds = F.pad(waveforms, (0, -waveforms.shape[2] % codec.config.hop_length))
    coefficients = codec.linear.analysis(sounds).transpose(1, 2)
    return coefficients.unflatten(1, (-1, group)).flatten(2)


def components(frames: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Leading principal directions [count, D] of frames [K, L, D], and their standard deviations [count].

    Silent sounds do not count; all others count alike, so that the quiet ones are not lost. The deviations are those
    at the mean loudness. ConfigError where all are silent.
    """
    power = frames.square().mean(dim=(1, 2)).double()
    heard = (power > SMALLEST_POWER).nonzero().flatten()
    if not len(heard):
        raise ConfigError("all sounds for the linear start are silent; give some that can be heard")
    covariance = torch.zeros(frames.shape[2], frames.shape[2], dtype=torch.float64)
    for index in heard:  # one by one: in double precision all frames together would fill the memory
        covariance += (frames[index].T @ frames[index]).double() / power[index]
    covariance *= power[heard].mean() / (len(heard) * frames.shape[1])
    strengths, directions = torch.linalg.eigh(covariance)
    scales = strengths.flip(0)[:count].clamp_min(0.0).sqrt()
    return directions.flip(1).T[:count].float(), scales.clamp_min(SMALLEST_SHARE * scales[0].item()).float()
