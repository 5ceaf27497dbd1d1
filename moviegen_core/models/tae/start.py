"""A closed-form start: the autoencoder begins as the best linear code of 8 x 8 blocks, held over time.

Every residual branch starts at zero, and the layers between them carry the leading principal components of the
pixels of a block. Training then starts from pictures instead of noise, which is worth many minutes on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...layers.autoencoder_block import ResBlock, SpatialAttention
from ...layers.conv import Conv25D, Downsample, Upsample
from .model import TAE, Head

START_LOG_VARIANCE = -6.0  # of the posterior, for latents of about unit variance
SMALLEST_SCALE = 0.02  # of a component's standard deviation, so that none is amplified without bound


@torch.no_grad()
def linear_start(tae: TAE, frames: Tensor) -> None:
    """Set the weights of a fresh network from sample frames [N, 3, H, W] in [-1, 1].

    ConfigError unless the configuration has a linear path from end to end, with one spatial stride of 2.
    """
    config = tae.config
    strides = config.spatial_strides
    if not (config.linear_path and config.subpixel) or strides[0] != 2 or any(stride != 1 for stride in strides[1:]):
        raise ConfigError("a linear start needs linear_path, subpixel and spatial_strides (2, 1, ...)")
    size, width = config.stem_fold, config.channels[0]
    if width < 3 * size**2 or config.latent_projections:
        raise ConfigError(f"a linear start needs a first level of at least {3 * size**2} channels and no projections")
    basis, scales = principal_blocks(frames, 2 * size, 3 * size**2)
    _pass_through(tae)
    # Components of a block, from the four quarters of it that the fold has made channels.
    taps = basis.view(-1, 3, 2, size, 2, size).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
    for module in tae.encoder.modules():
        if isinstance(module, Downsample):
            _average(module)
            if module.spatial is not None:
                nn.init.zeros_(module.spatial.weight)
                module.spatial.weight[: len(taps), : taps.shape[1], :2, :2] = taps / scales.view(-1, 1, 1, 1)
    for module in tae.decoder.modules():
        if isinstance(module, Upsample) and module.spatial_stride > 1:
            nn.init.zeros_(module.spatial.weight)
            made = (taps * scales.view(-1, 1, 1, 1)).flatten(1).T  # (channel, row, column) of the subpixels
            module.spatial.weight.view(-1, 4, *module.spatial.weight.shape[1:])[
                : taps.shape[1], :, : len(taps), 1, 1
            ] = made.view(taps.shape[1], 4, len(taps))
    latent = config.latent_channels
    tae.encoder.head.linear.weight[latent:] = 0.0
    tae.encoder.head.linear.bias[latent:] = START_LOG_VARIANCE


def principal_blocks(frames: Tensor, size: int, count: int) -> tuple[Tensor, Tensor]:
    """Leading principal components [count, 3, size, size] of blocks of frames, and their standard deviations."""
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


def _identity(conv: nn.Module) -> None:
    nn.init.zeros_(conv.weight)  # type: ignore[arg-type]
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    middle = conv.weight.shape[-1] // 2  # type: ignore[union-attr, operator]
    conv.weight[:, :, middle, middle].fill_diagonal_(1.0)  # type: ignore[index, operator]


def _average(down: Downsample) -> None:
    """Pairs of frames become their mean, which stands in the middle of what the decoder holds."""
    taps = down.temporal.taps.weight
    nn.init.zeros_(taps)
    taps[:, :, 1, 0].fill_diagonal_(0.5)
    taps[:, :, 2, 0].fill_diagonal_(0.5)
