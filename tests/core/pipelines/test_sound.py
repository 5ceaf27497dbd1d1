"""Sampling sounds: seeds, candidates, known sound, long forms."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from moviegen_core.conditioning.sound import SoundConditioning
from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.models.audio_dit.model import AudioDiT, AudioDiTConfig
from moviegen_core.ops.windows import windows
from moviegen_core.pipelines.sound import (
    crossed,
    grow,
    joins,
    long_sound,
    make_noise,
    sample_sound,
    sound_windows,
    standing,
    triangle,
)

CONFIG = AudioDiTConfig(dim=16, num_heads=2, num_layers=1, mlp_dim=24, latent_channels=4, text_dim=5, frame_dim=3)
FAST = {"steps": 3}


class Recorder:
    """An AudioDiT that remembers how long the sounds were that it was asked about."""

    def __init__(self, model):
        self.lengths = []
        self.handle = model.register_forward_pre_hook(lambda _, inputs: self.lengths.append(inputs[0].shape[2]))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = AudioDiT(CONFIG).eval()
    model.reset_parameters()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


def conditioning(length=20, **more):
    torch.manual_seed(1)
    return SoundConditioning(text=torch.randn(1, 2, 5), frames=torch.randn(1, length, 3), **more)


def loudest(latent, conditioning):
    """A scorer that likes the largest latents."""
    return latent.abs().mean(dim=(1, 2))


def test_seed_fixes_the_sound_and_a_shorter_one_starts_from_the_same_noise(model):
    first, again, other = (sample_sound(model, conditioning(), 20, seed=seed, **FAST) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(make_noise(2, 128, 20, 3)[:, :, :7], make_noise(2, 128, 7, 3))


def test_candidate_after_the_highest_seed_has_seed_zero(model):
    best = sample_sound(model, conditioning(), 20, seed=2**64 - 1, candidates=2, scorer=loudest, **FAST)
    alone = [sample_sound(model, conditioning(), 20, seed=seed, **FAST) for seed in (2**64 - 1, 0)]
    assert torch.equal(best, max(alone, key=lambda latent: float(loudest(latent, None))))


def test_temperature_scales_the_noise(model):
    draw = lambda seed, temperature: sample_sound(
        model, conditioning(), 20, seed=seed, temperature=temperature, guidance_scale=1.0, steps=1, solver="euler"
    )
    assert torch.equal(draw(1, 0.0), draw(2, 0.0))
    begun = 0.5 * make_noise(1, model.config.latent_channels, 20, 1)
    with torch.no_grad():
        wanted = begun + model(begun, torch.zeros(1), conditioning())
    assert torch.allclose(draw(1, 0.5), wanted, atol=1e-4)


def test_guidance_of_one_is_the_condition_alone(model):
    recorder = Recorder(model)
    sample_sound(model, conditioning(), 20, guidance_scale=1.0, **FAST)
    assert len(recorder.lengths) == 2 * 3  # midpoint asks twice a step
    sample_sound(model, conditioning(), 20, **FAST)
    assert len(recorder.lengths) == 6 + 12


def test_guidance_leads_away_from_what_is_negative(model):
    plain = sample_sound(model, conditioning(), 20, guidance_scale=1.0, **FAST)
    same = sample_sound(model, conditioning(), 20, negative=conditioning(), guidance_scale=3.0, **FAST)
    assert torch.allclose(plain, same, atol=1e-5)
    assert not torch.allclose(plain, sample_sound(model, conditioning(), 20, **FAST), atol=1e-3)


def test_pictures_and_words_are_guided_apart(model):
    as_one = sample_sound(model, conditioning(), 20, guidance_scale=2.0, **FAST)
    equal = sample_sound(model, conditioning(), 20, guidance_scale=2.0, picture_guidance=2.0, **FAST)
    assert torch.allclose(as_one, equal, atol=1e-4)
    blind = replace(conditioning(), frames=None, frames_mask=None)
    words = sample_sound(model, blind, 20, guidance_scale=2.0, **FAST)
    assert torch.equal(words, sample_sound(model, blind, 20, guidance_scale=2.0, picture_guidance=5.0, **FAST))
    steps = {"seed": 3, "steps": 1, "solver": "euler", "temperature": 0.5}
    begun = 0.5 * make_noise(1, model.config.latent_channels, 20, 3)
    with torch.no_grad():
        whole, part, null = (
            model(begun, torch.zeros(1), asked) for asked in (conditioning(), blind, SoundConditioning.empty())
        )
    wanted = begun + null + 2.0 * (part - null) + 5.0 * (whole - part)
    made = sample_sound(model, conditioning(), 20, guidance_scale=2.0, picture_guidance=5.0, **steps)
    assert torch.allclose(made, wanted, atol=1e-4)
    assert not torch.allclose(made, sample_sound(model, conditioning(), 20, guidance_scale=2.0, **steps), atol=1e-2)


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_long_sounds_guide_pictures_apart_in_every_window(model, method):
    asked = {"method": method, "window_seconds": 0.8, "context_seconds": 0.2, "guidance_scale": 2.0, **FAST}
    as_one = long_sound(model, conditioning(40), 40, **asked)
    equal = long_sound(model, conditioning(40), 40, picture_guidance=2.0, **asked)
    assert torch.allclose(as_one, equal, atol=1e-4)
    assert not torch.allclose(as_one, long_sound(model, conditioning(40), 40, picture_guidance=6.0, **asked), atol=1e-2)


def test_negative_guidance_by_pictures_is_refused(model):
    with pytest.raises(ConfigError, match="picture_guidance -1"):
        sample_sound(model, conditioning(), 20, picture_guidance=-1.0, **FAST)


def test_best_candidate_of_each_sample_is_kept(model):
    alone = [sample_sound(model, conditioning(), 20, batch=2, seed=7 + k, **FAST) for k in range(3)]
    best = sample_sound(model, conditioning(), 20, batch=2, seed=7, candidates=3, scorer=loudest, **FAST)
    for row in range(2):
        scores = [float(loudest(latent[row : row + 1], None)) for latent in alone]
        assert torch.equal(best[row], alone[scores.index(max(scores))][row])


def test_candidates_without_a_scorer_are_refused(model):
    with pytest.raises(ConfigError, match="need a scorer"):
        sample_sound(model, conditioning(), 20, candidates=2, **FAST)


def test_steps_of_all_candidates_are_counted_and_raising_cancels(model):
    seen = []
    sample_sound(
        model, conditioning(), 20, candidates=2, scorer=loudest, on_step=lambda *row: seen.append(row[:2]), **FAST
    )
    assert seen == [(step + 1, 6) for step in range(6)]

    def stop(step, steps, estimate):
        assert estimate.shape == (1, 4, 20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_sound(model, conditioning(), 20, on_step=stop, **FAST)


@pytest.mark.parametrize("known", [slice(0, 5), slice(15, 20), slice(8, 12)])
def test_known_sound_stays_and_changes_what_surrounds_it(model, known):
    mask = torch.zeros(1, 20, dtype=torch.bool)
    mask[:, known] = True
    context = 3 * torch.randn(1, 4, 20)
    held = sample_sound(model, conditioning(context=context, context_mask=mask), 20, **FAST)
    assert torch.equal(held[:, :, known], context[:, :, known])
    free = sample_sound(model, conditioning(), 20, **FAST)
    assert (held - free)[:, :, ~mask[0]].abs().max() > 1e-3


@pytest.mark.parametrize(
    ("num_latents", "window", "context"),
    [*((length, 500, 125) for length in (1, 124, 125, 126, 499, 500, 501, 876, 4500)), (22401, 200, 50), (221, 25, 10)],
)
def test_windows_of_a_long_sound_are_alike_so_that_none_is_nearly_all_context(num_latents, window, context):
    slices = sound_windows(num_latents, window / 25, context / 25)
    lengths = [own.stop - own.start for own in slices]
    assert len(slices) == len(windows(num_latents, window, context))
    assert max(lengths) <= window
    assert max(lengths) - min(lengths) <= 1
    assert (slices[0].start, slices[-1].stop) == (0, num_latents)
    assert all(before.stop - after.start == context for before, after in pairwise(slices))


def test_joins_are_where_a_window_ends_that_another_follows():
    assert joins(25 * 20, 8, 2) == [8.0, 14.0]
    assert joins(25 * 65, 20, 5) == [20.0, 35.0, 50.0]
    assert joins(25 * 8, 8, 2) == []


def test_sound_of_another_length_than_the_video_is_refused(model):
    with pytest.raises(ShapeError, match="the video or the known sound has 20"):
        sample_sound(model, conditioning(), 21, **FAST)
    with pytest.raises(ShapeError, match="at least 1"):
        sample_sound(model, SoundConditioning.empty(), 0, **FAST)


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
def test_sound_that_fits_one_window_is_sampled_at_once(model, method):
    whole = sample_sound(model, conditioning(), 20, seed=5, **FAST)
    long = long_sound(model, conditioning(), 20, method=method, window_seconds=1, context_seconds=0.2, seed=5, **FAST)
    assert torch.allclose(long, whole, atol=1e-5)


def test_multidiffusion_weighs_what_each_window_makes_of_its_own_pictures(model):
    asked = {"window_seconds": 1, "context_seconds": 0.4, "guidance_scale": 1.0, "steps": 1, "solver": "euler"}
    made = long_sound(model, conditioning(40), 40, method="multidiffusion", seed=3, **asked)
    begun, total, weight = make_noise(1, 4, 40, 3), torch.zeros(1, 4, 40), torch.zeros(40)
    for start, stop in ((0, 25), (15, 40)):
        with torch.no_grad():
            part = model(begun[:, :, start:stop], torch.zeros(1), conditioning(40).window(start, stop))
        total[:, :, start:stop] += triangle(25) * part
        weight[start:stop] += triangle(25)
    assert torch.allclose(made, begun + total / weight, atol=1e-4)


@pytest.mark.parametrize("method", ["extend", "multidiffusion"])
@pytest.mark.parametrize("length", [101, 250])
def test_network_never_sees_more_than_a_window(model, method, length):
    recorder = Recorder(model)
    latent = long_sound(
        model, conditioning(length), length, method=method, window_seconds=1, context_seconds=0.4, **FAST
    )
    assert latent.shape == (1, 4, length)
    assert 20 < max(recorder.lengths) <= 25


def test_window_continues_what_came_before(model):
    settings = {"window_seconds": 1, "context_seconds": 0.4, "seed": 2, **FAST}
    whole = long_sound(model, conditioning(40), 40, **settings)
    first = sample_sound(model, conditioning(40).window(0, 25), 25, seed=2, **FAST)
    assert torch.allclose(first[:, :, :20], whole[:, :, :20], atol=1e-5)
    mask = torch.arange(25)[None] < 5
    context = torch.zeros(1, 4, 25)
    context[:, :, :5] = first[:, :, 15:20]
    part = conditioning(40).window(15, 40).with_context(context, mask)
    again = sample_sound(model, part, 25, seed=3, **FAST)
    assert torch.allclose(again[:, :, 10:], whole[:, :, 25:], atol=1e-5)
    assert torch.allclose(crossed(first[:, :, 15:], again), whole[:, :, 15:], atol=1e-5)


def test_window_crosses_over_from_what_existed_and_leaves_alone_what_both_agree_on():
    begun, latent = torch.zeros(1, 2, 30), torch.ones(1, 2, 80)
    share = crossed(begun, latent)[0, 0]
    assert standing(30) == 20
    assert torch.equal(share[:20], torch.zeros(20))
    assert torch.equal(share[30:], torch.ones(50))
    assert bool((share[20:30].diff() > 0).all())
    assert torch.allclose(share[20:30] + share[20:30].flip(0), torch.ones(10))
    same = torch.randn(1, 2, 80)
    assert torch.equal(crossed(same[:, :, :30], same), same)
    assert torch.equal(crossed(same[:, :, :0], same), same)
    assert torch.equal(crossed(same[:, :, :1], same), same)


def test_known_end_of_a_long_sound_is_kept(model):
    mask = torch.arange(60)[None] >= 50
    context = torch.randn(1, 4, 60)
    for method in ("extend", "multidiffusion"):
        latent = long_sound(
            model, conditioning(60, context=context, context_mask=mask), 60, method=method, window_seconds=1,
            context_seconds=0.4, **FAST,
        )  # fmt: skip
        assert torch.equal(latent[:, :, 50:], context[:, :, 50:])


def test_windows_of_known_sound_alone_are_not_made(model):
    heard, steps = Recorder(model), []
    mask = torch.ones(1, 70, dtype=torch.bool)
    mask[:, 60:] = False
    context = torch.randn(1, 4, 70)
    given = conditioning(70, context=context, context_mask=mask)
    settings = {"window_seconds": 1, "context_seconds": 0.4, "candidates": 2, "scorer": loudest, **FAST}
    latent = long_sound(model, given, 70, on_step=lambda step, total, _: steps.append((step, total)), **settings)
    assert torch.equal(latent[:, :, :60], context[:, :, :60])
    assert steps[-1] == (2 * FAST["steps"], 2 * FAST["steps"])
    assert set(heard.lengths) == {25}


def test_beams_find_a_better_sound_than_the_first_one(model):
    settings = {"window_seconds": 1, "context_seconds": 0.4, "seed": 2, **FAST}
    seen = []
    found = long_sound(
        model, conditioning(55), 55, beams=2, scorer=loudest, on_step=lambda *row: seen.append(row[:2]), **settings
    )
    assert seen[-1][0] == seen[-1][1] == len(seen)
    plain = long_sound(model, conditioning(55), 55, **settings)

    def total(latent):
        return sum(float(loudest(latent[:, :, start : start + 25], None)) for start in (0, 15, 30))

    assert total(found) > total(plain) + 1e-2


def test_beams_are_judged_by_the_sum_of_all_their_windows():
    scores = {0: 5.0, 1: 4.0, 2: 0.0, 3: 1.0, 4: 1.5, 5: 0.5}

    def window(own, begun):
        return lambda seed: (torch.full((1, 1, own.stop - own.start), float(seed)), scores[seed])

    found = grow(window, [slice(0, 2), slice(2, 4)], torch.zeros(1, 1, 0), 2, 2, 0)
    assert found[0, 0].tolist() == [0, 0, 3, 3]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "loop"}, "extend, multidiffusion"),
        ({"window_seconds": 1, "context_seconds": 1}, "shorter than the window"),
        ({"method": "multidiffusion", "beams": 2}, "choose extend"),
        ({"beams": 2}, "need a scorer"),
    ],
)
def test_impossible_long_forms_are_refused(model, settings, words):
    with pytest.raises(ConfigError, match=words):
        long_sound(model, conditioning(), 20, **settings)


def test_triangle_is_even_and_nowhere_zero():
    weights = triangle(10)
    assert torch.allclose(weights, weights.flip(0))
    assert weights.min() > 0
    assert weights.argmax() in (4, 5)
