"""Pictures in another size."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

IN_PLACE = ("cpu", "cuda")  # others lack area averages of some sizes (MPS), or bicubic with antialiasing
STEEPEST = 32  # times that a side may shrink under a GPU's bicubic kernel, whose local memory ends somewhat above it


def squares(pictures: Tensor, side: int, mode: Literal["area", "bicubic"]) -> Tensor:
    """Pictures [N, C, H, W] in [-1, 1] -> [N, C, side, side] in fp32; those of that size stay as they are.

    Other shapes are squeezed. "bicubic" is antialiased. The result lies where the pictures do, or on the CPU where
    their device cannot resize them.
    """
    if pictures.shape[-2:] == (side, side):
        return pictures
    steep = mode == "bicubic" and max(pictures.shape[-2:]) > STEEPEST * side
    if pictures.device.type not in IN_PLACE or steep:
        pictures = pictures.cpu()
    size = (side, side)
    if mode == "area":
        return F.interpolate(pictures.float(), size=size, mode="area")
    # Bicubic overshoots beside edges.
    return F.interpolate(pictures.float(), size=size, mode="bicubic", antialias=True).clamp(-1, 1)
