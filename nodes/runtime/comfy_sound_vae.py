"""The sound codec as a native VAE, so that VAEEncodeAudio and VAEDecodeAudio, tiled or not, work on it.

Shape letters: B batch, N samples, L latent frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.ops
import comfy.sd
import torch
from torch import Tensor

from moviegen_core.models import loading
from moviegen_core.models.audio_codec.checkpoint import folded
from moviegen_core.models.audio_codec.model import AudioCodec
from moviegen_core.pipelines.sound_codec import CHUNK_SECONDS, decode_pieces, encode_sound

from ..sound_windows import check_sound_latent
from .comfy_vae import DTYPES, hold

FINEST_CHANNELS = 96  # of the full codec at 48 kHz; about four such tensors live at once


class StoppableCodec(AudioCodec):
    """AudioCodec that ComfyUI's cancel button stops before every chunk, whoever asks for it."""

    def encode(self, waveform: Tensor) -> Tensor:
        """`AudioCodec.encode`, unless the user has cancelled."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        return super().encode(waveform)

    def decode(self, latent: Tensor, num_samples: int | None = None, *, watermark: Any = False) -> Tensor:
        """`AudioCodec.decode`, unless the user has cancelled."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        return super().decode(latent, num_samples, watermark=watermark)


class ChunkedCodec(torch.nn.Module):
    """Sounds of any length in bounded memory, chunk by chunk."""

    def __init__(self, codec: AudioCodec) -> None:
        super().__init__()
        self.codec = codec

    def decode(self, samples: Tensor, **unused: Any) -> Tensor:
        """Samples [B, 128, L] -> sound [B, 1, 1920 L]; with the watermark, where the weights have one."""
        pieces = []
        check_sound_latent({"samples": samples}, self.codec.config.latent_channels)
        for piece in decode_pieces(self.codec, samples, watermark=bool(self.codec.config.watermark_rates)):
            pieces.append(piece.to(comfy.model_management.intermediate_device()))
        return torch.cat(pieces, dim=2)

    def encode(self, sound: Tensor, **unused: Any) -> Tensor:
        """Sound [B, 1, N] -> samples [B, 128, ceil(N / 1920)]."""
        return encode_sound(self.codec, sound)


class MovieGenSoundVAE(comfy.sd.VAE):
    """comfy.sd.VAE around the codec; its own __init__ would guess a network from the keys, so it is not called."""

    def __init__(
        self, codec: AudioCodec, weights: dict[str, Tensor], dtype: torch.dtype | None, disable_dynamic: bool = False
    ) -> None:
        config = codec.config
        size = comfy.model_management.dtype_size
        chunk = 2 * CHUNK_SECONDS * config.sample_rate * FINEST_CHANNELS * 4
        self.memory_used_decode = self.memory_used_encode = lambda shape, dtype: chunk * size(dtype)
        self.upscale_ratio = self.downscale_ratio = config.hop_length
        self.upscale_index_formula = self.downscale_index_formula = None
        self.latent_dim, self.latent_channels, self.output_channels = 1, config.latent_channels, 1
        self.process_input = self.process_output = lambda sound: sound
        self.working_dtypes = [torch.float32]
        self.pad_channel_value, self.extra_1d_channel, self.format_encoded, self.size = None, None, None, None
        self.disable_offload, self.not_video, self.handles_tiling, self.crop_input = False, False, False, False
        self.audio_sample_rate = config.sample_rate
        named = {f"codec.{key}": value for key, value in weights.items()}
        hold(self, ChunkedCodec(codec), named, dtype, disable_dynamic)

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """Sound [B, N, channels] -> [B, N, 1]: the codec hears mono, of any length."""
        return pixels.mean(dim=-1, keepdim=True)


def load_sound_vae(path: Path, dtype: str, disable_dynamic: bool = False) -> MovieGenSoundVAE:
    """Sound codec file -> VAE."""
    plain: Any = folded(loading.load(path, network="audio_codec"))  # type: ignore[arg-type]
    codec = StoppableCodec(plain.config, ops=comfy.ops.manual_cast)
    vae = MovieGenSoundVAE(codec, plain.state_dict(), DTYPES[dtype], disable_dynamic)
    vae.patcher.cached_patcher_init = (load_patcher, (path, dtype))
    return vae


def load_patcher(path: Path, dtype: str, disable_dynamic: bool = False) -> Any:
    """As ComfyUI calls it again for clones on other devices."""
    return load_sound_vae(path, dtype, disable_dynamic).patcher
