"""Fitting, mixing and widening sounds."""

import math
from itertools import pairwise

import pytest
import torch

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.media.loudness import true_peak
from moviegen_core.media.sound_edit import Track, duck_gain, fit, mix, widen
from moviegen_core.media.timeline import clip_samples, frames_seconds

RATES = [12, 16, 23.976, 24, 25, 29.97, 30, 60]


def noise(samples, channels=1, seed=0):
    """White noise [C, S] of 0.2 standard deviation."""
    return 0.2 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mode", ["pad", "loop"])
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("clip_seconds", [0.5, 7.3, 180.0])
def test_fitted_sound_is_as_long_as_the_clip_to_the_sample(fps, clip_seconds, mode):
    frames = round(clip_seconds * fps)
    exact = {23.976: (24000, 1001), 29.97: (30000, 1001)}.get(fps, (fps, 1))
    wanted = (2 * frames * 48000 * exact[1] + exact[0]) // (2 * exact[0])  # rounded without floating point
    samples = clip_samples(frames_seconds(frames, fps), 48000)
    assert samples == wanted
    assert fit(noise(30_011), samples, mode, join=2400).shape == (1, wanted)


def test_longer_sound_is_cut_and_shorter_one_followed_by_silence():
    sound = noise(1000, channels=2)
    assert torch.equal(fit(sound, 400), sound[:, :400])
    padded = fit(sound, 1500)
    assert torch.equal(padded[:, :1000], sound)
    assert not padded[:, 1000:].any()


def test_loop_repeats_and_crossfades_at_equal_power():
    sound = noise(48000)
    assert torch.equal(fit(sound, 100_000, "loop"), sound.repeat(1, 3)[:, :100_000])
    joined = fit(sound, 200_000, "loop", join=4800)
    assert torch.equal(joined[:, :43200], sound[:, :43200])
    assert torch.equal(joined[:, 48000:86400], sound[:, 4800:43200])
    power = joined.square().view(1, -1, 800).mean(-1).sqrt()
    assert float(power.min()) > 0.16
    assert float(power.max()) < 0.24


def test_fades_begin_and_end_what_is_heard():
    faded = fit(torch.ones(1, 1000), 2000, fade_in=100, fade_out=200)
    assert float(faded[0, 0]) < 1e-3
    assert torch.equal(faded[0, 100:800], torch.ones(700))
    assert float(faded[0, 999]) < 1e-3
    assert (faded[0, :100].diff() > 0).all()
    assert (faded[0, 800:1000].diff() < 0).all()


def test_fades_longer_than_the_sound_leave_it_finite_and_quiet_at_both_ends():
    faded = fit(torch.ones(1, 50), 50, fade_in=100, fade_out=100)
    assert float(faded[0, 0]) < 1e-3
    assert float(faded[0, -1]) < 1e-3


def test_fitting_leaves_its_input_alone():
    sound = torch.ones(1, 10)
    fit(sound, 10, fade_in=5)
    assert torch.equal(sound, torch.ones(1, 10))


def test_impossible_fits_are_refused():
    with pytest.raises(MediaError, match="at least 1"):
        fit(torch.ones(1, 5), 0)
    with pytest.raises(MediaError, match="empty"):
        fit(torch.ones(1, 0), 5)
    with pytest.raises(ConfigError, match="pad, loop"):
        fit(torch.ones(1, 5), 5, "stretch")
    with pytest.raises(MediaError, match="above 0"):
        frames_seconds(10, 0.0)
    with pytest.raises(MediaError, match="at least 1"):
        frames_seconds(0, 24)


def test_tracks_start_where_they_are_told():
    base = Track(waveform=torch.zeros(1, 4800), sample_rate=48000)
    click = torch.ones(1, 10)
    mixed = mix([base, Track(waveform=click, sample_rate=48000, start_seconds=0.05)])
    assert mixed.nonzero()[:, 1].tolist() == list(range(2400, 2410))
    early = mix([base, Track(waveform=torch.ones(1, 10), sample_rate=48000, start_seconds=-5 / 48000)])
    assert early.nonzero()[:, 1].tolist() == list(range(5))
    late = mix([base, Track(waveform=click, sample_rate=48000, start_seconds=1.0)])
    assert late.shape == (1, 48010)
    assert mix([base, Track(waveform=click, sample_rate=48000, start_seconds=1.0)], samples=4800).shape == (1, 4800)


def test_gain_is_in_decibels_and_rates_are_matched():
    half = mix([Track(waveform=torch.full((1, 100), 0.5), sample_rate=48000, gain_db=-6.0206)])
    assert torch.allclose(half, torch.full((1, 100), 0.25), atol=1e-5)
    assert mix([Track(waveform=noise(8000), sample_rate=8000)], 48000).shape == (1, 48000)


