"""The video transformer as a native MODEL, so that stock samplers, patches, LoRAs and offloading work on it.

Shape letters: B batch, C channels, T h w latent grid, L packed context tokens, N video tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import comfy.conds
import comfy.latent_formats
import comfy.ldm.common_dit
import comfy.ldm.modules.attention
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.cli_args import args
from torch import Tensor
from torch.nn import functional

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.config import from_dict
from moviegen_core.models import loading
from moviegen_core.models.video_dit.model import VideoDiT, VideoDiTConfig
from moviegen_core.shapes import LATENT_CHANNELS, SPATIAL_STRIDE, TEMPORAL_STRIDE

from .. import convert, preview

TIMESTEPS = 1000.0  # ComfyUI's flow models read sigma times this
DTYPES = {
    "auto": None,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}


class MovieGenLatent(comfy.latent_formats.LatentFormat):
    """16 channels of unit variance, 8 x 8 x 8 pixels each."""

    latent_channels = LATENT_CHANNELS
    latent_dimensions = 3
    spacial_downscale_ratio = SPATIAL_STRIDE
    temporal_downscale_ratio = TEMPORAL_STRIDE
    latent_rgb_factors = preview.FACTORS
    latent_rgb_factors_bias = preview.BIAS
    # Core shows the first frame alone; this makes it a film strip with every sampler.
    latent_rgb_factors_reshape = staticmethod(preview.strip)


class ContextCond(comfy.conds.CONDRegular):
    """Packed context whose rows are padded to one length with tokens that count for nothing."""

    def can_concat(self, other: Any) -> bool:
        """Conditions of any length and width share a batch."""
        return self.cond.device == other.cond.device

    def concat(self, others: list[Any]) -> Tensor:
        """Join along the batch."""
        parts = [self.cond, *(other.cond for other in others)]
        length, width = (max(part.shape[axis] for part in parts) for axis in (1, 2))
        return torch.cat(
            [functional.pad(part, (0, width - part.shape[2], 0, length - part.shape[1])) for part in parts]
        )


def attention_function(device: torch.device) -> Any:
    """ComfyUI's choice; on a CPU PyTorch's kernel, unless the user named another one."""
    named = args.use_split_cross_attention or args.use_quad_cross_attention
    # ComfyUI's default on CPUs takes 2.6 times as long at 1,024 tokens.
    if device.type == "cpu" and not named:
        return comfy.ldm.modules.attention.attention_pytorch
    return comfy.ldm.modules.attention.optimized_attention


class HostAttention:
    """The attention function that the user chose for ComfyUI, as the core's `attend`."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """q, k, v [B, H, N, K] and a bool mask -> [B, H, N, K]."""
        if mask is not None:
            # ComfyUI's backends add the mask to the scores.
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, torch.finfo(q.dtype).min)
        return attention_function(q.device)(
            q,
            k,
            v,
            q.shape[1],
            mask=mask,
            skip_reshape=True,
            skip_output_reshape=True,
            transformer_options=self.options,
        )


