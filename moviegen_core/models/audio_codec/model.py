"""Sound codec: DAC without its quantiser, a variational autoencoder of waveforms (paper 6.1.1; released as DAC-VAE).

Shape letters: B batch, N samples at 48 kHz, C latent channels, L latent frames at 25 Hz, W channels inside. A sound of
any length encodes to ceil(N / 1920) latent frames. The codec is mono; pipelines/sound_codec.py brings stereo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError, ShapeError
from ...shapes import SOUND_SAMPLE_RATE
from . import gains
from . import watermark as marks
from .layers import ResidualUnit, Snake, conv, conv_up

SMALLEST_SCALE = 1e-4
DILATIONS = (1, 3, 9)


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioCodecConfig:
    """Sizes that fix every parameter shape; the defaults are those of the released DAC-VAE."""

    encoder_dim: int = 64  # channels before the first stride; each stride doubles them
    encoder_rates: tuple[int, ...] = (2, 8, 10, 12)
    latent_dim: int = 1024  # channels between encoder or decoder and the latent
    latent_channels: int = 128
    decoder_dim: int = 1536  # channels before the first step up; each halves them
    decoder_rates: tuple[int, ...] = (12, 10, 8, 2)
    watermark_rates: tuple[int, ...] = (8, 5, 4, 2)  # empty: no watermark branch
    weight_norm: bool = True  # weights stand as direction and length, as in the released file
    # Samples per block of a lapped transform in whose coefficients encoder and decoder work, with a linear code
    # beside them; 0: they work on samples.
    transform: int = 0
    gains: int = 0  # latent channels that hold log gains of groups of the others (gains.py); needs a transform
    sample_rate: int = SOUND_SAMPLE_RATE

    def __post_init__(self) -> None:
        if math.prod(self.encoder_rates) != math.prod(self.decoder_rates):
            raise ConfigError(
                f"the encoder's rates {self.encoder_rates} and the decoder's {self.decoder_rates} must multiply to "
                "the same hop"
            )
        if self.decoder_dim % 2 ** len(self.decoder_rates):
            raise ConfigError(
                f"decoder_dim {self.decoder_dim} is halved {len(self.decoder_rates)} times; use a multiple of "
                f"{2 ** len(self.decoder_rates)}"
            )
        if self.gains and (
            not self.transform or self.gains % 2 or self.latent_channels % 2
            or not 0 < self.gains <= self.latent_channels // 2
        ):  # fmt: skip
            raise ConfigError(
                f"{self.gains} gains in {self.latent_channels} latent channels, transform {self.transform}; use a "
                "transform, even numbers, and at most half of the channels for gains"
            )
        if self.watermark_rates and (self.transform or len(self.watermark_rates) != len(self.decoder_rates)):
            raise ConfigError(
                "the watermark branch needs one rate for each of the decoder's and no transform; leave "
                "watermark_rates empty"
            )

    @property
    def hop_length(self) -> int:
        """Samples per latent frame."""
        return max(1, self.transform) * math.prod(self.encoder_rates)

    @property
    def latent_rate(self) -> float:
        """Latent frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def context_frames(self) -> int:
        """Latent frames on either side that what is encoded or decoded of a sound depends on, rounded up."""
        block = max(1, self.transform)
        unit = 3 * sum(DILATIONS)
        reach, stride = 3 + 1, block  # of the encoder, in samples
        reach = reach * block
        for rate in self.encoder_rates:
            reach += (unit + rate) * stride
            stride *= rate
        encoder = reach / stride + 1
        reach_frames, inverse = 3.0, 1.0  # of the decoder, in latent frames
        for rate in self.decoder_rates:
            reach_frames += inverse
            inverse /= rate
            reach_frames += unit * inverse
        decoder = reach_frames + 4 * inverse
        return math.ceil(max(encoder, decoder)) + 1


