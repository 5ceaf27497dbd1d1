"""Temporal autoencoder: the image autoencoder of Latent Diffusion, inflated to 2.5D (paper 3.1.1).

Shape letters: B batch, T frames, H W pixels, t h w latent grid, C channels. A clip of any length encodes to
ceil(T / 8) latent frames; decoding gives 8 times as many, of which the first T are kept. An image is a clip of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import ConfigError, ShapeError
from ...layers.autoencoder_block import (
    NORM_EPS,
    PointwiseMLP,
    ResBlock,
    SpatialAttention,
    TemporalAttention,
    normed,
    swish,
)
from ...layers.conv import Conv25D, Downsample, Upsample, as_clip, as_frames, depth_to_space, space_to_depth

LOG_VARIANCE_LIMITS = (-30.0, 20.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TAEConfig:
    """Sizes that fix every parameter shape; the strides stand between one level and the next."""

    channels: tuple[int, ...]
    spatial_strides: tuple[int, ...] = (2, 2, 2)
    temporal_strides: tuple[int, ...] = (2, 2, 2)
    stem_fold: int = 1  # this many pixels a side become channels before the first convolution
    encoder_blocks: tuple[int, ...] = (2, 2, 2, 2)  # residual blocks of each level
    decoder_blocks: tuple[int, ...] = (3, 3, 3, 3)
    norm_groups: int = 32
    mid_attention: bool = True
    subpixel: bool = False  # steps up turn channels into pixels and frames, and narrow to the next level's channels
    head_mlp: int = 0  # hidden channels per channel of a pointwise network before the decoder's head; 0: none
    linear_path: bool = False  # a 1 x 1 convolution round the last norm and swish of both halves
    latent_channels: int = 16
    latent_projections: bool = False  # the 1 x 1 convolutions around the latent that older image autoencoders have

    def __post_init__(self) -> None:
        if not len(self.channels) - 1 == len(self.spatial_strides) == len(self.temporal_strides):
            raise ConfigError(
                f"{len(self.channels)} levels need {len(self.channels) - 1} spatial and temporal strides, given "
                f"{len(self.spatial_strides)} and {len(self.temporal_strides)}"
            )
        if not len(self.channels) == len(self.encoder_blocks) == len(self.decoder_blocks):
            raise ConfigError(
                f"{len(self.channels)} levels need as many block counts, given {len(self.encoder_blocks)} for the "
                f"encoder and {len(self.decoder_blocks)} for the decoder"
            )
        steps = zip(self.channels, self.channels[1:], self.encoder_blocks[1:], strict=False)
        if any(before != after and blocks == 0 for before, after, blocks in steps):
            raise ConfigError(f"a level that changes the width needs at least one block, given {self.encoder_blocks}")
        for name in ("stem_fold", "norm_groups", "latent_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.head_mlp < 0:
            raise ConfigError(f"head_mlp is {self.head_mlp}; it must be at least 0")
        if min((*self.channels, *self.spatial_strides, *self.temporal_strides)) < 1:
            raise ConfigError(
                f"channels {self.channels} and strides {self.spatial_strides}, {self.temporal_strides} must be at "
                "least 1 throughout"
            )
        uneven = [width for width in self.channels if width % self.norm_groups]
        if uneven:
            raise ConfigError(f"channels {uneven} must be multiples of norm_groups {self.norm_groups}")

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent row or column."""
        return self.stem_fold * math.prod(self.spatial_strides)

    @property
    def temporal_stride(self) -> int:
        """Frames per latent frame."""
        return math.prod(self.temporal_strides)


class Posterior(NamedTuple):
    """Gaussian over raw latents, each part [B, C, t, h, w]."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw; the noise comes from a CPU generator, so that it is the same on any device."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """Divergence from a unit Gaussian, mean over all latent values."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance).mean()


