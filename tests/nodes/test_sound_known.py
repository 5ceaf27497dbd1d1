"""Sound that exists: Extend, Fill and what a latent knows already."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.pipelines.known_sound import FADE_SAMPLES, Known

STEPS = 3


@pytest.mark.parametrize(("direction", "start"), [("forwards", 0), ("backwards", 48000)])
def test_extended_sound_keeps_what_existed(direction, start, parts):
    audio = parts.noise(1.5, channels=2)
    positive, negative, _ = parts.asked(text="rain")
    latent = parts.run("ExtendSound", audio, parts.vae, None, 1.0, direction, 0.5)[0]
    whole = parts.decoded(parts.sampled(positive, latent, negative=negative), "stereo")
    assert whole.shape == (1, 2, 120000)
    own = whole[:, :, start : start + 72000]
    edge = FADE_SAMPLES + 1920
    inner = slice(0, -edge) if direction == "forwards" else slice(edge, None)
    assert torch.equal(own[:, :, inner], audio["waveform"][:, :, inner])
    made = whole[:, :, 72000 + edge :] if direction == "forwards" else whole[:, :, : 48000 - edge]
    assert made.std() > 1e-4


def test_filled_gap_is_new_and_the_rest_is_not(parts):
    audio = parts.noise(2.0)
    positive, _, _ = parts.asked(text="rain")
    latent = parts.run("FillSound", audio, parts.vae, None, 0.8, 1.2)[0]
    assert latent["noise_mask"].shape == (1, 1, 50)
    assert latent["noise_mask"][0, 0].nonzero().flatten().tolist() == list(range(20, 30))
    whole, given = parts.decoded(parts.sampled(positive, latent)), audio["waveform"]
    edge = FADE_SAMPLES + 1920
    assert torch.equal(whole[..., : 38400 - edge], given[..., : 38400 - edge])
    assert torch.equal(whole[..., 57600 + edge :], given[..., 57600 + edge :])
    assert (whole - given)[..., 38400:57600].std() > 0.01


def free_in(latent):
    """Sound frames that are to be made."""
    return latent["noise_mask"][0, 0].nonzero().flatten().tolist()


def test_gap_in_sound_that_is_known_already_is_made_anew(parts):
    audio, positive = parts.noise(2.0), parts.asked(text="rain")[0]
    first = parts.run("FillSound", audio, parts.vae, None, 0.4, 0.8)[0]
    second = parts.run("FillSound", audio, parts.vae, first, 1.2, 1.6)[0]
    assert free_in(second) == list(range(30, 40))
    whole, given = parts.decoded(parts.sampled(positive, second)), audio["waveform"]
    assert (whole - given)[..., 57600:76800].std() > 0.01
    edge = FADE_SAMPLES + 1920
    assert torch.equal(whole[..., edge : 57600 - edge], given[..., edge : 57600 - edge])
    begun = parts.asked(text="rain", seconds=2.0, context_audio=parts.noise(1.0, seed=1), vae=parts.vae)[2]
    assert free_in(parts.run("FillSound", audio, parts.vae, begun, 0.4, 0.8)[0]) == list(range(10, 20))
    short = parts.run("FillSound", parts.noise(1.0), parts.vae, begun, 0.4, 0.8)[0]
    assert free_in(short) == [*range(10, 20), *range(25, 50)]


@pytest.mark.parametrize(
    ("begin", "end", "left"),
    [(0, 3, [(3, 10)]), (4, 6, [(2, 4), (6, 10)]), (8, 99, [(2, 8)]), (0, 99, []), (5, 5, [(2, 10)])],
)
def test_known_pieces_lose_what_lies_in_the_gap(part, begin, end, left):
    piece = Known(torch.arange(2.0, 10.0)[None], 2)
    rest = part("sound_latent").without(piece, begin, end)
    assert [(one.start, one.stop) for one in rest] == left
    assert all(one.waveform[0].tolist() == list(range(one.start, one.stop)) for one in rest)


def test_known_sound_goes_to_the_device_of_the_latent(parts):
    latent = {"samples": torch.zeros(1, 128, 50, device="meta"), "noise_mask": torch.ones(1, 1, 50)}
    filled = parts.run("FillSound", parts.noise(2.0), parts.vae, latent, 0.4, 0.8)[0]
    assert filled["samples"].device.type == filled["noise_mask"].device.type == "meta"


def test_context_audio_begins_the_sound_of_a_video(parts):
    audio = parts.noise(1.0, rate=8000, channels=8)
    latent = parts.asked(images=parts.pictures(32), fps=16.0, context_audio=audio, vae=parts.vae)[2]
    assert latent["noise_mask"][0, 0].tolist() == [0.0] * 25 + [1.0] * 25


def test_only_the_surroundings_of_a_gap_are_looked_at(parts):
    positive, _, _ = parts.asked(text="rain")
    latent = parts.run("FillSound", parts.noise(60.0), parts.vae, None, 30.0, 31.0, 1.0)[0]
    model = parts.run("LongSound", parts.model, "extend", 3.0, 1.0)[0]
    assert parts.steps_of(lambda: parts.sampled(positive, latent, model)) == STEPS
    whole = {**latent, "context_seconds": 60.0}
    # Of thirty windows two hold a part of the gap; those of known sound alone are not made.
    assert parts.steps_of(lambda: parts.sampled(positive, whole, model)) == 2 * STEPS
