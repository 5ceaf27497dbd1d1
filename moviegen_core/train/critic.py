"""A critic of latent clips: it learns to tell what is where in true ones, and tells how far predicted ones look alike.

After the perceptual losses on what a diffusion model predicts of the clean latent (arXiv 2411.04873), with features
that were trained to name the toybox's things and motions in place of a decoder's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.patchify import patchify
from ..shapes import LATENT_CHANNELS, PATCH_SIZE
from .data import roughened
from .hints import ANSWERS, answer_loss

NOISE = 0.5  # deviation of the most noise that the critic learns to see through: what is predicted is not quite clean
FINE, COARSE = 96, 192  # channels for each latent cell, and for each token


class _Block(nn.Module):
    """A residual step that looks at its neighbours in the frame, then at those in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.space = nn.Conv3d(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.time = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.time(F.silu(self.space(F.silu(self.norm(x)))))


class LatentCritic(nn.Module):
    """Latents [B, C, T, H, W] of unit variance -> features of every cell and of every token, and the hints' answers."""

    def __init__(self) -> None:
        super().__init__()
        cells = PATCH_SIZE[0] * PATCH_SIZE[1] * PATCH_SIZE[2]
        self.read = nn.Conv3d(LATENT_CHANNELS, FINE, (1, 3, 3), padding=(0, 1, 1))
        self.fine = nn.ModuleList(_Block(FINE) for _ in range(2))
        self.join = nn.Linear(FINE * cells, COARSE)
        self.coarse = nn.ModuleList(_Block(COARSE) for _ in range(3))
        self.norm = nn.GroupNorm(8, COARSE)
        self.answer = nn.Linear(COARSE, ANSWERS)

    def features(self, latent: Tensor) -> list[Tensor]:
        """After each block, [B, channels, T, rows, columns]; the first ones for cells, the others for tokens."""
        found = []
        x = self.read(latent)
        for block in self.fine:
            x = block(x)
            found.append(x)
        tokens, grid = patchify(x, PATCH_SIZE)
        x = self.join(tokens).transpose(1, 2).unflatten(2, grid)
        for block in self.coarse:
            x = block(x)
            found.append(x)
        return found

    def distance(self, predicted: Tensor, true: Tensor, weights: Tensor) -> Tensor:
        """[B]: mean squared difference of the features of two latents, each channel in units of its own deviation.

        `weights` [B, T, H, W] say how much a cell counts; what a token counts is their mean.
        """
        with torch.no_grad():
            wanted = self.features(true)
        total = predicted.new_zeros(predicted.shape[0])
        for found, target in zip(self.features(predicted), wanted, strict=True):
            scale = target.var(dim=(0, 2, 3, 4), keepdim=True).clamp_min(1e-4)
            error = ((found - target).square() / scale).mean(dim=1)
            here = weights if error.shape == weights.shape else F.avg_pool3d(weights[:, None], PATCH_SIZE)[:, 0]
            total = total + (error * here).mean(dim=(1, 2, 3))
        return total / len(wanted)

    def forward(self, latent: Tensor) -> Tensor:
        """Answers [B, N, ANSWERS] of the tokens, as `hints.answer_loss` reads them."""
        last = F.silu(self.norm(self.features(latent)[-1]))
        return self.answer(last.flatten(2).transpose(1, 2))


def critic_loss(module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """What a LatentCritic learns: to answer the hints of true latents, with some noise on them."""
    latent = batch["latent"]
    told = answer_loss(module(roughened(latent, NOISE, generator)), batch["cells"], batch["move"], batch["camera"])
    return {"loss": told["hints"], **told}