class TAE(nn.Module):
    """Encoder, decoder and the latent statistics that give the transformer unit variance (by channel: assumption)."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, config: TAEConfig, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        factory: dict[str, Any] = {"ops": ops, "device": device, "dtype": dtype}
        self.encoder = Encoder(config, **factory)
        self.decoder = Decoder(config, **factory)
        size = config.latent_channels
        conv = {"device": device, "dtype": dtype}
        self.project_in = ops.Conv2d(2 * size, 2 * size, 1, **conv) if config.latent_projections else None
        self.project_out = ops.Conv2d(size, size, 1, **conv) if config.latent_projections else None
        self.register_buffer("latent_mean", torch.zeros(size, device=device, dtype=dtype))
        self.register_buffer("latent_std", torch.ones(size, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Fresh weights; every temporal layer starts as the identity."""
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters") and not list(module.children()):
                module.reset_parameters()  # type: ignore[operator]
        self.reset_temporal()
        nn.init.zeros_(self.latent_mean)
        nn.init.ones_(self.latent_std)

    def reset_temporal(self) -> None:
        """Make every temporal layer the identity, so that the network is an image autoencoder frame by frame."""
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters") and list(module.children()):
                module.reset_parameters()  # type: ignore[operator]

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Mean and standard deviation [C] of raw latents over a training set."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def posterior(self, pixels: Tensor) -> Posterior:
        """Pixels [B, 3, T, H, W] in [-1, 1] -> raw latent Gaussian; ShapeError unless the sides fit the strides."""
        stride = self.config.spatial_stride
        if pixels.ndim != 5 or pixels.shape[1] != 3 or pixels.shape[2] < 1:
            raise ShapeError(f"pixels are {list(pixels.shape)}; give [batch, 3, frames, height, width]")
        if min(pixels.shape[-2:]) < stride or any(size % stride for size in pixels.shape[-2:]):
            raise ShapeError(
                f"frames of {pixels.shape[-2]} x {pixels.shape[-1]} pixels do not fit the autoencoder; crop or pad "
                f"both sides to multiples of {stride}"
            )
        batch = pixels.shape[0]
        moments = self.encoder(as_frames(space_to_depth(pixels.permute(0, 2, 3, 4, 1), self.config.stem_fold)), batch)
        if self.project_in is not None:
            moments = self.project_in(moments)
        mean, log_variance = as_clip(moments, batch).permute(0, 4, 1, 2, 3).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE_LIMITS))

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, T, H, W] in [-1, 1] -> latent [B, C, ceil(T / 8), H / 8, W / 8] of unit variance.

        It is the mean of the posterior (assumption).
        """
        raw = self.posterior(pixels).mean
        return (raw - _per_channel(self.latent_mean, raw)) / _per_channel(self.latent_std, raw)

    def decode(self, latent: Tensor, num_frames: int | None = None) -> Tensor:
        """Latent [B, C, t, h, w] of unit variance -> pixels [B, 3, num_frames or 8 t, 8 h, 8 w] about [-1, 1]."""
        self._check_latent(latent)
        return self.decode_raw(
            latent * _per_channel(self.latent_std, latent) + _per_channel(self.latent_mean, latent), num_frames
        )

    def decode_raw(self, latent: Tensor, num_frames: int | None = None) -> Tensor:
        """`decode` for latents as `posterior` gives them; ShapeError where they hold fewer frames than asked for."""
        self._check_latent(latent)
        stride = self.config.temporal_stride
        batch, available = latent.shape[0], stride * latent.shape[2]
        wanted = available if num_frames is None else num_frames
        if not 1 <= wanted <= available:
            raise ShapeError(
                f"{wanted} frames were asked for, but {latent.shape[2]} latent frames hold 1 to {available}; "
                "ask for fewer frames or sample a longer clip"
            )
        frames = as_frames(latent.permute(0, 2, 3, 4, 1).contiguous())
        if self.project_out is not None:
            frames = self.project_out(frames)
        # One latent frame decodes to a still: with nearest neighbour no layer could tell its frames apart, and with
        # subpixel steps it is defined so. One frame says it all.
        still = latent.shape[2] == 1
        clip = depth_to_space(as_clip(self.decoder(frames, batch, still=still), batch), self.config.stem_fold)
        pixels = clip.permute(0, 4, 1, 2, 3)
        return pixels.expand(-1, -1, wanted, -1, -1) if still else pixels[:, :, :wanted]

    def _check_latent(self, latent: Tensor) -> None:
        channels = self.config.latent_channels
        if latent.ndim != 5 or latent.shape[1] != channels or latent.shape[2] < 1:
            raise ShapeError(f"the latent is {list(latent.shape)}; give [batch, {channels}, frames, rows, columns]")


class Head(nn.Module):
    """The last norm, swish and convolution of either half.

    A norm takes brightness and contrast away frame by frame; the linear path, where there is one, lets them pass.
    """

    def __init__(self, width: int, out_channels: int, config: TAEConfig, **factory: Any) -> None:
        super().__init__()
        place = {"device": factory["device"], "dtype": factory["dtype"]}
        self.norm = factory["ops"].GroupNorm(config.norm_groups, width, eps=NORM_EPS, **place)
        self.conv = Conv25D(width, out_channels, **factory)
        self.linear = factory["ops"].Conv2d(width, out_channels, 1, **place) if config.linear_path else None

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, C, H, W] -> [B * T, Cout, H, W]."""
        made = self.conv(swish(normed(frames, self.norm)), batch)
        return made if self.linear is None else made + self.linear(frames)


