"""Whitening of what frozen networks give, while a network that reads it is trained; folded away afterwards.

A mean that is most of the features' energy, or a few directions that are most of what varies, hide the rest from
gradient descent: the nano T5 gives nearly the same vector whatever it reads, and what a caption names is a trace in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

FLOOR = 0.01  # of the mean variance: directions that vary less are not blown up further


class Whiten(nn.Module):
    """(x - mean) @ matrix: features of zero mean, and of unit variance in every direction that varies."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))

    @torch.no_grad()
    def measure(self, features: Tensor) -> None:
        """Take mean and covariance of features [N, D]; the matrix is the symmetric root (ZCA)."""
        features = _exact(features)
        mean = features.mean(dim=0)
        centred = features - mean
        variances, directions = torch.linalg.eigh(centred.T @ centred / max(1, len(features) - 1))
        variances = variances.clamp(min=0.0)
        gains = (variances + FLOOR * variances.mean()).clamp(min=1e-12).rsqrt()
        self.mean.copy_(mean)
        self.matrix.copy_((directions * gains) @ directions.T)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return (x - self.mean.to(x)) @ self.matrix.to(x)


@torch.no_grad()
def whitened(layers: Iterable[nn.Module], features: Tensor, stir: float = 0.0) -> nn.Sequential:
    """`layers`, of which the first is a Linear with a bias, behind a Whiten measured on `features` [N, D].

    The Linear is changed so that all give the same as before. `stir` adds random directions, that many times as large
    as what the Linear gives: what was too faint to be read is then heard at once (the rest is soon learned again).
    """
    first, *others = layers
    assert isinstance(first, nn.Linear)
    whiten = Whiten(first.in_features).to(first.weight.device)
    whiten.measure(features)
    mean, matrix = _exact(whiten.mean), _exact(whiten.matrix)
    weight, bias = _exact(first.weight), _exact(first.bias)
    bias, weight = bias + weight @ mean, torch.linalg.solve(matrix, weight, left=False)
    if stir:
        random = nn.init.orthogonal_(torch.empty_like(first.weight, device="cpu")).double()
        weight += stir * (weight.square().sum() + bias.square().sum()).sqrt() / random.norm() * random
    first.weight.copy_(weight)
    first.bias.copy_(bias)
    return nn.Sequential(whiten, first, *others)


@torch.no_grad()
def folded(layers: Iterable[nn.Module]) -> nn.Sequential:
    """What `whitened` gave, without the Whiten: the Linear does its work too. Layers without one stay as they are."""
    whiten, *others = layers
    if not isinstance(whiten, Whiten):
        return nn.Sequential(whiten, *others)
    first, *others = others
    assert isinstance(first, nn.Linear)
    weight = _exact(first.weight) @ _exact(whiten.matrix).T
    first.bias.copy_(_exact(first.bias) - weight @ _exact(whiten.mean))
    first.weight.copy_(weight)
    return nn.Sequential(first, *others)


def _exact(value: Tensor) -> Tensor:
    """In float64 on the CPU: MPS has none, and cannot convert on the way either."""
    return value.cpu().double()
