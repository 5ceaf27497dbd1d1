"""Sound judge objective: cross-entropy of every attribute's answer, from the spectrogram alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LABEL_SMOOTHING = 0.02
LOUDER = 0.07  # +- on the spectrogram's scale, about 6 dB
ROUGHNESS = 0.03  # of the noise on the spectrogram


def sound_judge_loss(judge: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Sum over the attributes; also "NAME_accuracy". `judge` is a models.sound_judge.SoundJudge.

    The batch holds "spectrogram" [B, F, T] and one index tensor [B] per attribute name. Loudness is varied, except
    where nothing is heard.
    """
    spectrogram = batch["spectrogram"]
    louder = LOUDER * (2 * torch.rand(spectrogram.shape[0], 1, 1, generator=generator) - 1)
    noise = ROUGHNESS * torch.randn(spectrogram.shape, generator=generator)
    heard = (spectrogram > -0.99).any(dim=(1, 2), keepdim=True)
    scores = judge(spectrogram + (louder + noise).to(spectrogram) * heard)
    losses, report = [], {}
    for name, rows in scores.items():
        losses.append(F.cross_entropy(rows, batch[name], label_smoothing=LABEL_SMOOTHING))
        report[f"{name}_accuracy"] = (rows.argmax(dim=-1) == batch[name]).float().mean()
    return {"loss": torch.stack(losses).sum(), **report}
