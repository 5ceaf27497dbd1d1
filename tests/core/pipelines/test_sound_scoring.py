"""The scorer by a sound match."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.conditioning.sound import SoundConditioning
from moviegen_core.errors import ShapeError
from moviegen_core.models import catalog
from moviegen_core.models.sound_match.model import MOMENT_RATE, sound_bands
from moviegen_core.pipelines.sound_codec import decode_sound
from moviegen_core.pipelines.sound_scoring import MatchScorer


@torch.no_grad()
def test_match_prefers_the_sound_that_it_was_told_is_right():
    """The scorer's sum is that of its embeddings: a match whose frames are the sound's own embedding scores 1."""
    torch.manual_seed(0)
    match = catalog.build("sound_match", device="cpu").eval()
    codec = catalog.build("audio_codec", device="cpu").eval()

    frames = torch.randn(1, 2, 2 * match.config.feature_dim)
    latents = torch.randn(3, codec.config.latent_channels, 2)
    scorer = MatchScorer(match=match, codec=codec, text_weight=0.5)
    scores = scorer(latents, SoundConditioning(frames=frames))
    shown = match.embed_frames(frames.unflatten(2, (2, -1)).flatten(1, 2))
    heard, _ = match.embed_sound(sound_bands(decode_sound(codec, latents)[:, 0], match.config.bands))
    assert shown.shape[1] == 2 * MOMENT_RATE // 25
    assert torch.allclose(scores, (shown * heard).sum(-1).mean(1), atol=1e-5)
    hidden = SoundConditioning(frames=frames, frames_mask=torch.zeros(1, 2, dtype=torch.bool))
    assert torch.equal(scorer(latents, hidden), torch.zeros(3))


@torch.no_grad()
def test_words_that_the_match_does_not_read_are_refused_unless_they_do_not_count():
    match = catalog.build("sound_match", device="cpu").eval()
    codec = catalog.build("audio_codec", device="cpu").eval()
    latent, said = torch.zeros(1, 128, 1), SoundConditioning(text=torch.zeros(1, 3, match.config.text_dim + 1))
    with pytest.raises(ShapeError, match=r"words of width 192, the text encoder's have 193: ask for 1 candidate"):
        MatchScorer(match=match, codec=codec)(latent, said)
    assert MatchScorer(match=match, codec=codec, text_weight=0.0)(latent, said).tolist() == [0.0]
