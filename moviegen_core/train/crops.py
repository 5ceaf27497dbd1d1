"""What the autoencoder learns from: crops in space and time of rendered clips, and single frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ConfigError
from ..media.frames import from_uint8
from .clips import Clips
from .data import Batch, Collated
from .ranges import at_least


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """One kind of batch: `frames` (1: images) of `size` pixels, `weight` of every round."""

    frames: int
    size: int
    batch_size: int
    weight: int = 1
    shrink: int = 1  # the crop is `shrink` times larger and averaged down, as lower-resolution stages see it

    def __post_init__(self) -> None:
        at_least(self, 1, "frames", "size", "batch_size", "weight", "shrink")


def crops(clips: Clips, config: CropConfig, seed: int) -> Collated:
    """Source of {"pixels": [B, 3, T, H, W] in [-1, 1]}; clips shorter than the crop are passed over.

    ConfigError where no clip holds a crop.
    """
    side = config.size * config.shrink
    if side > clips.config.size:
        raise ConfigError(f"crops of {side} pixels do not fit clips of {clips.config.size}; lower size or shrink")
    order = clips.config.round
    slots = [slot for slot, (frames, _) in enumerate(order) if frames >= config.frames]
    numbers = [number for number in range(len(clips)) if number % len(order) in set(slots)]
    if not numbers:
        raise ConfigError(f"no clip has {config.frames} frames; add longer ones to the recipe's clips")

    def sample(rng: np.random.Generator) -> Batch:
        clip = clips.pixels(numbers[int(rng.integers(len(numbers)))])
        start = int(rng.integers(clip.shape[0] - config.frames + 1))
        top, left = (int(rng.integers(length - side + 1)) for length in clip.shape[1:3])
        window = clip[start : start + config.frames, top : top + side, left : left + side]
        pixels = shrink(from_uint8(np.array(window)), config.shrink)
        # Nothing in a codec should depend on left and right.
        return {"pixels": pixels.flip(-1) if rng.random() < 0.5 else pixels}

    return Collated(sample, config.batch_size, seed)


def shrink(pixels: torch.Tensor, factor: int) -> torch.Tensor:
    """Pixels [..., T, H, W] averaged over squares of `factor`."""
    return pixels if factor == 1 else F.avg_pool3d(pixels, (1, factor, factor))