def test_pan_keeps_the_power_and_the_middle_untouched():
    sound = torch.full((1, 10), 0.3)
    both = [mix([Track(waveform=sound, sample_rate=48000, pan=pan)])[:, 0] for pan in (-1.0, -0.4, 0.7, 1.0)]
    assert all(float(sides.square().sum()) == pytest.approx(2 * 0.09, rel=1e-5) for sides in both)
    assert both[0][1] == pytest.approx(0.0, abs=1e-7)
    assert both[3][0] == pytest.approx(0.0, abs=1e-7)
    stereo = noise(10, channels=2)
    assert torch.equal(mix([Track(waveform=stereo, sample_rate=48000)]), stereo)


def test_music_ducks_under_a_voice_and_comes_back():
    rate = 8000
    music = Track(waveform=torch.full((1, 6 * rate), 0.1), sample_rate=rate, duck_db=12.0)
    voice = torch.zeros(1, 6 * rate)
    voice[:, 2 * rate : 3 * rate] = 0.2 * (torch.arange(rate) / 5).sin()
    lead = Track(waveform=voice, sample_rate=rate, leads=True)
    alone = mix([music, lead], rate) - voice
    assert torch.allclose(alone[:, : rate + rate // 3], torch.tensor(0.1), atol=1e-4)
    assert torch.allclose(alone[:, 2 * rate : 3 * rate], torch.tensor(0.1 * 10 ** (-12 / 20)), atol=2e-4)
    assert torch.allclose(alone[:, 4 * rate :], torch.tensor(0.1), atol=1e-4)
    assert float(alone.diff().abs().max()) < 1e-4


def test_ducking_holds_over_short_pauses_and_ignores_whispers():
    rate = 8000
    voice = torch.zeros(1, 4 * rate)
    voice[:, rate : rate + 800] = voice[:, rate + 3200 : rate + 4000] = 0.5
    gain = duck_gain(voice, rate, 20.0)
    assert torch.allclose(gain[:, rate : rate + 4000], torch.tensor(0.1), atol=1e-3)
    assert torch.equal(duck_gain(torch.full((1, rate), 0.005), rate, 20.0), torch.ones(1, rate))


def test_mixture_that_would_clip_is_limited():
    tracks = [Track(waveform=4 * noise(48000, seed=seed), sample_rate=48000) for seed in range(3)]
    assert true_peak(mix(tracks), 48000) <= -0.1 + 1e-3


def test_impossible_mixtures_are_refused():
    with pytest.raises(MediaError, match="at least one"):
        mix([])
    with pytest.raises(ConfigError, match="pan"):
        mix([Track(waveform=torch.ones(1, 4), sample_rate=48000, pan=2.0)])


def test_sound_that_the_memory_does_not_hold_is_refused_before_it_is_begun():
    with pytest.raises(MediaError, match="GiB are free; ask for a shorter one"):
        fit(torch.ones(6, 5), 10**14)
    with pytest.raises(MediaError, match="an earlier start of what is mixed in"):
        mix([Track(waveform=torch.ones(1, 5), sample_rate=48000, start_seconds=1e9)])


@pytest.mark.parametrize("rate", [8000, 48000])
def test_widened_sound_folds_back_to_the_mono_sound(rate):
    sound = noise(2 * rate)
    stereo = widen(sound, rate, 0.8)
    folded = stereo.mean(0, keepdim=True)
    assert torch.allclose(folded, sound / math.sqrt(1 + 0.8**2), atol=1e-5)
    assert stereo.square().mean(1).sqrt().tolist() == pytest.approx([float(sound.square().mean().sqrt())] * 2, rel=0.1)


def test_width_separates_the_sides_but_not_the_bass():
    sound = noise(96000)
    correlations = []
    for width in (0.0, 0.3, 0.6, 1.0):
        left, right = widen(sound, 48000, width)
        correlations.append(float((left * right).sum() / (left.norm() * right.norm())))
    assert correlations[0] == pytest.approx(1.0, abs=1e-5)
    assert all(later < earlier - 0.1 for earlier, later in pairwise(correlations))
    bass = (2 * math.pi * 40 * torch.arange(96000) / 48000).sin()[None]
    left, right = widen(bass, 48000, 1.0)[:, 4000:]
    assert float((left - right).norm() / (left + right).norm()) < 0.2


def test_stereo_stays_and_surround_becomes_stereo():
    stereo = noise(100, channels=2)
    assert torch.equal(widen(stereo, 48000, 0.5), stereo)
    assert widen(noise(100, channels=8), 48000, 0.5).shape == (2, 100)
    with pytest.raises(ConfigError, match="both sides alike"):
        widen(noise(100), 48000, 2.0)
