"""Judge objective: cross-entropy of every attribute's answer, from pixels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LABEL_SMOOTHING = 0.02


def judge_loss(judge: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Sum over the attributes; also "NAME_accuracy". `judge` is a models.judge.Judge.

    The batch holds "pixels" [B, 3, T, H, W] sized for the judge, and one index tensor [B] per attribute name. Clips
    are never mirrored: left and right are answers of the camera attribute.
    """
    gain = 1.0 + 0.1 * (torch.rand(batch["pixels"].shape[0], 1, 1, 1, 1, generator=generator) - 0.5)
    noise = 0.02 * torch.randn(batch["pixels"].shape, generator=generator)
    pixels = batch["pixels"] * gain.to(batch["pixels"]) + noise.to(batch["pixels"])
    scores = judge(pixels)
    losses, report = [], {}
    for name, rows in scores.items():
        losses.append(F.cross_entropy(rows, batch[name], label_smoothing=LABEL_SMOOTHING))
        report[f"{name}_accuracy"] = (rows.argmax(dim=-1) == batch[name]).float().mean()
    return {"loss": torch.stack(losses).sum(), **report}
