"""The sound match: loudness of bands, sizes, embeddings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from films import tone

from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog
from moviegen_core.models.sound_match.model import SoundMatch, SoundMatchConfig, sound_bands
from moviegen_core.models.sound_match.start import start_from


@pytest.fixture(scope="module")
def match():
    torch.manual_seed(0)
    return catalog.build("sound_match", device="cpu").eval()


def test_match_is_small():
    assert catalog.count_parameters(catalog.build("sound_match")) <= 400_000


def test_bands_of_a_full_scale_tone_reach_two_and_silence_minus_two():
    bands = sound_bands(tone(0.4, 1000, level=1), 40)
    assert bands.shape == (1, 20, 40)
    assert float(bands.max()) == pytest.approx(2.0, abs=0.1)
    assert torch.equal(sound_bands(torch.zeros(1, 1920), 40), torch.full((1, 2, 40), -2.0))


def test_higher_tones_sound_in_higher_bands():
    peaks = [int(sound_bands(tone(0.4, hertz, level=1), 40)[0, 5].argmax()) for hertz in (100, 400, 1600, 6400)]
    assert peaks == sorted(set(peaks))


def test_tone_is_heard_from_the_moment_at_which_it_begins():
    late = torch.cat([torch.zeros(1, 9600), tone(0.2, 2000, level=1)], dim=1)
    loudness = sound_bands(late, 40)[0].amax(dim=1)
    assert loudness[:9].max() < -1.5  # moment 9 lies around 0.19 s and hears the beginning
    assert loudness[11:].min() > 1.5


def test_last_moments_of_an_uneven_sound_are_filled_with_silence():
    assert sound_bands(torch.zeros(1, 1921), 8).shape == (1, 4, 8)


@torch.no_grad()
def test_embeddings_are_unit_vectors_for_any_length_and_size(match):
    features = match.moments(match.see(torch.rand(7, 3, 64, 48))[None])
    moments, whole = match.embed_sound(torch.randn(2, 13, 40))
    text = match.embed_text(torch.randn(2, 5, 192), torch.ones(2, 5, dtype=torch.bool))
    assert features.shape == (1, 7, match.config.feature_dim)
    for vectors in (match.embed_frames(features), moments, whole, text):
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]), atol=1e-5)


@torch.no_grad()
def test_pictures_of_another_precision_are_seen_as_they_are(match):
    pictures = torch.rand(2, 3, 37, 48).bfloat16()
    assert torch.equal(match.see(pictures), match.see(pictures.float()))


@torch.no_grad()
def test_padding_of_a_text_is_not_read(match):
    text = torch.randn(1, 5, 192)
    padded = torch.cat([text, torch.full((1, 3, 192), 9.0)], dim=1)
    mask = torch.arange(8)[None] < 5
    alone = match.embed_text(text, torch.ones(1, 5, dtype=torch.bool))
    assert torch.allclose(match.embed_text(padded, mask), alone, atol=1e-5)


def test_picture_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match="multiple of 8"):
        SoundMatchConfig(image_size=36)
    with pytest.raises(ConfigError, match="must be even"):
        SoundMatchConfig(first_stride=3)


@torch.no_grad()
def test_match_that_sees_finer_begins_with_what_a_coarser_one_told():
    known = SoundMatch(SoundMatchConfig())
    known.reset_parameters()
    finer = SoundMatch(replace(known.config, image_size=64, first_stride=4))
    start_from(finer, known)
    pictures = 2 * torch.rand(3, 3, 64, 64) - 1
    assert torch.allclose(finer.see(pictures), known.see(pictures), atol=1e-4)
    again = SoundMatch(finer.config)
    start_from(again, finer)
    assert torch.equal(again.see(pictures), finer.see(pictures))


@pytest.mark.parametrize(
    ("known", "wanted"),
    [({}, {"image_size": 64}), ({}, {"first_stride": 4}), ({}, {"dim": 32}),
     ({"image_size": 64, "first_stride": 4}, {"image_size": 96, "first_stride": 6}),
     ({"image_size": 64, "first_stride": 4}, {})],
)  # fmt: skip
def test_match_of_other_shapes_is_no_start(known, wanted):
    with pytest.raises(ConfigError, match="only image_size and first_stride may differ"):
        start_from(SoundMatch(SoundMatchConfig(**wanted)), SoundMatch(SoundMatchConfig(**known)))