class HostedVideoDiT(VideoDiT):
    """VideoDiT behind the signature of a ComfyUI diffusion model, with its patch hooks."""

    def __init__(
        self, *, config: VideoDiTConfig, dtype: torch.dtype, device: Any = None, operations: Any = None
    ) -> None:
        host = HostAttention()
        super().__init__(config, ops=operations, attend=host, device=device, dtype=dtype)
        self.host = host
        self.stored_dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the stored weights; the layers may hold none before they are loaded."""
        return self.stored_dtype

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor | None = None, control: Any = None,
        transformer_options: dict[str, Any] | None = None, **unused: Any,
    ) -> Tensor:  # fmt: skip
        """x [B, C, T, h, w], timestep [B] = 1000 * sigma, packed context [B, L, E + D] -> noise - data, like x."""
        options = transformer_options or {}
        return comfy.patcher_extension.WrapperExecutor.new_class_executor(
            self.predict,
            self,
            comfy.patcher_extension.get_all_wrappers(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, options),
        ).execute(x, timestep, context, control, options, **unused)

    def predict(
        self, x: Tensor, timestep: Tensor, context: Tensor | None, control: Any, options: dict[str, Any], **unused: Any
    ) -> Tensor:
        """`forward` without the wrappers."""
        size = x.shape[2:]
        padded = comfy.ldm.common_dit.pad_to_patch_size(x, self.config.patch_size)
        given = Conditioning.empty() if context is None else convert.unpack(context, self.config.context_dims)
        prepared = self.prepare(given.context, given.context_mask, x.shape[0], device=x.device, dtype=x.dtype)
        options["total_blocks"], options["block_type"] = len(self.blocks), "double"
        self.host.options = options
        try:
            velocity = super().forward(padded, 1.0 - timestep.float() / TIMESTEPS, prepared)
        finally:
            self.host.options = {}
        # ComfyUI's flow points from data to noise, Movie Gen's from noise to data.
        return -velocity[:, :, : size[0], : size[1], : size[2]]

    def run_block(self, index: int, x: Tensor, modulation: Any, context: Any, attend: Any) -> Tensor:
        """One block, or what a patch put in its place, then the patches that follow it."""
        options = self.host.options
        options["block_index"] = index
        plain = super().run_block

        def original(values: dict[str, Any]) -> dict[str, Any]:
            return {"img": plain(index, values["img"], values["vec"], values["txt"], attend)}

        values = {"img": x, "txt": context, "vec": modulation, "pe": None, "transformer_options": options}
        replace = options.get("patches_replace", {}).get("dit", {}).get(("double_block", index))
        x = (replace(values, {"original_block": original}) if replace else original(values))["img"]
        for patch in options.get("patches", {}).get("double_block", []):
            x = patch(
                {"img": x, "txt": context, "vec": modulation, "block_index": index, "transformer_options": options}
            )["img"]
        return x


class MovieGenVideo(comfy.model_base.BaseModel):
    """What ComfyUI's samplers talk to."""

    def __init__(self, model_config: Any, device: Any = None) -> None:
        # Core reads diffusion_model inside __init__: it must be built there.
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostedVideoDiT)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """The packed context, checked once per run."""
        out = super().extra_conds(**kwargs)
        context = kwargs.get("cross_attn")
        if context is not None:
            convert.check_packed(context, self.diffusion_model.config.context_dims)
            out["c_crossattn"] = ContextCond(context)
        return out


class MovieGenConfig(comfy.supported_models_base.BASE):
    """ComfyUI's description of the model; built by our loader, so core needs no registration."""

    unet_config: ClassVar[dict[str, Any]] = {}
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    sampling_settings: ClassVar[dict[str, Any]] = {"shift": 1.0}
    latent_format = MovieGenLatent
    supported_inference_dtypes: ClassVar[list[torch.dtype]] = [torch.bfloat16, torch.float32]

    def __init__(self, config: VideoDiTConfig) -> None:
        super().__init__({"config": config})
        self.memory_usage_factor = config.dim / 2000  # as core's transformers of the same shape

    def get_model(self, state_dict: Any, prefix: str = "", device: Any = None) -> MovieGenVideo:
        """Build the model; weights come later."""
        return MovieGenVideo(self, device=device)


def load_model(path: Path, dtype: str) -> Any:
    """Video transformer file -> MODEL (a model patcher)."""
    return load_patcher(str(path), dtype)


def load_patcher(path: str, dtype: str, disable_dynamic: bool = False) -> Any:
    """As ComfyUI calls it again for clones on other devices."""
    patcher = build_patcher(path, dtype, "video_dit", _describe, disable_dynamic)
    patcher.cached_patcher_init = (load_patcher, (path, dtype))
    return patcher


def _describe(config: Any) -> MovieGenConfig:
    return MovieGenConfig(from_dict(VideoDiTConfig, config))


def build_patcher(path: str, dtype: str, network: str, describe: Callable[[Any], Any], disable_dynamic: bool) -> Any:
    """File of a `network` of the catalog -> a model patcher; `describe` makes ComfyUI's config of the file's own."""
    manage = comfy.model_management
    weights = loading.load(path, network=network).state_dict()
    config = describe(loading.read_header(path).config)
    device = manage.get_torch_device()
    stored = DTYPES[dtype] or manage.unet_dtype(
        device=device,
        model_params=comfy.utils.calculate_parameters(weights),
        supported_dtypes=list(config.supported_inference_dtypes),
        weight_dtype=comfy.utils.weight_dtype(weights),
    )
    config.set_inference_dtype(stored, manage.unet_manual_cast(stored, device, config.supported_inference_dtypes))
    offload = manage.unet_offload_device()
    model = config.get_model(weights)
    # Looked up now: main.py replaces the class when it manages VRAM dynamically.
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(model, load_device=device, offload_device=offload)
    if not manage.is_device_cpu(offload):
        model.to(offload)
    model.load_model_weights(weights, "", assign=patcher.is_dynamic())
    return patcher
