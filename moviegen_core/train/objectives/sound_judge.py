"""Sound judge objective: cross-entropy of every attribute's answer, from the spectrogram alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .labels import attribute_loss

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
    return attribute_loss(judge(spectrogram + (louder + noise).to(spectrogram) * heard), batch)
