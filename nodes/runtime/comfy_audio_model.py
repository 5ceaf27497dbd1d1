"""The sound transformer as a native MODEL on latents [B, 128, L], for stock samplers, patches, LoRAs and offloading.

A CONDITIONING entry brings the text in its tensor and what is seen in its key FRAMES (see nodes/sound_convert.py).
Sound that is already known stands in the LATENT, where its noise mask is 0: the network hears it, and the sampler,
stock or ours, leaves it as it is.

Shape letters: B batch, C latent channels, L sound frames, T packed text tokens, F width of a frame's features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.patcher_extension
import comfy.supported_models_base
import torch
from torch import Tensor

from moviegen_core.config import from_dict
from moviegen_core.layers.modulation import Modulation
from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig, Prepared
from moviegen_core.shapes import SOUND_HOP, SOUND_LATENT_CHANNELS

from .. import sound_convert
from ..sound_convert import FRAMES, KNOWN, READ
from ..sound_windows import check_sound_latent
from . import comfy_patches
from .comfy_model import TIMESTEPS, ContextCond, MovieGenModel, tokens_read
from .comfy_patches import HostAttention
from .comfy_weights import build_patcher


class MovieGenSoundLatent(comfy.latent_formats.LatentFormat):
    """128 channels of unit variance, 1920 samples each."""

    latent_channels = SOUND_LATENT_CHANNELS
    latent_dimensions = 1
    temporal_downscale_ratio = SOUND_HOP


class HostedAudioDiT(AudioDiT):
    """AudioDiT behind the signature of a ComfyUI diffusion model, with its patch hooks."""

    def __init__(
        self, *, config: AudioDiTConfig, dtype: torch.dtype, device: Any = None, operations: Any = None
    ) -> None:
        super().__init__(config, ops=operations, device=device, dtype=dtype)
        self.stored_dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the stored weights; the layers may hold none before they are loaded."""
        return self.stored_dtype

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor | None = None, control: Any = None,
        transformer_options: dict[str, Any] | None = None, **given: Any,
    ) -> Tensor:  # fmt: skip
        """x [B, C, L], timestep [B] = 1000 * sigma, text [B, T, E + D], FRAMES, KNOWN -> noise - data, like x."""
        options = transformer_options or {}
        return comfy.patcher_extension.WrapperExecutor.new_class_executor(
            self.predict,
            self,
            comfy.patcher_extension.get_all_wrappers(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, options),
        ).execute(x, timestep, context, control, options, **given)

    def predict(
        self, x: Tensor, timestep: Tensor, context: Tensor | None, control: Any, options: dict[str, Any], **given: Any
    ) -> Tensor:
        """`forward` without the wrappers."""
        conditioning = sound_convert.conditioning(
            context, given.get(FRAMES), given.get(KNOWN), x.shape[0], self.config.text_dim
        )
        options["total_blocks"], options["block_type"] = len(self.blocks), "double"
        prepared = self.prepare_from(conditioning.to(x.device), dtype=x.dtype, device=x.device)
        modulation = self.modulate(1.0 - timestep.float() / TIMESTEPS, x.dtype)
        velocity = super().forward(x, modulation, prepared, HostAttention(options))
        # ComfyUI's flow points from data to noise, Movie Gen's from noise to data.
        return -velocity

    def run_block(
        self, index: int, x: Tensor, modulation: Modulation, conditioning: Prepared, table: Tensor, attend: Any
    ) -> Tensor:
        """One block with the patches that other nodes put on it."""
        values = {"img": x, "txt": conditioning, "vec": modulation, "pe": table, "transformer_options": attend.options}
        return comfy_patches.run_block(index, values, lambda given: self._plain_block(index, given, attend))

    def _plain_block(self, index: int, given: dict[str, Any], attend: HostAttention) -> Tensor:
        attend = attend.of_block(given["txt"].keys[index])
        return super().run_block(index, given["img"], given["vec"], given["txt"], given["pe"], attend)


class MovieGenSound(MovieGenModel):
    """What ComfyUI's samplers talk to."""

    def __init__(self, model_config: Any, device: Any = None) -> None:
        # Core reads diffusion_model inside __init__: it must be built there.
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostedAudioDiT)

    def text_cond(self, context: Tensor) -> ContextCond:
        """Packed context with the encoder that the network reads; ShapeError without. Other encoders' is not read."""
        width = self.diffusion_model.config.text_dim
        sound_convert.check_text(context, width)
        return ContextCond(context, tokens_read(context, {READ: width}))

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """Text, what is seen and what is known; absent parts are zeros, so that all conditions share a batch."""
        config = self.diffusion_model.config
        noise = check_sound_latent({"samples": kwargs["noise"]}, config.latent_channels)
        length, out = noise.shape[2], super().extra_conds(**kwargs)
        context = kwargs.get("cross_attn")
        if context is not None:
            out["c_crossattn"] = self.text_cond(context)
        frames = kwargs.get(FRAMES)
        if frames is None:
            frames = noise.new_zeros(1, 1 + config.frame_dim, length)
        sound_convert.check_frames(frames, config.frame_dim, length)
        out[FRAMES] = comfy.conds.CONDRegular(frames.to(noise.device))
        out[KNOWN] = comfy.conds.CONDRegular(_known(kwargs))
        return out

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Tensor, device: Any, retain_index_list: Any = ()
    ) -> Any:
        """Frames and known sound are cut by core, along its axis 2; text must stay whole, however wide it is."""
        return cond_value if cond_key == "c_crossattn" else None


def _known(given: dict[str, Any]) -> Tensor:
    """Flag and latents [B, 1 + C, L] of what the LATENT's noise mask keeps; nothing for the negative condition."""
    noise, mask, latent = given["noise"], given.get("denoise_mask"), given.get("latent_image")
    if mask is None or latent is None or given.get("prompt_type") == "negative":
        return noise.new_zeros(1, 1 + noise.shape[1], noise.shape[2])
    kept = (mask[:, :1] < 0.5).to(latent)
    return torch.cat([kept, latent * kept], dim=1).to(noise.device)


class MovieGenSoundConfig(comfy.supported_models_base.BASE):
    """ComfyUI's description of the model; built by our loader, so core needs no registration."""

    unet_config: ClassVar[dict[str, Any]] = {}
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    sampling_settings: ClassVar[dict[str, Any]] = {"shift": 1.0}
    latent_format = MovieGenSoundLatent
    supported_inference_dtypes: ClassVar[list[torch.dtype]] = [torch.bfloat16, torch.float32]

    def __init__(self, config: AudioDiTConfig) -> None:
        super().__init__({"config": config})
        # Core counts 0.01 MiB a token times this; a block holds two hidden layers and six more of the width at once.
        self.memory_usage_factor = (2 * config.mlp_dim + 6 * config.dim) / (0.01 * 2**20)

    def get_model(self, state_dict: Any, prefix: str = "", device: Any = None) -> MovieGenSound:
        """Build the model; weights come later."""
        return MovieGenSound(self, device=device)


def load_audio_model(path: Path, dtype: str) -> Any:
    """Sound transformer file -> MODEL (a model patcher)."""
    return load_patcher(str(path), dtype)


def load_patcher(path: str, dtype: str, disable_dynamic: bool = False) -> Any:
    """As ComfyUI calls it again for clones on other devices."""
    patcher = build_patcher(path, dtype, "audio_dit", _describe, disable_dynamic)
    patcher.cached_patcher_init = (load_patcher, (path, dtype))
    return patcher


def _describe(config: Any) -> MovieGenSoundConfig:
    return MovieGenSoundConfig(from_dict(AudioDiTConfig, config))
