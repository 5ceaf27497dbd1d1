"""Onsets: clicks are found where they are, steady sounds hold none, pairs are one to one."""

import math

import pytest
import torch

from moviegen_core import toybox
from moviegen_core.errors import ShapeError
from moviegen_core.evaluate.onsets import Agreement, agreement, by_chance, onsets, true_hits

RATE = 48_000


def knocks(moments, hertz=300.0, level=0.3, seconds=3.0):
    time = torch.arange(round(seconds * RATE)) / RATE
    sound = torch.zeros_like(time)
    for moment in moments:
        since = (time - moment).clamp(min=0)
        sound += (time >= moment) * torch.exp(-since / 0.05) * torch.sin(math.tau * hertz * since)
    return level * sound[None]


def test_knocks_are_found_within_five_milliseconds():
    moments = [0.31, 0.75, 1.402, 2.6]
    found = onsets(knocks(moments))
    assert found == pytest.approx(moments, abs=0.005)


def test_loudness_does_not_move_an_onset():
    assert onsets(knocks([1.0], level=0.03)) == pytest.approx([1.0], abs=0.006)
    assert onsets(knocks([1.0], level=0.8)) == pytest.approx([1.0], abs=0.006)


def test_silence_a_steady_tone_and_too_short_a_clip_have_no_onsets():
    time = torch.arange(2 * RATE) / RATE
    tone = 0.3 * torch.sin(math.tau * 220 * time)[None]
    assert onsets(torch.zeros(2, 2 * RATE)) == []
    assert [moment for moment in onsets(tone) if 0.1 < moment < 1.9] == []
    assert onsets(torch.zeros(1, 100)) == []


def test_knocks_are_found_in_soft_noise():
    torch.manual_seed(0)
    noisy = knocks([0.5, 1.5]) + 0.005 * torch.randn(1, 3 * RATE)
    assert agreement([0.5, 1.5], onsets(noisy)).recall == 1.0


def test_waveform_without_channels_is_refused():
    with pytest.raises(ShapeError, match="channels, samples"):
        onsets(torch.zeros(RATE))


def test_pairs_are_one_to_one_and_nearest_first():
    found = agreement([1.0, 1.06], [1.05], reach=0.1)
    assert (found.hits, found.onsets) == (2, 1)
    assert found.errors == pytest.approx((-0.01,))
    assert agreement([1.0], [1.2]).recall == 0.0
    both = found + Agreement(2, (0.03, 0.02), 3)
    assert both.recall == 0.75
    assert both.median_error == pytest.approx(0.02)


def test_by_chance_turns_what_is_heard_round_in_the_clip():
    assert by_chance([0.5], [0.5], 4.0) == Agreement(7, (), 7)
    assert by_chance([0.5, 1.0], [0.5, 1.0], 4.0) == Agreement(14, (0.0, 0.0), 14)  # by half a second, either way
    assert by_chance([0.5], [], 4.0) == Agreement(7, (), 0)
    assert by_chance([], [0.5], 4.0) == Agreement(0, (), 7)


def test_real_toybox_hits_are_heard_on_time():
    total = Agreement(0, (), 0)
    for seed, motion in enumerate(("bounce", "hop", "collide", "slide", "walk")):
        scene = toybox.sample_scene(seed + 60, motion=motion, place="room")
        heard = onsets(torch.from_numpy(toybox.sound(scene, music=False)))
        total = total + agreement(true_hits(scene, 4.0), heard)
    assert total.recall > 0.85
    assert total.median_error < 0.01


def test_hits_at_the_edges_of_a_clip_do_not_count():
    scene = toybox.sample_scene(4, motion="slide", camera="static")
    assert scene.events[0].time_seconds == 0.0
    assert min(true_hits(scene, 4.0)) > 0.05
