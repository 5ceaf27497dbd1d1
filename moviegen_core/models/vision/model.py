"""MetaCLIP vision tower: the CLIP vision module of `transformers`, built from a config."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ...errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class VisionConfig:
    """Sizes of a CLIP vision tower; frames are square, `image_size` pixels a side."""

    dim: int
    num_layers: int
    num_heads: int
    mlp_dim: int
    image_size: int
    patch_size: int
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        if self.patch_size < 1 or self.image_size % self.patch_size:
            raise ConfigError(f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}")


def build_network(
    config: VisionConfig, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> nn.Module:
    """CLIPVisionModel with random weights (none on the meta device); it reads frames [B, 3, H, W]."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.device(device if device is not None else "cpu"):
        network: nn.Module = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.dim,
                intermediate_size=config.mlp_dim,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                image_size=config.image_size,
                patch_size=config.patch_size,
                hidden_act=config.activation,
            )
        )
    return network.to(dtype=dtype) if dtype is not None else network
