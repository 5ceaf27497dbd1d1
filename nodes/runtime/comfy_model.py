"""The video transformer as a native MODEL, so that stock samplers, patches, LoRAs and offloading work on it.

Shape letters: B batch, C channels, T h w latent grid, L packed context tokens, N video tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import comfy.conds
import comfy.latent_formats
import comfy.ldm.common_dit
import comfy.model_base
import comfy.model_management
import comfy.patcher_extension
import comfy.supported_models_base
import torch
from torch import Tensor
from torch.nn import functional

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.config import from_dict
from moviegen_core.layers.modulation import Modulation
from moviegen_core.models.video_dit.model import Context, VideoDiT, VideoDiTConfig
from moviegen_core.shapes import LATENT_CHANNELS, SPATIAL_STRIDE, TEMPORAL_STRIDE

from .. import convert, preview
from . import comfy_patches
from .comfy_patches import HostAttention
from .comfy_weights import build_patcher

TIMESTEPS = 1000.0  # ComfyUI's flow models read sigma times this


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
    """Packed context whose rows are padded to one length with tokens that count for nothing.

    Of its length, much of it room between encoders, `tokens` are read; core asks for the size to foresee memory.
    """

    def __init__(self, cond: Tensor, tokens: int) -> None:
        super().__init__(cond)
        self.tokens = tokens

    def _copy_with(self, cond: Tensor) -> ContextCond:
        return ContextCond(cond, self.tokens)

    def size(self) -> list[int]:
        """Rows, tokens, width."""
        return [self.cond.shape[0], self.tokens, self.cond.shape[2]]

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


def tokens_read(packed: Tensor, widths: Mapping[str, int]) -> int:
    """How many tokens of packed context a network reads, with the null token, which an empty prompt beside it needs."""
    return 1 + sum(mask.shape[1] for mask in convert.unpack(packed, widths).context_mask.values())


class HostedVideoDiT(VideoDiT):
    """VideoDiT behind the signature of a ComfyUI diffusion model, with its patch hooks."""

    def __init__(
        self, *, config: VideoDiTConfig, dtype: torch.dtype, device: Any = None, operations: Any = None
    ) -> None:
        super().__init__(config, ops=operations, device=device, dtype=dtype)
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
        """`forward` without the wrappers; conditions that share a batch are asked apart where `asked_apart` says so."""
        parts = comfy_patches.asked_apart(x, options)
        if parts > 1:
            contexts = (None,) * parts if context is None else context.chunk(parts)
            given = zip(x.chunk(parts), timestep.chunk(parts), contexts, strict=True)
            return torch.cat([self._predict(*one, options) for one in given])
        return self._predict(x, timestep, context, options)

    def _predict(self, x: Tensor, timestep: Tensor, context: Tensor | None, options: dict[str, Any]) -> Tensor:
        size = x.shape[2:]
        padded = comfy.ldm.common_dit.pad_to_patch_size(x, self.config.patch_size)
        prepared = self.read_context(context, x)
        options["total_blocks"], options["block_type"] = len(self.blocks), "double"
        velocity = super().forward(padded, 1.0 - timestep.float() / TIMESTEPS, prepared, HostAttention(options))
        # ComfyUI's flow points from data to noise, Movie Gen's from noise to data.
        return -velocity[:, :, : size[0], : size[1], : size[2]]

    @torch.compiler.disable  # which tokens count is read from values, which no compiled graph can
    def read_context(self, context: Tensor | None, x: Tensor) -> Context:
        """Packed context [B, L, E + D] or None, and the latent it is for -> what the blocks read."""
        given = Conditioning.empty() if context is None else convert.unpack(context, self.config.context_dims)
        return self.prepare(given.context, given.context_mask, x.shape[0], device=x.device, dtype=x.dtype)

    def run_block(self, index: int, x: Tensor, modulation: Modulation, context: Context, attend: Any) -> Tensor:
        """One block with the patches that other nodes put on it."""
        values = {"img": x, "txt": context, "vec": modulation, "pe": None, "transformer_options": attend.options}
        return comfy_patches.run_block(index, values, lambda given: self._plain_block(index, given, attend))

    def _plain_block(self, index: int, given: dict[str, Any], attend: HostAttention) -> Tensor:
        context, modulation = given["txt"], given["vec"]
        attend = attend.of_block(context.keys[index])
        patches = comfy_patches.after_cross_attention(attend.options)
        if not patches:
            return super().run_block(index, given["img"], modulation, context, attend)
        block, vectors = self.blocks[index], modulation.blocks[index]
        x = block.attention_half(
            given["img"], vectors, context.keys[index], context.values[index], context.mask, attend
        )
        for patch in patches:
            x = patch({"x": x, "transformer_options": attend.options})
        return block.mlp_half(x, vectors)


class MovieGenModel(comfy.model_base.BaseModel):
    """What both transformers share: the text's keys and values of all blocks are held at once."""

    text_cond: Callable[[Tensor], ContextCond]  # packed context, checked; each has its own

    def extra_conds_shapes(self, **kwargs: Any) -> dict[str, list[int]]:
        """Size of the text, for the estimate before a run; within it core asks the condition itself."""
        out, context = super().extra_conds_shapes(**kwargs), kwargs.get("cross_attn")
        return out if context is None else {**out, "c_crossattn": self.text_cond(context).size()}

    def memory_required(self, input_shape: Any, cond_shapes: Mapping[str, Any] = MappingProxyType({})) -> float:
        """Bytes for a batch of input_shape: core's estimate, and the keys and values."""
        config = self.diffusion_model.config
        # Rows that share a batch have the length of the longest.
        tokens = max((shape[1] for shape in cond_shapes.get("c_crossattn", ())), default=1)
        width = comfy.model_management.dtype_size(self.get_dtype_inference())
        held = input_shape[0] * tokens * 2 * config.num_layers * config.dim * width
        return super().memory_required(input_shape, cond_shapes=cond_shapes) + held


class MovieGenVideo(MovieGenModel):
    """What ComfyUI's samplers talk to."""

    def __init__(self, model_config: Any, device: Any = None) -> None:
        # Core reads diffusion_model inside __init__: it must be built there.
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostedVideoDiT)

    def text_cond(self, context: Tensor) -> ContextCond:
        """Packed context of the encoders that the network reads; ShapeError for any other."""
        widths = self.diffusion_model.config.context_dims
        convert.check_packed(context, widths)
        return ContextCond(context, tokens_read(context, widths))

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """The packed context; it and the latent's shape are checked once per run."""
        convert.check_clip_latent(kwargs["noise"])
        out = super().extra_conds(**kwargs)
        context = kwargs.get("cross_attn")
        if context is not None:
            out["c_crossattn"] = self.text_cond(context)
        return out

    def resize_cond_for_context_window(
        self, cond_key: str, cond_value: Any, window: Any, x_in: Tensor, device: Any, retain_index_list: Any = ()
    ) -> Any:
        """Text stays whole in every window, however wide it is; core cuts what has one entry per latent frame."""
        return cond_value if cond_key == "c_crossattn" else None


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