class Posterior(NamedTuple):
    """Gaussian over raw latents: mean and standard deviation, each [B, C, L]."""

    mean: Tensor
    scale: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw; the noise comes from a CPU generator, so that it is the same on any device."""
        noise = torch.randn(self.mean.shape, generator=generator).to(self.mean)
        return self.mean + self.scale * noise

    def kl(self) -> Tensor:
        """Divergence from a unit Gaussian as DAC-VAE counts it: without the half, summed over channels."""
        variance = self.scale.square()
        return (self.mean.square() + variance - variance.log() - 1.0).sum(dim=1).mean()


class AudioCodec(nn.Module):
    """Encoder, decoder and the latent statistics that give the transformer unit variance."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, config: AudioCodecConfig, *, ops: Any = nn,
        device: torch.device | str | None = None, dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        size = config.latent_channels
        self.encoder = Encoder(config, ops=ops, **place)
        self.quantizer = Bottleneck(config, ops=ops, **place)
        self.decoder = Decoder(config, ops=ops, **place)
        self.linear = LinearCode(config, ops=ops, **place) if config.transform else None
        self.register_buffer("latent_mean", torch.zeros(size, **place))
        self.register_buffer("latent_std", torch.ones(size, **place))

    def reset_parameters(self) -> None:
        """Fresh weights."""
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()  # type: ignore[operator]
        nn.init.zeros_(self.latent_mean)
        nn.init.ones_(self.latent_std)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Mean and standard deviation [C] of raw latents over a training set."""
        self.latent_mean.copy_(mean)
        self.latent_std.copy_(std)

    def posterior(self, waveform: Tensor) -> Posterior:
        """Waveform [B, 1, N] in [-1, 1] -> raw latent Gaussian, L = ceil(N / 1920).

        A last hop that is not full is filled by reflection, as in DAC-VAE, or with silence if the sound is too short.
        ShapeError for other shapes.
        """
        if waveform.ndim != 3 or waveform.shape[1] != 1 or waveform.shape[2] < 1:
            raise ShapeError(
                f"the waveform is {list(waveform.shape)}; the codec is mono: give [batch, 1, samples] with at least "
                "one sample"
            )
        missing = -waveform.shape[2] % self.config.hop_length
        if missing:
            waveform = F.pad(waveform, (0, missing), "reflect" if missing < waveform.shape[2] else "constant")
        signal = waveform if self.linear is None else self.linear.analysis(waveform)
        mean, scale = self.quantizer.in_proj(self.encoder(signal)).chunk(2, dim=1)
        if self.linear is not None:
            mean = mean + self.linear.code_in(signal)
        if self.config.gains:
            mean = gains.split(mean, self.config.gains)
        return Posterior(mean, F.softplus(scale) + SMALLEST_SCALE)

    def encode(self, waveform: Tensor) -> Tensor:
        """Waveform [B, 1, N] in [-1, 1] -> latent [B, C, ceil(N / 1920)] of unit variance.

        It is the posterior's mean (assumption).
        """
        raw = self.posterior(waveform).mean
        return (raw - self.latent_mean.to(raw)[:, None]) / self.latent_std.to(raw)[:, None]

    def decode(self, latent: Tensor, num_samples: int | None = None, *, watermark: Any = False) -> Tensor:
        """Latent [B, C, L] of unit variance -> waveform [B, 1, num_samples or 1920 L] in [-1, 1].

        watermark: True hides 16 bits, as the makers of the released weights intend (always the same ones; theirs are
        random); 16 bits or [B, 16] hide these. Only codecs with a watermark branch can do so; others raise ConfigError.
        """
        self._check_latent(latent)
        raw = latent * self.latent_std.to(latent)[:, None] + self.latent_mean.to(latent)[:, None]
        return self.decode_raw(raw, num_samples, watermark=watermark).clamp(-1.0, 1.0)

    def _check_latent(self, latent: Tensor) -> None:
        channels = self.config.latent_channels
        if latent.ndim != 3 or latent.shape[1] != channels or latent.shape[2] < 1:
            raise ShapeError(f"the latent is {list(latent.shape)}; give [batch, {channels}, frames]")

    def decode_raw(self, latent: Tensor, num_samples: int | None = None, *, watermark: Any = False) -> Tensor:
        """`decode` for latents as `posterior` gives them, without the last clipping.

        ShapeError where they do not hold so many samples, ConfigError for a watermark without its branch.
        """
        self._check_latent(latent)
        hop = self.config.hop_length
        available = hop * latent.shape[2]
        wanted = available if num_samples is None else num_samples
        if not 1 <= wanted <= available:
            raise ShapeError(
                f"{wanted} samples were asked for, but {latent.shape[2]} latent frames hold 1 to {available}; ask for "
                "fewer samples or sample a longer sound"
            )
        marked = watermark is not False and watermark is not None
        if marked and not self.config.watermark_rates:
            raise ConfigError("this codec has no watermark branch; decode with watermark=False")
        made = self.decoder(self.quantizer.out_proj(latent))
        if self.linear is not None:
            code = gains.join(latent, self.config.gains) if self.config.gains else latent
            made = self.linear.synthesis(made + self.linear.code_out(code))
        else:
            made = torch.tanh(made)
        if marked:
            bits = marks.message(watermark, latent.shape[0], latent.device)
            blocks = [layer.block for layer in list(self.decoder.model)[1:]]
            made = marks.write(self.decoder.wm_model, blocks, made, bits)
        return made[..., :wanted]


class LinearCode(nn.Module):
    """Lapped transform, and a linear code of its coefficients beside the network.

    Both start in closed form (start.py). Blocks overlap by half; a sound's first and last half block (2.5 ms) fade.
    """

    def __init__(self, config: AudioCodecConfig, *, ops: Any, **place: Any) -> None:
        super().__init__()
        block, group = config.transform, math.prod(config.encoder_rates)
        lapped = {"stride": block, "padding": block // 2, "bias": False}
        self.analysis = ops.Conv1d(1, block, 2 * block, **lapped, **place)
        self.synthesis = ops.ConvTranspose1d(block, 1, 2 * block, **lapped, **place)
        self.code_in = ops.Conv1d(block, config.latent_channels, group, stride=group, **place)
        self.code_out = ops.ConvTranspose1d(config.latent_channels, block, group, stride=group, **place)


class Encoder(nn.Module):
    """Samples [B, 1, N] or coefficients [B, block, N] -> features [B, W, L]."""

    def __init__(self, config: AudioCodecConfig, **factory: Any) -> None:
        super().__init__()
        factory["norm"] = config.weight_norm
        place = {name: factory[name] for name in ("device", "dtype")}
        width = config.encoder_dim
        layers: list[nn.Module] = [conv(max(1, config.transform), width, 7, **factory)]
        for rate in config.encoder_rates:
            layers.append(EncoderBlock(width, rate, **factory))
            width *= 2
        self.block = nn.Sequential(*layers, Snake(width, **place), conv(width, config.latent_dim, 3, **factory))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1 or block, N] -> [B, W, L]."""
        return self.block(x)


