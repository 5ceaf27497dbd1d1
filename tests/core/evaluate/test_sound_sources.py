"""Sounds that networks make for the bench: lengths, and that pictures and words reach them."""

from dataclasses import replace

import pytest
import torch

from moviegen_core import toybox
from moviegen_core.conditioning.sound import FrameEncoders
from moviegen_core.evaluate import sound_sources
from moviegen_core.models.audio_codec.model import AudioCodec, AudioCodecConfig
from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig
from moviegen_core.models.sound_match.model import SoundMatch, SoundMatchConfig
from moviegen_core.pipelines.sound_parts import SoundParts
from moviegen_core.pipelines.sound_scoring import MatchScorer
from moviegen_core.pipelines.soundtrack import SoundPipeline, finish_sound

CODEC = AudioCodecConfig(
    encoder_dim=8, encoder_rates=(8,), latent_dim=8, latent_channels=4, decoder_dim=8, decoder_rates=(8,),
    watermark_rates=(), weight_norm=False, transform=240,
)  # fmt: skip
MATCH = SoundMatchConfig(channels=(8, 8, 8), dim=16, feature_dim=4, shared_dim=4, dilations=(1,), text_dim=6)


class Letters:
    """Text features that count letters: an encoder without weights."""

    def encode(self, texts):
        rows = [[float(text.count(letter)) for letter in "abcdef"] for text in texts]
        return torch.tensor(rows)[:, None], torch.ones(len(texts), 1, dtype=torch.bool)


@pytest.fixture
def pipeline():
    torch.manual_seed(0)
    config = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=6, frame_dim=8)
    built = [AudioCodec(CODEC), AudioDiT(config), SoundMatch(MATCH)]
    for network in built:
        network.reset_parameters()
    for parameter in built[1].parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    codec, model, match = (network.eval() for network in built)
    eyes = FrameEncoders(motion=match)
    sampling = {"steps": 2, "window_seconds": 2.0, "context_seconds": 0.5}
    return SoundPipeline(SoundParts(codec=codec, model=model, words=Letters(), eyes=eyes, sampling=sampling))


@pytest.mark.parametrize("seconds", [0.5, 1.001])
def test_sounds_are_as_long_as_asked_for(pipeline, seconds):
    scene = toybox.sample_scene(3)
    for make in (sound_sources.through_codec(pipeline.parts.codec), sound_sources.generated(pipeline)):
        waveform = make(scene, seconds, True, 0)
        assert waveform.shape == (1, round(seconds * 48_000))
        assert bool(waveform.isfinite().all())


def test_seed_and_scene_change_what_is_generated(pipeline):
    make = sound_sources.generated(pipeline)
    first, again, other = (make(toybox.sample_scene(3), 0.5, False, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, make(toybox.sample_scene(4), 0.5, False, 1))


def test_of_candidates_the_match_keeps_one(pipeline, monkeypatch):
    heard = []

    def prefers_the_third(self, latent, conditioning):
        heard.append(latent)
        return torch.tensor([float(len(heard) == 3)])

    monkeypatch.setattr(MatchScorer, "__call__", prefers_the_third)
    pipeline.parts = replace(pipeline.parts, match=pipeline.parts.eyes.motion)
    chosen = sound_sources.generated(pipeline, 4)(toybox.sample_scene(3), 0.5, False, 1)
    assert len(heard) == 4
    finished = [finish_sound(pipeline.parts.codec, latent, chosen.shape[1]) for latent in heard]
    assert [torch.allclose(chosen, one, rtol=0, atol=1e-5) for one in finished] == [False, False, True, False]


def test_rough_sounds_are_noise_on_the_latents_that_the_seed_fixes(pipeline):
    codec, scene = pipeline.parts.codec, toybox.sample_scene(3)
    clean, rough, again, other = (
        sound_sources.through_codec(codec, roughness)(scene, 0.5, True, seed)
        for roughness, seed in ((0.0, 1), (0.3, 1), (0.3, 1), (0.3, 2))
    )
    assert torch.equal(rough, again)
    assert not torch.equal(rough, other)
    assert not torch.allclose(rough, clean, atol=1e-4)


def test_pictures_are_guided_apart_where_asked(pipeline):
    scene = toybox.sample_scene(3)
    as_one, none, apart = (
        sound_sources.generated(pipeline, picture_guidance=scale)(scene, 0.5, False, 1) for scale in (None, 0.0, 8.0)
    )
    assert torch.equal(as_one, none)
    assert not torch.allclose(as_one, apart, atol=1e-4)
