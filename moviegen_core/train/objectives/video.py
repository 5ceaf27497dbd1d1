"""Flow matching on latent clips (paper 3.1.2): predict the velocity from noise to data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...flow import path, times
from ...ops.patchify import unpatchify
from ...shapes import PATCH_SIZE
from ..critic import LatentCritic
from ..hints import answer_loss

DROP_CONDITION = 0.1  # assumption: the paper does not state the rate for video; 0.1 is usual
CONTEXT_KEY, MASK_KEY = "context.", "context_mask."  # + encoder name
TIME_BINS = 4
PLACE_OPEN, PLACE_TOLD = 0.2, 0.5  # times (assumption) before which a noisy clip hides its subject, and after which not
WINDOW_OPEN = 0.3  # time (assumption) from which on tokens about the subject are learned from without the others


def flow_matching(
    model: nn.Module,
    batch: dict[str, Tensor],
    generator: torch.Generator,
    *,
    channel_weight: Tensor | None = None,
    time_mean: float = 0.0,
    hint_weight: float = 0.0,
    subject_weight: float = 1.0,
    critic: LatentCritic | None = None,
    critic_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Mean squared error of the velocity; the model is a VideoDiT or a wrapper with its interface.

    `channel_weight` [C], of mean 1, says how much each latent channel counts; the best prediction stays the same, but
    a small network spends itself where it shows. Times are logit-normal about `time_mean` (paper: 0); below 0 more of
    them lie near the noise, where it is decided what a clip shows and where. `hint_weight` above 0 adds that much of
    the hints' loss (train/hints.py); the model is then a VideoPupil, and the batch holds "cells", "move" and "camera".
    `subject_weight` other than 1 counts cells of the subject so much more (`subject_weights`); it needs "cells" too.
    A `critic` (train/critic.py) adds `critic_weight` times how far it finds the predicted clean latent unlike the true
    one, where a noisy clip tells its subject's place; what is not shown counts as predicted rightly.
    A batch that holds "shown" [B, S] (numbers of tokens, as of `hints.window`) is learned from those tokens alone, at
    times from WINDOW_OPEN on: before, that the subject is among them would tell more than the noise does.

    The batch holds "latent" [B, C, T, H, W] (unit variance), and for each encoder "context.NAME" [B, L, De] with
    "context_mask.NAME" [B, L]. Returns "loss" and detached "loss_0" ... "loss_3": the mean within each quarter of
    time, absent where no sample fell into it. Noise and times come from `generator` (CPU), so a run can be resumed.
    """
    latent, shown = batch["latent"], batch.get("shown")
    size, device = latent.shape[0], latent.device
    noise = torch.randn(latent.shape, generator=generator, dtype=torch.float32).to(device, latent.dtype)
    drawn = times.logit_normal(size, mean=time_mean if shown is None else 0.0, generator=generator)
    if shown is not None:
        drawn = WINDOW_OPEN + (1.0 - WINDOW_OPEN) * drawn
    time = drawn.to(device)
    prepared = model.prepare(*_conditions(batch, generator), size)  # type: ignore[operator]
    with nullcontext() if shown is None else model.showing(shown):  # type: ignore[operator]
        predicted = model(path.interpolate(latent, noise, time), time, prepared)
    wrong = predicted.float() - path.velocity(latent, noise).float()
    error = wrong.square()
    weights = error.new_ones(error[:, 0].shape)
    within = None if shown is None else shown_cells(shown, latent.shape[2:])
    if subject_weight != 1.0 or shown is not None:
        weights = subject_weights(batch["cells"], time, subject_weight, within)
        error = error * weights[:, None]
    error = error.mean(dim=(2, 3, 4))
    if channel_weight is not None:
        error = error * channel_weight.to(error)
    error = error.mean(dim=1)
    loss, report = error.mean(), by_time(error.detach(), drawn)
    if hint_weight:
        told = answer_loss(model.answers, batch["cells"], batch["move"], batch["camera"], shown)  # type: ignore[arg-type]
        report |= {"flow": loss.detach(), **{name: value.detach() for name, value in told.items()}}
        loss = loss + hint_weight * told["hints"]
    if critic is not None:
        unlike = _unlike(critic, latent, wrong if within is None else wrong * within[:, None], time, weights)
        report |= {"unlike": unlike.detach()}
        loss = loss + critic_weight * unlike
    return {"loss": loss, **report}


def _conditions(batch: dict[str, Tensor], generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Features and masks by encoder; samples that drop their condition have no valid token: the null condition."""
    context = {key[len(CONTEXT_KEY) :]: value for key, value in batch.items() if key.startswith(CONTEXT_KEY)}
    masks = {key[len(MASK_KEY) :]: value for key, value in batch.items() if key.startswith(MASK_KEY)}
    if set(context) != set(masks):
        raise ConfigError(
            f"the batch has features of {sorted(context)} and masks of {sorted(masks)}; give both for each encoder"
        )
    latent = batch["latent"]
    keep = (torch.rand(latent.shape[0], generator=generator) >= DROP_CONDITION).to(latent.device)
    return context, {name: mask.bool() & keep[:, None] for name, mask in masks.items()}


def _unlike(critic: LatentCritic, latent: Tensor, wrong: Tensor, time: Tensor, weights: Tensor) -> Tensor:
    """How far the critic finds the clean latent that a velocity, `wrong` by so much, predicts unlike the true one."""
    # A wrong velocity puts the clean latent wrong by as much as there is still to go.
    moved = latent + path.over_batch(1.0 - time, latent) * wrong
    return (place_told(time) * critic.distance(moved, latent, weights)).mean()


def place_told(time: Tensor) -> Tensor:
    """How far noisy clips at `time` [B] tell where their subject is, from 0 to 1."""
    return ((time - PLACE_OPEN) / (PLACE_TOLD - PLACE_OPEN)).clamp(0.0, 1.0)


def subject_weights(cells: Tensor, time: Tensor, weight: float, within: Tensor | None = None) -> Tensor:
    """How much each latent cell counts, [B, T, H, W] of mean 1 in each sample: those of the subject `weight` times.

    What a film is watched for fills a tenth of it. Only where `time` [B] has told the subject's place, though: before
    it has, the best weighted prediction would draw something of the subject everywhere. Cells where `within`
    [B, T, H, W] is False do not count.
    """
    weights = 1.0 + (weight - 1.0) * place_told(time)[:, None, None, None] * (cells > 0)
    if within is not None:
        weights = weights * within
    return weights / weights.mean(dim=(1, 2, 3), keepdim=True)


def shown_cells(shown: Tensor, size: Sequence[int]) -> Tensor:
    """Numbers [B, S] of tokens -> bool [B, T, H, W]: the latent cells that they cover, of `size` (T, H, W)."""
    frames, rows, columns = (length // step for length, step in zip(size, PATCH_SIZE, strict=True))
    tokens = torch.zeros(shown.shape[0], frames * rows * columns, math.prod(PATCH_SIZE), device=shown.device)
    tokens.scatter_(1, shown[..., None].expand(-1, -1, tokens.shape[2]), 1.0)
    return unpatchify(tokens, (frames, rows, columns), PATCH_SIZE, 1)[:, 0] > 0


def by_time(error: Tensor, time: Tensor) -> dict[str, Tensor]:
    """Errors [B] at times [B] -> "loss_0" ... "loss_3": the mean within each quarter of time that was met.

    Times on the CPU keep a GPU from waiting.
    """
    bins = (time * TIME_BINS).long().clamp_(max=TIME_BINS - 1)
    return {f"loss_{index}": error[bins == index].mean() for index in range(TIME_BINS) if bool((bins == index).any())}