class EncoderBlock(nn.Module):
    """Three residual units and a strided convolution that doubles the channels."""

    def __init__(self, width: int, rate: int, **factory: Any) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(ResidualUnit(width, dilation, **factory) for dilation in DILATIONS),
            Snake(width, device=factory["device"], dtype=factory["dtype"]),
            conv(width, 2 * width, 2 * rate, stride=rate, **factory),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, N] -> [B, 2 W, N / rate]."""
        return self.block(x)


class Bottleneck(nn.Module):
    """Projections to the moments of the latent and back; the released name stays, though nothing is quantised."""

    def __init__(self, config: AudioCodecConfig, **factory: Any) -> None:
        super().__init__()
        factory["norm"] = config.weight_norm
        self.in_proj = conv(config.latent_dim, 2 * config.latent_channels, 1, **factory)
        self.out_proj = conv(config.latent_channels, config.latent_dim, 1, **factory)


class Decoder(nn.Module):
    """Features [B, W, L] -> samples [B, 1, N] before tanh, or coefficients [B, block, N]."""

    def __init__(self, config: AudioCodecConfig, **factory: Any) -> None:
        super().__init__()
        normed = {**factory, "norm": config.weight_norm}
        width, marked = config.decoder_dim, bool(config.watermark_rates)
        layers: list[nn.Module] = [conv(config.latent_dim, width, 7, **normed)]
        for index, rate in enumerate(config.decoder_rates):
            branch = marks.branch_layers(width, width // 2, config.watermark_rates[index], **factory) if marked else {}
            layers.append(DecoderBlock(width, rate, branch, **normed))
            width //= 2
        self.model = nn.ModuleList(layers)
        self.wm_model = marks.Head(width, max(1, config.transform), watermark=marked, **normed)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, L] -> [B, 1 or block, N]."""
        for layer in self.model:
            x = layer(x)
        return self.wm_model.encoder_block(x)


class DecoderBlock(nn.Module):
    """Snake, step up, three residual units; between them, by index, the layers of the watermark branch."""

    def __init__(self, width: int, rate: int, branch: dict[int, nn.Module], **factory: Any) -> None:
        super().__init__()
        narrow = width // 2
        own = {
            0: Snake(width, device=factory["device"], dtype=factory["dtype"]),
            1: conv_up(width, narrow, rate, **factory),
            **{
                index: ResidualUnit(narrow, dilation, **factory)
                for index, dilation in zip((4, 5, 8), DILATIONS, strict=True)
            },
        }
        self.own = sorted(own)
        self.block = nn.ModuleList((own | branch).get(index, nn.Identity()) for index in range(12))

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, N] -> [B, W / 2, rate * N]."""
        for index in self.own:
            x = self.block[index](x)
        return x
