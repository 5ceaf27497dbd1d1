"""Seams, silence and lengths of finished waveforms."""

from fractions import Fraction

import pytest
import torch

from moviegen_core.evaluate.seams import FRAME_RATES, exact_samples, length_table, loudest_dbfs, seam_report
from moviegen_core.media.timeline import clip_samples, frames_seconds

RATE = 48_000


def test_loudest_stretch_is_found():
    quiet = torch.zeros(2, RATE)
    assert loudest_dbfs(quiet) == -120.0
    quiet[:, 4800:9600] = 0.1
    assert loudest_dbfs(quiet) == pytest.approx(-20.0, abs=0.01)
    assert loudest_dbfs(torch.zeros(1, 0)) == -120.0


def test_even_noise_has_no_seam_and_a_jump_or_click_at_the_joins_shows():
    torch.manual_seed(1)
    noise = 0.1 * torch.randn(1, 20 * RATE)
    joins = [5.0, 10.0, 15.0]
    even = seam_report(noise, joins)
    assert even["joins"] == 3
    assert abs(even["excess"]) < 3
    assert abs(even["click"]) < 3
    louder = noise.clone()
    louder[:, 5 * RATE : 10 * RATE] *= 2
    louder[:, 15 * RATE :] *= 2
    assert seam_report(louder, joins)["excess"] > 10
    clicked = noise.clone()
    clicked[:, [5 * RATE, 10 * RATE, 15 * RATE]] += 2.0
    assert seam_report(clicked, joins)["click"] > 10


def test_sound_without_joins_has_none():
    assert seam_report(torch.zeros(1, RATE), []) == {"joins": 0}


def test_exact_lengths_of_odd_frame_rates():
    assert exact_samples(24, Fraction(24)) == RATE
    assert exact_samples(24, Fraction(24000, 1001)) == 48_048
    assert exact_samples(30, Fraction(30000, 1001)) == 48_048


def test_length_table_shows_samples_too_few():
    table = length_table(lambda frames, fps: exact_samples(frames, fps) - (fps == 25), (0.5, 180.0))
    assert len(table) == len(FRAME_RATES)
    assert table["25 fps"] == {"0.5 s": -1, "180 s": -1}
    assert table["23.976 fps"] == {"0.5 s": 0, "180 s": 0}


def test_length_of_a_films_sound_is_exact_at_every_rate_from_half_a_second_to_three_minutes():
    def samples(frames, fps):
        return clip_samples(frames_seconds(frames, fps), 48_000)

    table = length_table(samples, (0.5, 1.0, 4.0, 16.0, 58.0, 180.0))
    assert all(error == 0 for row in table.values() for error in row.values()), table
