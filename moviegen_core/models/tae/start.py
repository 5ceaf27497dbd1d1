"""What an autoencoder's training starts from: a linear code of blocks of pixels and frames, or a smaller network.

For the closed-form start every residual branch is zero, and the layers between them carry the leading principal
components of the blocks. Training then starts from pictures instead of noise, which is worth many minutes on a CPU.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...layers.autoencoder_block import PointwiseMLP, ResBlock, SpatialAttention
from ...layers.conv import Conv25D, Downsample, Upsample
from .model import TAE, Head, TAEConfig

START_LOG_VARIANCE = -6.0  # of the posterior, for latents of about unit variance
SMALLEST_SCALE = 0.02  # of a component's standard deviation, so that none is amplified without bound


@torch.no_grad()
def linear_start(tae: TAE, pixels: Tensor) -> None:
    """Set the weights of a fresh network from sample clips [N, 3, T, H, W] in [-1, 1]; T a multiple of 8.

    ConfigError unless the configuration has a linear path from end to end, with one spatial stride of 2.
    """
    config = tae.config
    strides = config.spatial_strides
    if not (config.linear_path and config.subpixel) or strides[0] != 2 or any(stride != 1 for stride in strides[1:]):
        raise ConfigError("a linear start needs linear_path, subpixel and spatial_strides (2, 1, ...)")
    size, width = config.stem_fold, config.channels[0]
    if width < 3 * size**2 or config.latent_projections or set(config.temporal_strides) != {2}:
        raise ConfigError(
            f"a linear start needs a first level of at least {3 * size**2} channels, temporal strides of 2 and no "
            "latent projections"
        )
    _pass_through(tae)
    downs = [module for module in tae.encoder.modules() if isinstance(module, Downsample)]
    ups = [module for module in tae.decoder.modules() if isinstance(module, Upsample)]
    code = _start_space(downs[0], ups[0], pixels, size)
    scales = code.square().mean(dim=(0, 1)).sqrt().clamp_min(SMALLEST_SCALE)
    for down, up, widest in zip(downs[1:], ups[1:], config.channels[1:], strict=False):
        code, scales = _start_pairs(down, up, code, scales, widest)
    latent = config.latent_channels
    moments: Any = tae.encoder.head.linear
    moments.weight[latent:] = 0.0
    moments.bias[latent:] = START_LOG_VARIANCE


@torch.no_grad()
def grow(tae: TAE, small: TAE) -> None:
    """Let a fresh `tae` do what `small` does, which may lack some of its blocks and the network before the head.

    What is new begins silent, and learns from there. ConfigError where the two differ in anything else.
    """
    names = ("encoder_blocks", "decoder_blocks", "head_mlp")
    if replace(small.config, **{name: getattr(tae.config, name) for name in names}) != tae.config:
        raise ConfigError(
            f"an autoencoder with {small.config} cannot grow into one with {tae.config}: only "
            f"{', '.join(names)} may differ"
        )
    _pass_through(tae)
    own, given = tae.state_dict(), small.state_dict()
    moved = {_grown(key, small.config, tae.config): value for key, value in given.items()}
    lost = [key for key, value in moved.items() if key not in own or own[key].shape != value.shape]
    if lost:
        raise ConfigError(f"the autoencoder to start from is larger: {lost[0]} has no place; choose a larger preset")
    tae.load_state_dict({**own, **moved})


def _grown(key: str, small: TAEConfig, large: TAEConfig) -> str:
    """The name in a larger network of a tensor of a smaller one: new blocks come first in their level."""
    match = re.fullmatch(r"(encoder|decoder)\.levels\.(\d+)\.(\d+)\.(.+)", key)
    if match is None:
        return key
    half, level, index, leaf = match[1], int(match[2]), int(match[3]), match[4]
    counts = [getattr(config, f"{half}_blocks")[level] for config in (small, large)]
    return f"{half}.levels.{level}.{index + counts[1] - counts[0]}.{leaf}"


def _start_space(down: Downsample, up: Upsample, pixels: Tensor, size: int) -> Tensor:
    """First step: components of the pixels of a block, pairs of frames averaged -> code [blocks, T / 2, C]."""
    count = 3 * size**2
    basis, scales = principal_blocks(pixels.transpose(1, 2).flatten(0, 1), 2 * size, count)
    # Components of a block, from the four quarters of it that the fold has made channels.
    taps = basis.view(-1, 3, 2, size, 2, size).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    inward: Any = down.spatial
    outward: Any = up.spatial
    nn.init.zeros_(inward.weight)
    inward.weight[:count, :count, :2, :2] = taps / scales.view(-1, 1, 1, 1)
    nn.init.zeros_(outward.weight)
    made = (taps * scales.view(-1, 1, 1, 1)).flatten(1).T.view(count, 4, count)  # (channel, subpixel, component)
    outward.weight.view(-1, 4, *outward.weight.shape[1:])[:count, :, :count, 1, 1] = made
    taps = down.temporal.taps.weight
    nn.init.zeros_(taps)
    for tap in (1, 2):  # the mean of a pair stands in the middle of the two frames that are made of it
        taps[:, :, tap, 0].fill_diagonal_(0.5)
    blocks = nn.functional.unfold(pixels.transpose(1, 2).flatten(0, 1), 2 * size, stride=2 * size)
    code = torch.einsum("nkb,ck->nbc", blocks, basis.flatten(1)).unflatten(0, (pixels.shape[0], -1, 2))
    return code.mean(dim=2).transpose(1, 2).flatten(0, 1)


def _start_pairs(down: Downsample, up: Upsample, code: Tensor, scales: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """One step in time: the principal components of pairs of codes [blocks, T, C] -> [blocks, T / 2, width]."""
    pairs = code.unflatten(1, (-1, 2)).flatten(2)  # both codes of a pair, the earlier first
    flat = pairs.flatten(0, 1).double()
    power, directions = torch.linalg.eigh(flat.T @ flat / len(flat))
    count = min(width, pairs.shape[2])
    basis = directions.flip(1).T[:count].float()
    made = power.flip(0)[:count].clamp_min(SMALLEST_SCALE**2).sqrt().float()
    size = code.shape[2]
    nn.init.zeros_(down.temporal.taps.weight)
    nn.init.zeros_(up.temporal.taps.weight)
    for place in range(2):
        part = basis[:, place * size : (place + 1) * size]
        down.temporal.taps.weight[:count, :size, 1 + place, 0] = part * scales / made[:, None]
        phase = up.temporal.taps.weight.chunk(2)[place]
        phase[:size, :count, 1, 0] = (part * made[:, None] / scales).T
    return pairs @ basis.T, made


def principal_blocks(frames: Tensor, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Leading components [count, 3, size, size] of blocks of frames [N, 3, H, W], and their standard deviations."""
    blocks = nn.functional.unfold(frames, size, stride=size).transpose(1, 2).flatten(0, 1).double()
    power, directions = torch.linalg.eigh(blocks.T @ blocks / len(blocks))
    scales = power.flip(0)[:count].clamp_min(SMALLEST_SCALE**2).sqrt()
    return directions.flip(1).T[:count].reshape(count, 3, size, size).float(), scales.float()


def _pass_through(tae: TAE) -> None:
    """Zero branches, and layers that hand on as many channels as both sides have."""
    for module in tae.modules():
        if isinstance(module, ResBlock):
            _silence(module.conv2)
            if module.shortcut is not None:
                _identity(module.shortcut)
        elif isinstance(module, PointwiseMLP):
            nn.init.zeros_(module.down.weight)
            nn.init.zeros_(module.down.bias)
        elif isinstance(module, SpatialAttention):
            nn.init.zeros_(module.out.weight)
            nn.init.zeros_(module.out.bias)
        elif isinstance(module, Head):
            _silence(module.conv)
            _identity(module.linear)
        elif isinstance(module, Upsample) and module.spatial is not None:
            _identity(module.spatial)
    _identity(tae.encoder.conv_in.spatial)
    _identity(tae.decoder.conv_in.spatial)


def _silence(conv: Conv25D) -> None:
    nn.init.zeros_(conv.spatial.weight)
    nn.init.zeros_(conv.spatial.bias)


def _identity(conv: Any) -> None:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    middle = conv.weight.shape[-1] // 2
    conv.weight[:, :, middle, middle].fill_diagonal_(1.0)
