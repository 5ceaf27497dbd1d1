"""Muon for matrices, AdamW for everything else, in one optimiser (Jordan 2024; Liu et al. 2025, arXiv 2502.16982).

torch.optim.Muon iterates in bfloat16, which a CPU without units for it runs several times slower than float32, and
takes matrices only; here it is asked for, and equal shapes share one batched product.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # steepest at zero; singular values end within about 0.7 to 1.2
NEWTON_SCHULZ_STEPS = 5
MOMENTUM = 0.95
RMS_OF_ADAMW = 0.2  # updates scaled to it take AdamW's learning rates


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonal=True` hold matrices and convolutions; the others follow AdamW.

    `dtype` is that of the iteration; None: the gradient's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.dtype = dtype
        defaults = {"lr": lr, "momentum": MOMENTUM, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                (self._matrices if group["orthogonal"] else self._others)(parameters, group)
        return loss

    def _matrices(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in parameters:
            gradient = _gradient(parameter)
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            buffer = state["momentum"]
            buffer.lerp_(gradient, 1 - group["momentum"])
            # A convolution counts as the matrix from all taps of its inputs to its outputs.
            update = torch.lerp(gradient, buffer, group["momentum"]).flatten(1)
            alike[update.shape].append((parameter, update))
        for shape, members in alike.items():
            scale = RMS_OF_ADAMW * math.sqrt(max(shape))
            updates = torch.stack([update for _, update in members])
            updates = orthogonalise(updates, self.dtype).to(updates.dtype)
            for (parameter, _), update in zip(members, updates, strict=True):
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)

    def _others(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
            state["step"] += 1
        gradients = [_gradient(parameter) for parameter in parameters]
        means = [self.state[parameter]["mean"] for parameter in parameters]
        squares = [self.state[parameter]["square"] for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        for parameter, mean, square in zip(parameters, means, squares, strict=True):
            step = self.state[parameter]["step"]
            width = (square / (1 - second**step)).sqrt_().add_(group["eps"])
            parameter.addcdiv_(mean, width, value=-group["lr"] / (1 - first**step))


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def orthogonalise(matrices: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """[..., m, n] -> the nearest (semi-)orthogonal matrices, approximately, by Newton-Schulz iteration in `dtype`."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)).to(dtype or x.dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrices.shape[-2] > matrices.shape[-1] else x
