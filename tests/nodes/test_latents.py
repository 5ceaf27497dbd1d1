"""Lengths, tails and joins of any model's latents."""

from __future__ import annotations

import pytest
import torch

from moviegen_core.errors import ShapeError
from moviegen_core.ops.windows import fade_in
from moviegen_core.pipelines.known_sound import Known
from moviegen_core.shapes import sound_latent_frames

PIECES = "moviegen_known_sound"

KINDS = {
    "video": ({}, (1, 16, 9, 4, 6), 2),
    "stable audio": ({"type": "audio"}, (2, 64, 9), 2),
    "ace step": ({"type": "audio"}, (1, 8, 16, 9), 3),
    "ltx audio": ({"type": "audio", "sample_rate": 16000}, (1, 8, 9, 16), 2),
}


def latent(kind: str) -> dict:
    extra, shape, _ = KINDS[kind]
    return {**extra, "samples": torch.randn(shape, generator=torch.Generator().manual_seed(0))}


def test_planned_length_comes_with_its_duration_and_latent_frames(nodes):
    assert nodes["MovieGenPlanFrames"].execute(5.0, 16.0, "wan").args == (81, 16.0, 81 / 16, 21)
    assert nodes["MovieGenPlanFrames"].execute(5.0, 24.0, "minimax_h3").args == (124, 24.0, 124 / 24, 37)
    assert nodes["MovieGenPlanFrames"].execute(5.0, 16.0, "custom", "up", 10, 3).args == (83, 16.0, 83 / 16, 9)


@pytest.mark.parametrize("kind", KINDS)
def test_tail_and_rest_joined_are_the_latent_again(kind, nodes):
    given, axis = latent(kind), KINDS[kind][2]
    tail, rest = nodes["MovieGenTakeLatentTail"].execute(given, 4).args
    assert tail["samples"].shape[axis] == 4
    assert rest["samples"].shape[axis] == 5
    [joined] = nodes["MovieGenJoinLatents"].execute(rest, tail, 0).args
    assert torch.equal(joined["samples"], given["samples"])
    assert {key: joined.get(key) for key in KINDS[kind][0]} == KINDS[kind][0]


@pytest.mark.parametrize("kind", KINDS)
def test_overlapping_latents_are_blended_along_time(kind, nodes):
    given, axis = latent(kind), KINDS[kind][2]
    first, second = ({**given, "samples": given["samples"].narrow(axis, start, 6)} for start in (0, 3))
    [joined] = nodes["MovieGenJoinLatents"].execute(first, second, 3, "cosine").args
    torch.testing.assert_close(joined["samples"], given["samples"])


def test_curve_of_the_blend_is_the_one_that_is_asked_for(nodes):
    dark, bright = ({"samples": torch.full((1, 16, 6, 2, 2), level)} for level in (0.0, 1.0))
    for curve in ("linear", "cosine"):
        [joined] = nodes["MovieGenJoinLatents"].execute(dark, bright, 3, curve).args
        torch.testing.assert_close(joined["samples"][0, 0, 3:6, 0, 0], fade_in(3, curve))


def test_tail_longer_than_the_latent_is_the_whole_latent(nodes):
    given = latent("video")
    tail, rest = nodes["MovieGenTakeLatentTail"].execute(given, 99).args
    assert torch.equal(tail["samples"], given["samples"])
    assert rest["samples"].shape[2] == 1


def test_length_in_frames_follows_the_cuts(nodes):
    given = {"samples": torch.zeros(1, 16, 4, 2, 2), "num_frames": 27}
    tail, rest = nodes["MovieGenTakeLatentTail"].execute(given, 1).args
    assert (tail["num_frames"], rest["num_frames"]) == (3, 24)
    [joined] = nodes["MovieGenJoinLatents"].execute(rest, given, 2).args
    assert (joined["samples"].shape[2], joined["num_frames"]) == (5, 35)


def test_length_in_frames_that_no_longer_fits_is_forgotten(nodes):
    given = {"samples": torch.zeros(1, 16, 4, 2, 2), "num_frames": 128}  # as a stock node leaves it that cuts latents
    for one in nodes["MovieGenTakeLatentTail"].execute(given, 1).args:
        assert "num_frames" not in one
    [joined] = nodes["MovieGenJoinLatents"].execute(given, given, 0).args
    assert "num_frames" not in joined


