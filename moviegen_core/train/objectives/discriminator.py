"""Patch discriminator and its hinge losses, as Latent Diffusion trains its autoencoders."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import distributed

DISCRIMINATOR_WEIGHT = 0.5  # assumption, as in Latent Diffusion
LARGEST_BALANCE = 1e4


class PatchDiscriminator(nn.Module):
    """Frames [N, 3, H, W] -> a score for each overlapping patch [N, 1, h, w]; high means real."""

    def __init__(self, channels: int = 32, layers: int = 2) -> None:
        super().__init__()
        widths = [channels * min(2**index, 8) for index in range(layers + 1)]
        parts: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for below, width in pairwise(widths):
            parts += [nn.Conv2d(below, width, 4, stride=2, padding=1, bias=False), nn.GroupNorm(8, width)]
            parts.append(nn.LeakyReLU(0.2))
        self.network = nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, frames: Tensor) -> Tensor:
        """Scores [N, 1, h, w]."""
        return self.network(frames)


@dataclass
class Adversary:
    """A discriminator, its optimiser and the schedule; called once a batch, it trains itself and judges.

    It keeps out of the loss for the first `start_step` batches. With `adaptive` its gradient at the decoder's last
    layer is scaled to that of the other losses.
    """

    discriminator: PatchDiscriminator
    weight: float = DISCRIMINATOR_WEIGHT
    start_step: int = 0
    learning_rate: float = 2e-4
    adaptive: bool = True
    step: int = 0
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.discriminator.parameters(), lr=self.learning_rate, betas=(0.5, 0.9))

    def __call__(
        self, rebuilt: Tensor, real: Tensor, loss: Tensor, last_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Frames [N, 3, H, W] -> (weighted loss of the decoder, what to report)."""
        self.step += 1
        if self.step <= self.start_step:
            return rebuilt.new_zeros(()), {}
        told = {"discriminator": self._learn(rebuilt.detach(), real)}
        self.discriminator.requires_grad_(False)
        fooling = -self.discriminator(rebuilt).mean()
        self.discriminator.requires_grad_(True)
        balance = self._balance(fooling, loss, last_weight) if self.adaptive else 1.0
        return self.weight * balance * fooling, {**told, "fooling": fooling.detach()}

    def state_dict(self) -> dict[str, object]:
        """Everything a resumed run needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        self.step = state["step"]  # type: ignore[assignment]

    def _learn(self, rebuilt: Tensor, real: Tensor) -> Tensor:
        loss = hinge(self.discriminator(real), self.discriminator(rebuilt))
        learn(self.optimizer, loss)
        return loss.detach()

    @staticmethod
    def _balance(fooling: Tensor, loss: Tensor, last_weight: Tensor) -> Tensor:
        wanted = torch.autograd.grad(loss, last_weight, retain_graph=True)[0].norm()
        own = torch.autograd.grad(fooling, last_weight, retain_graph=True)[0].norm()
        return (wanted / (own + 1e-4)).clamp(0.0, LARGEST_BALANCE).detach()


def learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of a discriminator; a loss that is not finite leaves it as it is, as the loop leaves the network.

    Processes that train together step alike, by the mean of their gradients.
    """
    world = distributed.here()
    if distributed.agree(not bool(torch.isfinite(loss)), world):
        return
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimizer.param_groups:
        distributed.average_gradients(group["params"], world)
    optimizer.step()


def hinge(real: Tensor, rebuilt: Tensor) -> Tensor:
    """Hinge loss of the discriminator's scores: real above 1, rebuilt below -1."""
    return 0.5 * (F.relu(1.0 - real).mean() + F.relu(1.0 + rebuilt).mean())
