"""Muon steps along orthogonal matrices; the rest moves as by AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moviegen_core.train.muon import Muon


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (6, 2, 5)])
def test_muon_steps_along_the_nearest_orthogonal_matrix_of_its_momentum(shape):
    torch.manual_seed(0)
    weight, gradients = nn.Parameter(torch.randn(shape)), torch.randn(2, *shape)
    optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=0.1, weight_decay=0.5)
    for gradient in gradients:
        before, weight.grad = weight.detach().clone(), gradient
        optimizer.step()
    moved = (0.95 * before - weight.detach()) / 0.1  # what weight decay left of it
    buffer = 0.05 * (0.95 * gradients[0] + gradients[1])
    left, _, right = torch.linalg.svd(torch.lerp(gradients[1], buffer, 0.95).flatten(1), full_matrices=False)
    assert torch.cosine_similarity(moved.flatten(), (left @ right).flatten(), dim=0) > 0.97
    assert moved.square().mean().sqrt() == pytest.approx(0.2, rel=0.2)  # AdamW's


def test_what_muon_leaves_to_adamw_moves_as_by_torchs():
    own, other = (nn.Parameter(torch.ones(5)) for _ in range(2))
    ours = Muon([own], lr=0.1, weight_decay=0.5)
    theirs = torch.optim.AdamW([other], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    for seed in range(4):
        own.grad = other.grad = torch.randn(5, generator=torch.Generator().manual_seed(seed))
        ours.step()
        theirs.step()
    torch.testing.assert_close(own, other)
