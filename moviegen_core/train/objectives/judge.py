"""Judge objective: cross-entropy of every attribute's answer, from pixels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .labels import attribute_loss

GRAIN = {"stills": 0.12, "moves": 0.08}  # deviation of the most noise on pixels in [-1, 1]
COARSE = 8  # pixels a side of the squares of coarse grain
SOFT = {"stills": 4, "moves": 2}  # pixels a side of the squares that the softest clips are averaged over


def judge_loss(judge: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Sum over the attributes; also "NAME_accuracy". `judge` is a models.judge.Judge.

    The batch holds "stills" and "moves" as of `models.judge.prepare_clip`, and one index tensor [B] per attribute name.
    They are made lighter or darker, soft and grainy here, but not mirrored: left and right are answers of the camera.
    """
    gain = 1.0 + 0.1 * (torch.rand(batch["moves"].shape[0], 1, 1, 1, 1, generator=generator) - 0.5)
    views = {
        name: worn(batch[name] * gain.to(batch[name]), most, SOFT[name], generator) for name, most in GRAIN.items()
    }
    return attribute_loss(judge(**views), batch)


def worn(pixels: Tensor, grain: float, soft: int, generator: torch.Generator) -> Tensor:
    """Clips [B, 3, T, H, W], each softened and made grainy by chance, every other one with coarse grain."""
    share, level, kind = torch.rand(3, pixels.shape[0], 1, 1, 1, generator=generator).to(pixels)
    frames = pixels.flatten(1, 2)
    size = frames.shape[-2:]
    softest = F.interpolate(F.avg_pool2d(frames, soft, ceil_mode=True), size, mode="bilinear")
    fine = torch.randn(frames.shape, generator=generator)
    squares = torch.randn(*frames.shape[:2], *(-(-side // COARSE) for side in size), generator=generator)
    noise = torch.where(kind < 0.5, F.interpolate(squares, size).to(pixels), fine.to(pixels))
    return (frames.lerp(softest, share) + grain * level * noise).unflatten(1, pixels.shape[1:3])
