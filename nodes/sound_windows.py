"""How a sound is cut into windows, and which part of it is made at all; the same on every host.

Shape letters: B batch, C latent channels, L sound frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moviegen_core.conditioning.sound import LATENT_RATE
from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.pipelines.sound import (
    CONTEXT_SECONDS,
    METHODS,
    WINDOW_SECONDS,
    check_method,
    sound_windows,
    to_make,
    window_frames,
    window_runs,
)
from moviegen_core.pipelines.sound_scoring import Scorer, check_scorer

from .convert import refuse_nested

CONTEXT_KEY = "context_seconds"  # of a LATENT: how much of the known sound is heard
WINDOWS_KEY = "moviegen_windows"  # of a MODEL: its long form

NO_SOUND = "this model makes no sound; connect Load Movie Gen Audio Model"
NO_CODEC = "this VAE is no Movie Gen sound codec; connect Load DAC-VAE (Movie Gen)"


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Long form: how windows follow each other (`long_sound` of the core explains the methods)."""

    method: str = METHODS[0]
    window_seconds: float = WINDOW_SECONDS
    context_seconds: float = CONTEXT_SECONDS
    beams: int = 1

    def __post_init__(self) -> None:
        window_frames(self.window_seconds, self.context_seconds)
        check_method(self.method, self.beams)

    @classmethod
    def recommended(cls, sampling: Mapping[str, Any]) -> Windows:
        """Windows that a model's file recommends, else the paper's."""
        return cls(**{name: sampling[name] for name in ("window_seconds", "context_seconds") if name in sampling})

    def slices(self, length: int) -> list[slice]:
        """Windows of `length` sound frames."""
        return sound_windows(length, self.window_seconds, self.context_seconds)


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is made of the sounds of a LATENT, and from which seeds: the same seed, the same sound on every host."""

    samples: Tensor  # [B, C, L]
    kept: Tensor  # bool [B, L]: sound frames that are known
    part: slice  # of the sound frames: what is looked at; the windows are its own
    slices: list[slice]  # windows; one where all of them are made at once
    wanted: list[list[slice]]  # of each sound, those windows in which something is unknown
    branches: int  # times that a window is made from each of the beginnings that go on
    beams: int
    places: list[int]  # of the sounds in the batch that they were taken from

    @classmethod
    def of(
        cls, latent: Mapping[str, Any], channels: int, windows: Windows, candidates: int, scorer: Scorer | None
    ) -> Plan:
        """For a model of so many latent `channels`; ConfigError or ShapeError for what cannot be made."""
        samples, kept = check_sound_latent(latent, channels), kept_frames(latent)
        part = span(kept, float(latent.get(CONTEXT_KEY, windows.context_seconds)))
        branches = max(candidates, windows.beams)
        check_method(windows.method, branches)
        check_scorer(branches, scorer)
        length = part.stop - part.start
        slices = windows.slices(length) if windows.method == "extend" else [slice(0, length)]
        wanted = [to_make(slices, known) for known in kept[:, part]]
        places = list(latent.get("batch_index") or ())
        if len(places) != len(samples):  # nobody said, or a node changed the batch since
            places = list(range(len(samples)))
        return cls(
            samples=samples, kept=kept, part=part, slices=slices, wanted=wanted, branches=branches,
            beams=windows.beams, places=places,
        )  # fmt: skip

    def runs(self, sounds: int | None = None) -> int:
        """Windows that are made of all sounds, or of the first so many."""
        return sum(window_runs(wanted, self.branches, self.beams) for wanted in self.wanted[:sounds])

    def seed(self, first: int, item: int) -> int:
        """Seed of a sound's first window; the others follow it, whatever is known of the sounds before."""
        return first + self.places[item] * window_runs(self.slices, self.branches, self.beams)

    def put(self, made: Tensor, item: int, grown: Tensor) -> None:
        """Write what was made of one sound's part, [1, C, l], into `made` [B, C, L], but for what is known."""
        own, stays = made[item, :, self.part], self.kept[item, self.part].to(made.device)
        made[item, :, self.part] = torch.where(stays, own, grown[0].to(made))


def kept_frames(latent: Mapping[str, Any]) -> Tensor:
    """Which sound frames of a LATENT are known: bool [B, L], from its noise mask (0 keeps)."""
    return (noise_rows(latent) < 0.5).cpu()


def noise_rows(latent: Mapping[str, Any]) -> Tensor:
    """The noise mask of a sound's LATENT, one row a sound [B, L]; ones where it has none."""
    samples, mask = latent["samples"], latent.get("noise_mask")
    if mask is None:
        return torch.ones(samples.shape[0], samples.shape[2])
    if mask.shape[-1] != samples.shape[2]:
        raise ShapeError(
            f"the noise mask has {mask.shape[-1]} frames, the latent {samples.shape[2]}; connect Extend Sound or Fill "
            "Sound (Movie Gen)"
        )
    rows = mask.reshape(-1, mask.shape[-1])
    return rows if len(rows) == samples.shape[0] else rows[:1].expand(samples.shape[0], -1)


def span(kept: Tensor, context_seconds: float) -> slice:
    """What is worth looking at of known frames [B, L]: the unknown ones and `context_seconds` beside them."""
    wanted = (~kept).any(dim=0).nonzero().flatten()
    if not len(wanted):
        raise ConfigError("all of this sound is known, so nothing is left to be made; extend it or name a gap")
    context = round(context_seconds * LATENT_RATE)
    return slice(max(0, int(wanted[0]) - context), min(kept.shape[1], int(wanted[-1]) + 1 + context))


def check_sound_latent(latent: Mapping[str, Any], channels: int) -> Tensor:
    """Samples [B, C, L] of a LATENT that a sound model can fill; ShapeError for any other."""
    samples = latent["samples"]
    refuse_nested(samples)
    if samples.ndim != 3 or samples.shape[1] != channels:
        raise ShapeError(
            f"a latent of shape {tuple(samples.shape)} was given; connect Video to Sound or Empty Sound Latent "
            "(Movie Gen)"
        )
    return samples