class Encoder(nn.Module):
    """Folded frames -> moments (mean and log variance) of the latent."""

    def __init__(self, config: TAEConfig, **factory: Any) -> None:
        super().__init__()
        widths, groups = config.channels, config.norm_groups
        self.conv_in = Conv25D(3 * config.stem_fold**2, widths[0], **factory)
        self.levels = nn.ModuleList()
        for level, width in enumerate(widths):
            below = widths[max(0, level - 1)]
            blocks = _blocks(below, width, config.encoder_blocks[level], groups, factory)
            if level < len(widths) - 1:
                strides = config.spatial_strides[level], config.temporal_strides[level]
                blocks.append(Downsample(width, *strides, **factory))
            self.levels.append(nn.ModuleList(blocks))
        self.mid = _mid(widths[-1], config, factory)
        self.head = Head(widths[-1], 2 * config.latent_channels, config, **factory)

    def forward(self, frames: Tensor, batch: int) -> Tensor:
        """[B * T, 3 fold^2, H, W] -> [B * t, 2 C, h, w]."""
        frames = self.conv_in(frames, batch)
        for layer in _flat(self.levels, self.mid):
            frames = layer(frames, batch)
        return self.head(frames, batch)


class Decoder(nn.Module):
    """Latent -> folded frames; levels are numbered as in the encoder and run from the last to the first."""

    def __init__(self, config: TAEConfig, **factory: Any) -> None:
        super().__init__()
        widths, groups = config.channels, config.norm_groups
        self.conv_in = Conv25D(config.latent_channels, widths[-1], **factory)
        self.mid = _mid(widths[-1], config, factory)
        levels: list[nn.Module] = []
        incoming = widths[-1]
        for level in reversed(range(len(widths))):
            blocks = _blocks(incoming, widths[level], config.decoder_blocks[level], groups, factory)
            incoming = widths[level]
            if level > 0:
                strides = config.spatial_strides[level - 1], config.temporal_strides[level - 1]
                outgoing = widths[level - 1] if config.subpixel else widths[level]
                blocks.append(Upsample(incoming, outgoing, *strides, subpixel=config.subpixel, **factory))
                incoming = outgoing
            levels.insert(0, nn.ModuleList(blocks))
        self.levels = nn.ModuleList(levels)
        hidden = config.head_mlp * widths[0]
        self.mlp = PointwiseMLP(widths[0], hidden, groups, **factory) if hidden else None
        self.head = Head(widths[0], 3 * config.stem_fold**2, config, **factory)

    def forward(self, frames: Tensor, batch: int, *, still: bool = False) -> Tensor:
        """[B * t, C, h, w] -> [B * T, 3 fold^2, H, W]; `still` leaves out the steps up in time."""
        frames = self.conv_in(frames, batch)
        for layer in _flat([self.mid], reversed(self.levels)):
            frames = layer(frames, batch, still=still) if isinstance(layer, Upsample) else layer(frames, batch)
        return self.head(frames if self.mlp is None else self.mlp(frames, batch), batch)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like).view(1, -1, 1, 1, 1)


def _blocks(incoming: int, width: int, count: int, groups: int, factory: dict[str, Any]) -> list[nn.Module]:
    return [ResBlock(incoming if index == 0 else width, width, groups, **factory) for index in range(count)]


def _mid(width: int, config: TAEConfig, factory: dict[str, Any]) -> nn.ModuleList:
    groups = config.norm_groups
    kinds: list[Callable[..., nn.Module]] = [SpatialAttention, TemporalAttention] if config.mid_attention else []
    attention = [kind(width, groups, **factory) for kind in kinds]
    return nn.ModuleList(
        [ResBlock(width, width, groups, **factory), *attention, ResBlock(width, width, groups, **factory)]
    )


def _flat(*groups: Any) -> Iterator[nn.Module]:
    """Layers of lists of layers, in order."""
    for group in groups:
        for item in group:
            if isinstance(item, nn.ModuleList):
                yield from item
            else:
                yield item
