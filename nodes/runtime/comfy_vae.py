"""The temporal autoencoder as a native VAE, so that VAEDecode, VAEDecodeTiled and VAEEncode work on it.

Shape letters: B batch, T frames, H W pixels, t h w latent grid.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import torch
from torch import Tensor

from moviegen_core.config import from_dict
from moviegen_core.models import loading
from moviegen_core.models.tae.model import TAE, TAEConfig
from moviegen_core.pipelines.decode import WINDOW_FRAMES, decode_video, encode_video
from moviegen_core.shapes import LATENT_CHANNELS, SPATIAL_STRIDE, TEMPORAL_STRIDE, decoded_frames, latent_frames

from .. import convert
from .comfy_weights import prepare_device
from .streams import moved_windows

DTYPES = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}


class WindowedTAE(torch.nn.Module):
    """Whole-clip decode and encode in bounded memory, window by window, stopped by ComfyUI's cancel button."""

    def __init__(self, tae: TAE) -> None:
        super().__init__()
        self.tae = tae

    def decode(self, samples: Tensor, **unused: Any) -> Tensor:
        """Samples [B, 16, t, h, w] -> pixels [B, 3, 8 t, 8 h, 8 w] in [-1, 1]."""
        windows = []
        for window in decode_video(self.tae, convert.check_clip_latent(samples)):
            comfy.model_management.throw_exception_if_processing_interrupted()
            windows.append(window.to(comfy.model_management.intermediate_device()))
        return torch.cat(windows, dim=2)

    def encode(self, pixels: Tensor, **unused: Any) -> Tensor:
        """Pixels [B, 3, T, H, W] in [-1, 1] -> samples [B, 16, ceil(T / 8), H / 8, W / 8]."""

        def stop_if_asked(start: int) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()

        return encode_video(self.tae, moved_windows(pixels, WINDOW_FRAMES, lambda piece: piece, stop_if_asked))


def hold(
    vae: Any, network: torch.nn.Module, weights: dict[str, Tensor], dtype: torch.dtype | None, disable_dynamic: bool
) -> None:
    """What comfy.sd.VAE.__init__ does once it knows the network: device, precision, patcher, weights."""
    manage = comfy.model_management
    vae.device = manage.vae_device()
    prepare_device(vae.device)
    vae.vae_dtype = dtype or manage.vae_dtype(vae.device, vae.working_dtypes)
    vae.output_device = manage.intermediate_device()
    vae.first_stage_model = network.eval().to(vae.vae_dtype)
    if hasattr(manage, "archive_model_dtypes"):
        manage.archive_model_dtypes(vae.first_stage_model)
    # Looked up now: main.py replaces the class when it manages VRAM dynamically.
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    vae.patcher = patcher_class(
        vae.first_stage_model, load_device=vae.device, offload_device=manage.vae_offload_device()
    )
    vae.first_stage_model.load_state_dict(weights, strict=False, assign=vae.patcher.is_dynamic())
    vae.model_size()


class MovieGenVAE(comfy.sd.VAE):
    """comfy.sd.VAE around our network; its own __init__ would guess a network from the keys, so it is not called."""

    def __init__(
        self, tae: TAE, weights: dict[str, Tensor], dtype: torch.dtype | None, disable_dynamic: bool = False
    ) -> None:
        manage = comfy.model_management
        # Activations of one window of decode_video at the finest level; the others hold a fraction of them.
        per_pixel = 12 * tae.config.channels[0] / tae.config.stem_fold**2 + 16
        self.memory_used_decode = lambda shape, dtype: (
            per_pixel * min(WINDOW_FRAMES, 8 * shape[-3]) * 64 * shape[-2] * shape[-1] * manage.dtype_size(dtype)
        )
        self.memory_used_encode = lambda shape, dtype: (
            per_pixel * min(WINDOW_FRAMES, shape[-3]) * shape[-2] * shape[-1] * manage.dtype_size(dtype)
        )
        self.upscale_ratio = (decoded_frames, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.upscale_index_formula = (TEMPORAL_STRIDE, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.downscale_ratio = (latent_frames, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.downscale_index_formula = (TEMPORAL_STRIDE, SPATIAL_STRIDE, SPATIAL_STRIDE)
        self.latent_dim, self.latent_channels, self.output_channels = 3, LATENT_CHANNELS, 3
        self.process_input = lambda image: image * 2.0 - 1.0
        self.process_output = lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)
        self.working_dtypes = [torch.bfloat16, torch.float32]
        self.pad_channel_value, self.extra_1d_channel, self.format_encoded, self.size = None, None, None, None
        self.disable_offload, self.not_video, self.handles_tiling, self.crop_input = False, False, False, True
        self.audio_sample_rate = 44100

        named = {f"tae.{key}": value for key, value in weights.items()}
        hold(self, WindowedTAE(tae), named, dtype, disable_dynamic)

    @property
    def network(self) -> TAE:
        """The autoencoder itself."""
        return self.first_stage_model.tae

    def memory_of_windows(self, estimate: Callable[..., float], shape: Any, window: int, length: int) -> float:
        """Bytes for windows of so many frames of a whole batch of clips of `length` frames.

        The estimates are of one clip and of our own windows, as ComfyUI's own decode asks for them.
        """
        part = min(window, length) / min(WINDOW_FRAMES, length)
        return estimate(shape, self.vae_dtype) * shape[0] * part

    def bring(self, memory: float, tensor: Tensor) -> Tensor:
        """Load the weights for work that takes `memory` bytes; the tensor follows them."""
        comfy.model_management.load_models_gpu([self.patcher], memory_required=memory)
        return tensor.to(self.device, self.vae_dtype)


def load_vae(path: Path, dtype: str, disable_dynamic: bool = False) -> MovieGenVAE:
    """Temporal autoencoder file -> VAE."""
    weights = loading.load(path, network="tae").state_dict()
    config = from_dict(TAEConfig, loading.read_header(path).config)
    vae = MovieGenVAE(TAE(config, ops=comfy.ops.manual_cast), weights, DTYPES[dtype], disable_dynamic)
    vae.patcher.cached_patcher_init = (load_patcher, (path, dtype))
    return vae


def load_patcher(path: Path, dtype: str, disable_dynamic: bool = False) -> Any:
    """As ComfyUI calls it again for clones on other devices."""
    return load_vae(path, dtype, disable_dynamic).patcher
