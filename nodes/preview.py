"""Rough pictures of a latent clip while it is sampled: one linear map from channels to colours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Fitted to the shipped autoencoder by scripts/fit_preview.py; other autoencoders show wrong colours, right shapes.
_TABLE = json.loads(Path(__file__).with_name("preview.json").read_text(encoding="utf-8"))
FACTORS: list[list[float]] = _TABLE["factors"]  # [16][3]
BIAS: list[float] = _TABLE["bias"]
FRAMES = 4  # shown side by side, evenly spread over the clip
SOUND_SIZE, SOUND_GAIN = (512, 128), 85.0  # pixels; brightness of one standard deviation


def strip(estimate: Tensor) -> Tensor:
    """Latent [B, C, T, h, w] -> a few frames of the first sample side by side [1, C, h, n * w]; others as they are."""
    if estimate.ndim != 5:
        return estimate
    length = estimate.shape[2]
    chosen = torch.linspace(0, length - 1, min(FRAMES, length)).round().long().to(estimate.device)
    return estimate[:1].index_select(2, chosen).movedim(2, 3).flatten(3, 4)


def sound_picture(estimate: Tensor) -> Any:
    """Latent [B, C, L] -> PIL image of the first sound: time to the right, channels upwards, bright where it departs
    from zero. It shows where something happens, and how settled it is."""
    from PIL import Image

    levels = estimate[0].detach().to("cpu", torch.float32).nan_to_num(0.0).abs().mul(SOUND_GAIN).clamp(0, 255)
    return Image.fromarray(levels.to(torch.uint8).flip(0).numpy()).resize(SOUND_SIZE, Image.Resampling.BILINEAR)


def picture(estimate: Tensor, factors: Sequence[Sequence[float]] = FACTORS, bias: Sequence[float] = BIAS) -> Any:
    """Latent [B, C, T, h, w] -> PIL image of a few frames of the first sample, or None for other latents.

    `factors` [C][3] and `bias` [3] are those of the model whose latent it is.
    """
    if estimate.ndim != 5 or estimate.shape[1] != len(factors):
        return None
    from PIL import Image

    frames = strip(estimate)[0].detach().to("cpu", torch.float32)
    colours = torch.einsum("chw,ck->hwk", frames, torch.tensor(factors)) + torch.tensor(bias)
    pixels = colours.add(1.0).mul(127.5).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.numpy()).resize((pixels.shape[1] * 8, pixels.shape[0] * 8), Image.Resampling.BILINEAR)
