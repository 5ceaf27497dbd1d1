"""Loudness, true peak and the limiter, against pyloudnorm itself and known signals."""

import math

import pyloudnorm
import pytest
import torch
from films import tone

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.media import loudness
from moviegen_core.media.waveform import resample


def speech(seconds, rate=48000, channels=2, seed=0):
    """Noise in bursts with pauses and peaks [C, S]."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(channels, round(seconds * rate), generator=random)
    beat = (torch.arange(noise.shape[1]) / rate * 2.3 * math.pi).sin().clamp(min=0.0)
    return (0.1 * noise * beat).float()


def metered(sound, rate=48000):
    """What pyloudnorm says of the whole sound."""
    return pyloudnorm.Meter(rate).integrated_loudness(sound.double().t().numpy())


def test_full_scale_tone_of_997_hertz_is_minus_3_lufs():
    # ITU-R BS.1770-4 reads -3.01 LKFS here; meters may differ by 0.1 LU (EBU Tech 3341).
    assert loudness.integrated_loudness(tone(3, 997, level=1), 48000) == pytest.approx(-3.01, abs=0.1)


RATES = [(48000, 1), (48000, 2), (48000, 5), (44100, 2), (96000, 2), (32000, 1), (22050, 2), (11025, 1), (8000, 1)]


@pytest.mark.parametrize(("rate", "channels"), RATES)
def test_measured_piece_by_piece_is_what_pyloudnorm_measures_at_once(rate, channels, monkeypatch):
    monkeypatch.setattr(loudness, "PIECE_SECONDS", 1.7)
    sound = speech(6.3, rate, channels)
    sound[:, : 3 * rate] *= 0.02  # quiet enough for the relative gate
    assert loudness.integrated_loudness(sound, rate) == pytest.approx(metered(sound, rate), abs=0.01)


@pytest.mark.parametrize("seconds", [0.4, 0.45, 0.7, 1.0, 2.345])
@pytest.mark.parametrize("hertz", [25.0, 60.0, 997.0, 6000.0])
def test_short_and_low_and_high_tones_are_what_pyloudnorm_measures(seconds, hertz):
    sound = tone(seconds, hertz, level=0.5)
    assert loudness.integrated_loudness(sound, 48000) == pytest.approx(metered(sound), abs=0.01)


def test_filters_are_those_of_the_standard_within_a_twentieth_of_a_decibel():
    # ITU-R BS.1770-4, tables 1 and 2, at 48 kHz: pyloudnorm's filters, and so ours, read 0.04 dB less than these.
    shelf = ((1.53512485958697, -2.69169619940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
    low = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
    ear = loudness._ear(48000, 48000)[100:]
    angles = torch.arange(100, 100 + len(ear), dtype=torch.float64) * (-math.pi / (99 + len(ear)))
    delay = torch.polar(torch.ones_like(angles), angles)
    above, below = (
        torch.stack([sum(a * delay**power for power, a in enumerate(parts[side])) for parts in (shelf, low)]).prod(0)
        for side in (0, 1)
    )
    difference = 20 * (ear.abs() / (above / below).abs()).log10()
    assert float(difference.abs().max()) < 0.05


@pytest.mark.parametrize("rate", [1, 40, 1500, 3000])
def test_rates_below_the_filters_corners_still_give_a_number(rate):
    assert math.isfinite(loudness.integrated_loudness(speech(200.0, rate, 1), rate))


def test_surround_adds_up_what_pyloudnorm_measures_channel_by_channel():
    # Nothing here is quiet enough for a gate, so energies add up.
    loud = (0.2 + 0.1 * speech(3.0, channels=6)) * tone(3, 500, level=1)
    energies = [10 ** (metered(channel[None]) / 10) for channel in loud]
    whole = sum(weight * energy for weight, energy in zip(loudness.WEIGHTS[6], energies, strict=True))
    assert loudness.integrated_loudness(loud, 48000) == pytest.approx(10 * math.log10(whole), abs=0.01)


def test_surround_weighs_the_sides_and_leaves_out_the_bass_channel():
    front, silence = tone(2, 997, level=1), torch.zeros(1, 96000)
    bass_only = torch.cat([silence] * 3 + [front] + [silence] * 2)
    assert loudness.integrated_loudness(bass_only, 48000) == -math.inf
    side = torch.cat([silence] * 4 + [front] + [silence])
    assert loudness.integrated_loudness(side, 48000) == pytest.approx(-3.01 + 10 * math.log10(1.41), abs=0.1)
    eight = torch.cat([front] * 8)
    assert loudness.integrated_loudness(eight, 48000) == pytest.approx(-3.01 + 10 * math.log10(7.82), abs=0.1)


def test_sound_shorter_than_a_block_is_measured_as_if_repeated():
    assert loudness.integrated_loudness(tone(0.1, 1000, level=1), 48000) == pytest.approx(-3.0, abs=0.1)


def test_true_peak_lies_between_the_samples():
    # A quarter of the rate, sampled at 45 degrees: samples reach 0.707, the wave 1.
    wave = (torch.arange(48000) % 4 * math.pi / 2 + math.pi / 4).sin()[None]
    assert float(wave.abs().max()) == pytest.approx(0.7071, abs=1e-3)
    assert loudness.true_peak(wave[:, 100:], 48000) == pytest.approx(0.0, abs=0.4)
    faded = wave * torch.hann_window(48000)
    assert loudness.true_peak(faded, 48000) == pytest.approx(0.0, abs=0.02)


def test_true_peak_of_pieces_is_that_of_the_whole(monkeypatch):
    sound = speech(1.0)
    sound[:, 3000] = 2.0  # where the second piece begins
    whole = 20 * math.log10(float(resample(sound, 1, 4).abs().max()))
    monkeypatch.setattr(loudness, "PEAK_SECONDS", 0.0625)
    assert loudness.true_peak(sound, 48000) == pytest.approx(whole, abs=1e-4)


def test_limiter_touches_only_what_is_near_a_peak(monkeypatch):
    monkeypatch.setattr(loudness, "PEAK_SECONDS", 0.4995)  # a piece ends just before the peak
    sound = tone(1, level=0.5)
    sound[:, 24000:24100] *= 3.0
    limited = loudness.limit(sound, 48000, -3.0)
    assert loudness.true_peak(limited, 48000) <= -3.0 + 1e-3
    reach = 2 * 480 + 80
    assert torch.allclose(limited[:, : 24000 - reach], sound[:, : 24000 - reach], rtol=2e-3)
    assert torch.allclose(limited[:, 24100 + reach :], sound[:, 24100 + reach :], rtol=2e-3)
    steps = (limited / sound.where(sound.abs() > 0.05, torch.ones(()))).diff().abs()
    gain_known = (sound.abs() > 0.05)[:, 1:] & (sound.abs() > 0.05)[:, :-1]
    assert float(steps[gain_known].max()) < 0.02  # the gain moves without a jump


def test_limiter_gives_the_same_whatever_the_pieces_and_leaves_its_input_alone(monkeypatch):
    sound = speech(2.0, seed=3)
    given = sound.clone()
    whole = loudness.limit(sound, 48000, -14.0)
    assert torch.equal(sound, given)
    monkeypatch.setattr(loudness, "PEAK_SECONDS", 0.11)
    pieces = loudness.limit(sound, 48000, -14.0)
    assert torch.allclose(pieces, whole, atol=1e-5)
    assert not torch.allclose(whole, sound, atol=0.1)


def test_sound_below_the_ceiling_is_left_alone():
    sound = tone(0.5, 997, level=0.5)
    assert torch.equal(loudness.limit(sound, 48000, -1.0), sound)


@pytest.mark.parametrize("preset", sorted(loudness.PRESETS))
@pytest.mark.parametrize("channels", [1, 2])
def test_every_preset_is_met_within_a_tenth_and_under_its_peak(preset, channels):
    target = loudness.PRESETS[preset]
    done = loudness.normalise(speech(3.0, channels=channels), 48000, target.lufs, target.true_peak_db)
    assert metered(done.waveform) == pytest.approx(target.lufs, abs=0.1)
    assert done.lufs == pytest.approx(target.lufs, abs=0.1)
    peak = 20 * math.log10(float(resample(done.waveform, 48000, 192000).abs().max()))
    assert peak <= target.true_peak_db + 0.001


def test_target_is_met_where_the_limiter_has_to_work():
    sound = speech(3.0)
    done = loudness.normalise(sound, 48000, -10.0, -1.0)
    crest = loudness.true_peak(sound, 48000) - loudness.integrated_loudness(sound, 48000)
    assert crest > 9.0 + 2.0  # a plain gain would pass the peak
    assert metered(done.waveform) == pytest.approx(-10.0, abs=0.1)
    assert done.true_peak_db <= -1.0 + 1e-3


def test_impossible_target_is_told(caplog):
    done = loudness.normalise(speech(3.0), 48000, 0.0, -20.0)
    assert "no room" in caplog.text
    assert done.true_peak_db <= -20.0 + 1e-3


def test_silence_stays_silent_and_is_told(caplog):
    done = loudness.normalise(torch.zeros(2, 48000), 48000)
    assert not done.waveform.any()
    assert done.lufs == -math.inf
    assert done.true_peak_db == -math.inf
    assert "silent" in caplog.text


def test_invalid_and_clipping_samples_end_finite_and_under_the_peak():
    sound = speech(2.0) * 40
    sound[0, 1000] = float("nan")
    sound[1, 2000] = float("inf")
    done = loudness.normalise(sound, 48000, -14.0, -1.0)
    assert done.waveform.isfinite().all()
    assert done.true_peak_db <= -1.0 + 1e-3


def test_empty_sound_and_impossible_numbers_are_refused():
    with pytest.raises(MediaError, match="longer than 0 seconds"):
        loudness.normalise(torch.zeros(1, 0), 48000)
    with pytest.raises(ConfigError, match="from -70 to 0"):
        loudness.normalise(torch.ones(1, 48000), 48000, 3.0)
