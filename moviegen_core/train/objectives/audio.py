"""Flow matching on sounds (paper 6.1); text, video and known sound are left out at random: one model serves all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...flow import path, times
from ..hints import sound_answer_loss
from .video import by_time

DROP_ALL, DROP_TEXT, DROP_VIDEO = 0.2, 0.1, 0.1  # paper 6.1.3; exclusive of each other: assumption
FULLY_MASKED = 0.5  # paper: the share of samples that are generated from nothing
EARLY = 0.1  # times (assumption) up to which `early_share` of the samples lie
LEAST_MASKED = 0.75  # paper: of the others 75 to 100 % are masked


def sound_flow_matching(
    model: nn.Module, batch: dict[str, Tensor], generator: torch.Generator, *,
    drop_video: float = DROP_VIDEO, known_alone: float = 0.0, weights: Tensor | None = None, hint_weight: float = 0.0,
    early_share: float = 0.0,
) -> dict[str, Tensor]:  # fmt: skip
    """Mean squared error of the velocity over all sound frames; the model is an AudioDiT.

    The batch holds "latent" [B, C, L] (unit variance), "text" [B, T, E] with "text_mask" [B, T], "frames" [B, L, F]
    and, where some samples have no video, "frames_mask" [B, L]. Returns "loss" and detached "loss_0" ... "loss_3":
    the mean within each quarter of time. Noise, times and drops come from `generator` (CPU). Dropping all conditions
    drops the known sound too, and known frames count in the loss like others (assumptions). `known_alone` of the
    samples have known sound and nothing else, which the paper does not have: whoever lets a sound go on need not say
    how. `weights` [C], of mean 1, let channels count unequally; the paper's do not. `early_share` of the times are
    drawn evenly from 0 to EARLY: of the paper's, one in seventy lies there, but where sampling begins it is decided
    whether there is anything to hear at all.
    `hint_weight` above 0 adds that much of the hints' loss (train/hints.py); the model is then an AudioPupil, and the
    batch holds "kind", "ambience" and "mood" [B] and "hits" [B, L].
    """
    latent = batch["latent"]
    size, device = latent.shape[0], latent.device
    noise = torch.randn(latent.shape, generator=generator, dtype=torch.float32).to(device, latent.dtype)
    time = times.logit_normal(size, generator=generator)
    if early_share:
        early = torch.rand(2, size, generator=generator)
        time = torch.where(early[0] < early_share, EARLY * early[1], time)
    drawn, time = time, time.to(device)
    chance = torch.rand(size, generator=generator)
    keep_any = chance >= DROP_ALL
    parts = torch.tensor((DROP_ALL, DROP_TEXT, drop_video, known_alone)).cumsum(0)
    kind = torch.bucketize(chance, parts, right=True)  # 1 without text, 2 without video, 3 without both
    keep_text, keep_video = keep_any & (kind != 1) & (kind != 3), keep_any & (kind != 2) & (kind != 3)
    known = known_frames(size, latent.shape[2], generator, kind == 3) & keep_any[:, None]
    frames_mask = batch.get("frames_mask", torch.ones(size, latent.shape[2], dtype=torch.bool, device=device))
    prepared = model.prepare(  # type: ignore[operator]
        batch["text"],
        batch["text_mask"].bool() & keep_text.to(device)[:, None],
        batch["frames"],
        frames_mask.bool() & keep_video.to(device)[:, None],
        latent,
        known.to(device),
    )
    predicted = model(path.interpolate(latent, noise, time), time, prepared)
    target = path.velocity(latent, noise)
    error = F.mse_loss(predicted.float(), target.float(), reduction="none").mean(dim=2)
    error = (error if weights is None else error * weights.to(error)).mean(dim=1)
    loss, report = error.mean(), by_time(error.detach(), drawn)
    if hint_weight:
        told = sound_answer_loss(model.answers, batch)  # type: ignore[arg-type]
        report |= {"flow": loss.detach(), **{name: value.detach() for name, value in told.items()}}
        loss = loss + hint_weight * told["hints"]
    return {"loss": loss, **report}


def known_frames(size: int, length: int, generator: torch.Generator, always: Tensor) -> Tensor:
    """Bool [size, length], True where the sound is known; `always` bool [size]: what never is masked whole.

    What is masked is one span, at the start, at the end or between (assumption): backward and forward extension and
    filling all occur.
    """
    draws = torch.rand(size, 3, generator=generator)
    share = LEAST_MASKED + (1.0 - LEAST_MASKED) * draws[:, 0]
    masked = (share * length).ceil().clamp(max=length)
    # A third each: the span begins with the sound, ends with it, or lies anywhere.
    place = (3.0 * draws[:, 1] - 1.0).clamp(0.0, 1.0)
    start = (place * (length - masked)).round()
    frame = torch.arange(length)
    inside = (frame >= start[:, None]) & (frame < (start + masked)[:, None])
    return ~inside & ((draws[:, 2] >= FULLY_MASKED) | always)[:, None]
