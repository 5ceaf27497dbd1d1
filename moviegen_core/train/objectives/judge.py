"""Judge objective: cross-entropy of every attribute's answer, from pixels alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LABEL_SMOOTHING = 0.02
NOISE = {"stills": 0.02, "moves": 0.01}


def judge_loss(judge: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Sum over the attributes; also "NAME_accuracy". `judge` is a models.judge.Judge.

    The batch holds "stills" and "moves" as of `models.judge.prepare_clip`, and one index tensor [B] per attribute name.
    They are made lighter or darker and grainy here, but not mirrored: left and right are answers of the camera.
    """
    gain = 1.0 + 0.1 * (torch.rand(batch["moves"].shape[0], 1, 1, 1, 1, generator=generator) - 0.5)
    views = {}
    for name, level in NOISE.items():
        noise = level * torch.randn(batch[name].shape, generator=generator)
        views[name] = batch[name] * gain.to(batch[name]) + noise.to(batch[name])
    scores = judge(**views)
    losses, report = [], {}
    for name, rows in scores.items():
        losses.append(F.cross_entropy(rows, batch[name], label_smoothing=LABEL_SMOOTHING))
        report[f"{name}_accuracy"] = (rows.argmax(dim=-1) == batch[name]).float().mean()
    return {"loss": torch.stack(losses).sum(), **report}
