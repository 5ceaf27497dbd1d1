"""Noise on the latents of real clips and sounds: what they show is known however rough they are; judges are asked."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError

MOST_ROUGH = 2.0


def check_roughness(roughness: float) -> None:
    """ConfigError for a deviation that the noise on latents of unit variance cannot well have."""
    if not 0 <= roughness <= MOST_ROUGH:
        raise ConfigError(f"roughness {roughness:g} must lie from 0 to {MOST_ROUGH:g}; latents have unit variance")


def rough(latent: Tensor, roughness: float, seed: int) -> Tensor:
    """`latent` with noise of that deviation."""
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    return latent + roughness * noise.to(latent)
