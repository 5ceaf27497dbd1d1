"""Losses of the temporal autoencoder (paper 3.1.1): reconstruction, perceptual, discriminator, KL, outlier penalty.

The paper gives only the outlier penalty's numbers. Assumptions: the other weights, named below; the absolute error as
reconstruction; the penalty on the posterior's mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.tae.model import TAE
from ..data import roughened
from .discriminator import Adversary

Distance = Callable[[Tensor, Tensor], Tensor]  # frames [N, 3, H, W] twice -> scalar

OUTLIER_RADIUS = 3.0  # standard deviations a latent may lie from its frame's mean
OUTLIER_WEIGHT = 1e5
KL_WEIGHT = 1e-5  # assumption
PERCEPTUAL_WEIGHT = 1.0  # assumption
DETAIL_SCALES = 3


@dataclass(frozen=True, kw_only=True)
class TAELoss:
    """The objective of an autoencoder: call it with (module, batch, generator).

    The batch holds "pixels" [B, 3, T, H, W] in [-1, 1]; images are clips of one frame. `perceptual` compares frames;
    a distance in a frozen network's features (`feature_distance`) or, without such a network, `detail_distance`.
    """

    perceptual: Distance | None = None
    adversary: Adversary | None = None
    squared_weight: float = 0.0  # of the squared error, beside the absolute one
    perceptual_weight: float = PERCEPTUAL_WEIGHT
    kl_weight: float = KL_WEIGHT
    outlier_weight: float = OUTLIER_WEIGHT
    # Deviation of noise that the decoder learns to see through, up to this much of the latents' own, another share for
    # each clip (assumption, after RAE, arXiv 2510.11690): a generator's latents are never quite right.
    latent_noise: float = 0.0
    # The autoencoder whose latents ours should stay close to, for what was trained on them, and the weight of the
    # squared distance in units of their deviations (assumption).
    anchor: TAE | None = None
    anchor_weight: float = 0.0

    def __call__(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and its parts; also "psnr" in decibels, for pixels that span 2."""
        pixels = batch["pixels"]
        posterior = module.posterior(pixels)  # type: ignore[operator]
        latent = posterior.sample(generator)
        if self.latent_noise and module.training:
            unit: Tensor = module.latent_std[:, None, None, None]  # type: ignore[index]
            latent = roughened(latent, self.latent_noise, generator, unit)
        rebuilt = module.decode_raw(latent, pixels.shape[2])  # type: ignore[operator]
        frames, target = as_images(rebuilt), as_images(pixels)
        squared = F.mse_loss(frames, target)
        parts = {
            "absolute": F.l1_loss(frames, target),
            "kl": posterior.kl(),
            "outlier": outlier_penalty(posterior.mean),
        }
        loss = parts["absolute"] + self.kl_weight * parts["kl"] + self.outlier_weight * parts["outlier"]
        if self.anchor is not None:
            parts["moved"] = moved(self.anchor, pixels, posterior.mean)
            loss = loss + self.anchor_weight * parts["moved"]
        if self.squared_weight:
            loss = loss + self.squared_weight * squared
        if self.perceptual is not None:
            parts["perceptual"] = self.perceptual(frames, target)
            loss = loss + self.perceptual_weight * parts["perceptual"]
        if self.adversary is not None and module.training:
            judged, told = self.adversary(frames, target, loss, last_weight(module))
            loss, parts = loss + judged, {**parts, **told}
        psnr = 10.0 * torch.log10(4.0 / squared.detach().clamp_min(1e-10))
        return {"loss": loss, "psnr": psnr, **{name: value.detach() for name, value in parts.items()}}


def outlier_penalty(latent: Tensor, radius: float = OUTLIER_RADIUS) -> Tensor:
    """Outlier penalty loss (equation 1) of latents [B, C, T, H, W], mean over the frames.

    A latent vector may lie `radius` times the norm of its frame's per-channel standard deviations from the frame's
    mean vector; what exceeds that is the loss. Frames of a clip count as images.
    """
    frames = latent.transpose(1, 2).flatten(0, 1).flatten(2)  # [B T, C, H W]
    std, mean = torch.std_mean(frames, dim=2, keepdim=True, correction=0)
    distance = torch.linalg.vector_norm(frames - mean, dim=1)
    return F.relu(distance - radius * torch.linalg.vector_norm(std, dim=1)).mean()


def moved(anchor: TAE, pixels: Tensor, latent: Tensor) -> Tensor:
    """Mean square of the way from the anchor's latents of `pixels` to raw `latent`; 1 is the anchor's own variance."""
    with torch.no_grad():
        kept = anchor.posterior(pixels).mean
    return ((latent - kept) / anchor.latent_std[:, None, None, None]).square().mean()


def detail_distance(first: Tensor, second: Tensor) -> Tensor:
    """Absolute difference of the pixel gradients of frames [N, 3, H, W] at several scales.

    A stand-in where no perceptual network is at hand: it punishes blurred edges, and knows no semantics.
    """
    total = first.new_zeros(())
    error = first - second  # gradients and averages are linear: those of the difference are enough
    for scale in range(DETAIL_SCALES):
        if scale:
            error = F.avg_pool2d(error, 2)
        total = total + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return total / DETAIL_SCALES


def feature_distance(network: Callable[[Tensor], tuple[Tensor, ...]]) -> Distance:
    """Distance in the features of a frozen network: frames -> feature maps or tokens, channels on axis 1.

    As in LPIPS, features are normalised over the channels first; without its learned weights on them.
    """

    def distance(first: Tensor, second: Tensor) -> Tensor:
        pairs = list(zip(network(first), network(second.detach()), strict=True))
        errors = [(F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean() for a, b in pairs]
        return torch.stack(errors).mean()

    return distance


def as_images(pixels: Tensor) -> Tensor:
    """Clips [B, C, T, H, W] -> frames [B T, C, H, W]."""
    return pixels.transpose(1, 2).flatten(0, 1)


def last_weight(module: nn.Module) -> Tensor:
    """The decoder's last convolution, on which the adversary's share is balanced."""
    return module.decoder.head.conv.temporal.taps.weight  # type: ignore[union-attr, return-value]