def known_at(start_seconds, seconds, level):
    """LATENT of a sound of `seconds` and a bit, of which the second from `start_seconds` on is known."""
    samples = round(seconds * 48000) + 500
    piece = Known(torch.full((1, 48000), level), round(start_seconds * 48000))
    zeros = torch.zeros(1, 128, sound_latent_frames(samples))
    return {"samples": zeros, "type": "audio", "num_samples": samples, PIECES: [piece]}


def test_known_sound_is_cut_along(nodes):
    tail, rest = nodes["MovieGenTakeLatentTail"].execute(known_at(2.5, 6.0, 0.5), 75).args
    assert (tail["num_samples"], rest["num_samples"]) == (75 * 1920 - 1420, 76 * 1920)
    [piece] = tail[PIECES]
    assert piece.start == 120000 - 76 * 1920
    assert rest[PIECES][0].start == 120000
    tail, rest = nodes["MovieGenTakeLatentTail"].execute(known_at(0.0, 6.0, 0.5), 25).args
    assert PIECES not in tail
    assert len(rest[PIECES]) == 1


def test_known_sound_is_joined_along(nodes):
    first, second = known_at(0.0, 3.0, 0.25), known_at(1.0, 2.0, 0.75)
    [joined] = nodes["MovieGenJoinLatents"].execute(first, second, 10).args
    begin = (first["samples"].shape[2] - 10) * 1920
    assert joined["num_samples"] == begin + 96500
    assert [piece.start for piece in joined[PIECES]] == [0, begin + 48000]
    tail, _ = nodes["MovieGenTakeLatentTail"].execute(joined, second["samples"].shape[2]).args
    assert tail["num_samples"] == second["num_samples"]
    assert [piece.start for piece in tail[PIECES]][-1] == 48000


def test_masks_are_cut_and_joined_along(nodes):
    given = latent("video")
    mask = torch.rand(1, 1, 9, 4, 6, generator=torch.Generator().manual_seed(1))
    tail, rest = nodes["MovieGenTakeLatentTail"].execute({**given, "noise_mask": mask}, 4).args
    [joined] = nodes["MovieGenJoinLatents"].execute(rest, tail, 0).args
    assert torch.equal(joined["noise_mask"], mask)
    del rest["noise_mask"]
    [joined] = nodes["MovieGenJoinLatents"].execute(rest, tail, 0).args
    assert torch.equal(joined["noise_mask"][:, :, :5], torch.ones(1, 1, 5, 4, 6))


def test_one_mask_for_all_frames_counts_for_each_of_them(nodes):
    known = {**latent("video"), "noise_mask": torch.zeros(1, 1, 64, 64)}
    [joined] = nodes["MovieGenJoinLatents"].execute(known, latent("video"), 0).args
    assert joined["noise_mask"].shape == (1, 1, 18, 4, 6)
    assert joined["noise_mask"].mean((0, 1, 3, 4)).tolist() == [0.0] * 9 + [1.0] * 9


def test_mask_of_another_batch_is_refused(nodes):
    wrong = {"samples": torch.zeros(3, 8, 9), "type": "audio", "noise_mask": torch.zeros(2, 1, 9)}
    with pytest.raises(ShapeError, match="set the mask after this node"):
        nodes["MovieGenTakeLatentTail"].execute(wrong, 1)


def test_pictures_and_mixed_kinds_are_refused(nodes):
    with pytest.raises(ShapeError, match="connect a video or audio latent"):
        nodes["MovieGenTakeLatentTail"].execute({"samples": torch.zeros(1, 4, 8, 8)}, 1)
    with pytest.raises(ShapeError, match="join those of one kind"):
        nodes["MovieGenJoinLatents"].execute(latent("ace step"), latent("video"), 0)
    with pytest.raises(ShapeError, match="same width, height"):
        nodes["MovieGenJoinLatents"].execute(latent("video"), {"samples": torch.zeros(1, 16, 3, 4, 8)}, 0)
