"""Gain and shape of a linear code: how loud each group of channels is, in the logarithm, beside what is left of it.

As Opus codes its bands (RFC 6716, 4.3). A transformer that makes latents then meets loudness as what it is to the ear:
its errors are a share of what sounds, so that quiet stays quiet and silence silent.

Shape letters: B batch, C channels of the latent, G gains among them (the last ones), L frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-4  # amplitude beside the mean loudness of 1 below which nothing counts: -80 dB
TINY = 1e-12  # keeps the root's gradient finite in silence
LEAST_SHAPE = 0.05  # mean square of a shape that is brought to 1; a smaller one is taken as faint


def split(code: Tensor, gains: int) -> Tensor:
    """Linear code [B, C, L], whose last G channels are unused -> shapes of about unit size, then log gains."""
    shapes, levels = [], []
    for group in _groups(code, gains):
        loud = (group.square().mean(dim=1, keepdim=True) + TINY).sqrt() + FLOOR
        shapes.append(group / loud)
        levels.append(loud.log())
    return torch.cat([*shapes, *levels], dim=1)


def join(latent: Tensor, gains: int) -> Tensor:
    """What `split` gave, or what a network made in its likeness -> linear code [B, C, L], its last G channels zero."""
    found = []
    for group, level in zip(_groups(latent, gains), latent[:, -gains:].split(1, dim=1), strict=True):
        power = group.square().mean(dim=1, keepdim=True)
        found.append(group * power.clamp(min=LEAST_SHAPE).rsqrt() * (level.exp() - FLOOR).clamp(min=0.0))
    return torch.cat([*found, torch.zeros_like(latent[:, -gains:])], dim=1)


def _groups(code: Tensor, gains: int) -> tuple[Tensor, ...]:
    """The channels of each half of a frame, in G / 2 groups of neighbours."""
    halves = code[:, : code.shape[1] - gains].chunk(2, dim=1)
    return tuple(group for half in halves for group in half.tensor_split(gains // 2, dim=1))
