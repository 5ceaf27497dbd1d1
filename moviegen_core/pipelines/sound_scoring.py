"""Which of several finished sounds fits best: the scorers that candidates and beams are ranked by (paper 6.3)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..conditioning.sound import SoundConditioning, motion_span
from ..errors import ConfigError, ShapeError
from ..models.audio_codec.model import AudioCodec
from ..models.sound_match.model import SoundMatch, sound_bands
from .sound_codec import decode_sound

logger = logging.getLogger(__name__)


class Scorer(Protocol):
    """Judges finished candidates."""

    def __call__(self, latent: Tensor, conditioning: SoundConditioning) -> Tensor:
        """latent [B, C, L] and its conditions -> scores [B]; higher is better."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchScorer:
    """Score by a sound match: how well a candidate fits the moments of the video, and its description.

    It reads the motion features that stand last among the conditioning's frame features, and the text features;
    parts that the conditioning lacks do not count, nor does text of weight 0. The weights of the two are an assumption.
    """

    match: SoundMatch
    codec: AudioCodec
    text_weight: float = 0.5

    @torch.no_grad()
    def __call__(self, latent: Tensor, conditioning: SoundConditioning) -> Tensor:
        """latent [B, C, L], conditioning of one sample or B -> [B]."""
        place = self.match.seen.weight
        waveform = decode_sound(self.codec, latent)[:, 0]
        bands = sound_bands(waveform.to(place), self.match.config.bands)
        moments, whole = self.match.embed_sound(bands)
        score = torch.zeros(latent.shape[0], device=place.device)
        if conditioning.frames is not None and conditioning.frames_mask is not None:
            frames = conditioning.frames.to(place)
            shown = self.match.embed_frames(motion_span(frames, self.match.config.feature_dim))
            seen = conditioning.frames_mask.to(place.device).repeat_interleave(shown.shape[1] // frames.shape[1], 1)
            fit = (shown * moments[:, : shown.shape[1]]).sum(dim=-1) * seen
            score = score + fit.sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        if self.text_weight and conditioning.text is not None and conditioning.text_mask is not None:
            if conditioning.text.shape[-1] != self.match.config.text_dim:
                raise ShapeError(f"{_widths(self.match, conditioning.text.shape[-1])}: ask for 1 candidate")
            mask = conditioning.text_mask.to(place.device)
            said = self.match.embed_text(conditioning.text.to(place), mask)
            score = score + self.text_weight * (said * whole).sum(dim=-1) * mask.any(dim=1)
        return score


def match_scorer(match: SoundMatch, codec: AudioCodec, text_dim: int, sees: bool) -> MatchScorer:
    """Scorer of sounds whose words are `text_dim` wide; where the match reads others, their pictures count alone.

    ConfigError where it `sees` none.
    """
    if match.config.text_dim == text_dim:
        return MatchScorer(match=match, codec=codec)
    if not sees:
        raise ConfigError(f"{_widths(match, text_dim)}: ask for 1 candidate, or give the match of this sound model")
    logger.warning("%s: candidates are ranked by the pictures alone", _widths(match, text_dim))
    return MatchScorer(match=match, codec=codec, text_weight=0.0)


def _widths(match: SoundMatch, text_dim: int) -> str:
    return f"the sound match ranks by words of width {match.config.text_dim}, the text encoder's have {text_dim}"


def check_scorer(candidates: int, scorer: Scorer | None) -> None:
    """ConfigError where candidates cannot be ranked."""
    if candidates < 1:
        raise ConfigError(f"{candidates} candidates were asked for; use at least 1 (paper: 8)")
    if candidates > 1 and scorer is None:
        raise ConfigError(f"{candidates} candidates need a scorer that chooses one; give it, or ask for 1 candidate")
