"""Sound as a picture: tones where they belong, levels in decibels, any length."""

import math

import pytest
import torch
from films import tone

from moviegen_core.errors import MediaError
from moviegen_core.media.spectrogram import HIGHEST_HERTZ, LOWEST_HERTZ, levels, sound_picture


@pytest.mark.parametrize("hertz", [200, 1000, 8000])
def test_tone_is_brightest_in_its_own_row_at_its_own_level(hertz):
    level = levels(tone(1, hertz, level=0.1), 48_000, 20, 200)
    assert level.shape == (200, 20)
    row = 199 - int(level[:, 10].flip(0).argmax())
    share = 1 - (row + 0.5) / 200
    found = LOWEST_HERTZ * (HIGHEST_HERTZ / LOWEST_HERTZ) ** share
    assert found == pytest.approx(hertz, rel=0.12)
    assert float(level.max()) == pytest.approx(-20, abs=3)


def test_columns_follow_the_clock_and_a_cut_end_is_no_event():
    sound = torch.cat([torch.zeros(1, 48_000), tone(1, 1000, level=1)], dim=1)
    level = levels(sound, 48_000, 100, 50)
    assert float(level[:, :45].max()) < -100
    assert float(level[:, 55:].amax(0).min()) > -12
    # Far from the tone the last column is as dark as those before it.
    assert float(level[:10, -1].max()) <= float(level[:10, 60:95].max()) + 3


@pytest.mark.parametrize(("samples", "rate", "channels"), [(1, 48_000, 1), (500, 8000, 8), (48_000 * 40, 48_000, 2)])
def test_any_sound_is_drawn_at_the_asked_size(samples, rate, channels):
    sound = torch.zeros(channels, samples)
    sound[:, 0] = math.nan
    assert sound_picture(sound, rate, 320, 120).size == (320, 120)


def test_empty_sound_is_refused():
    with pytest.raises(MediaError, match="is empty"):
        levels(torch.zeros(1, 0), 48_000, 10, 10)
