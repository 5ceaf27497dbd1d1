"""Conditions of a sound: the caption, the clock of the frames, windows."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch.overrides import TorchFunctionMode

from moviegen_core.conditioning.sound import (
    NANO_APPEARANCE_RATE,
    FrameEncoders,
    SoundConditioning,
    encode_captions,
    frame_features,
    interpolate,
    motion_features,
    motion_span,
    nearest,
    sound_caption,
    watch,
)
from moviegen_core.errors import ConfigError, MediaError, ShapeError
from moviegen_core.models import catalog
from moviegen_core.models.vision import VisionConfig, build_network

RATES = (12, 16, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, 60)


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    match = catalog.build("sound_match", device="cpu").eval()
    vision = VisionConfig(dim=16, num_layers=1, num_heads=2, mlp_dim=16, image_size=16, patch_size=8)
    return FrameEncoders(vision=build_network(vision).eval(), motion=match)


def clip(frames, size=16):
    """A clip that goes from black to white, [3, T, size, size]."""
    return torch.linspace(-1, 1, frames)[None, :, None, None].expand(3, -1, size, size)


def test_caption_is_the_template_of_the_paper():
    assert sound_caption("rain on a roof", quality=8.0, music=0.9, music_description="slow strings") == (
        "This audio has quality: 8.0. This audio does not contain speech. This audio does not contain vocal singing. "
        'This audio contains music with a 0.90 likelihood. This audio has a description: "rain on a roof". '
        'This audio has a music description (if applicable): "slow strings".'
    )


def test_quality_follows_the_music_unless_it_is_given():
    assert "quality: 7.0" in sound_caption("rain")
    assert "quality: 8.0" in sound_caption("rain", music=0.9)


def test_quotation_in_a_description_does_not_end_it():
    assert sound_caption('a "ping"\nand more').endswith("description: \"a 'ping' and more\".")


@pytest.mark.parametrize("wrong", [{"quality": 0.0}, {"quality": 11.0}, {"music": 1.2}])
def test_numbers_outside_the_template_are_refused(wrong):
    with pytest.raises(ConfigError, match="use a number from"):
        sound_caption("rain", **wrong)


def test_empty_caption_says_nothing():
    class Encoder:
        def encode(self, prompts):
            return torch.ones(len(prompts), 3, 4), torch.ones(len(prompts), 3, dtype=torch.bool)

    mixed = encode_captions(Encoder(), ["rain", " "])
    assert mixed.text_mask.any(dim=1).tolist() == [True, False]
    assert encode_captions(Encoder(), ["", ""]).text is None


@pytest.mark.parametrize("fps", RATES)
def test_features_keep_the_true_clock_at_any_rate(encoders, fps):
    seen_times = []

    class Clock(torch.nn.Module):
        """A tower whose feature is the brightness of the picture, that is, its time."""

        class config:
            image_size, hidden_size = 16, 1

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixel_values):
            seen_times.append(len(pixel_values))
            return type("Out", (), {"pooler_output": pixel_values.mean(dim=(1, 2, 3))[:, None]})

    seconds = 4
    frames = round(seconds * fps)
    brightness = (torch.arange(frames) / float(fps) / seconds * 2 - 1)[None, :, None, None].expand(3, -1, 16, 16)
    windows = brightness.split(7, dim=1)
    features = frame_features(FrameEncoders(vision=Clock()), windows, 25 * seconds, fps=fps)[:, 0]
    shown_at = (features + 1) / 2 * seconds
    wanted = (torch.arange(25 * seconds) + 0.5) / 25
    # Half a frame of the film, and the last frame holds.
    assert (shown_at - wanted).abs()[:-3].max() <= 0.5 / float(fps) + 1e-5
    assert sum(seen_times) <= min(frames, 25 * seconds + len(windows))


def test_windows_do_not_change_the_features(encoders):
    whole = frame_features(encoders, clip(20), 30, fps=16)
    cut = frame_features(encoders, clip(20).split(3, dim=1), 30, fps=16)
    assert whole.shape == (30, encoders.dim)
    assert torch.allclose(whole, cut, atol=1e-5)


def test_bf16_encoders_see_what_fp32_ones_do(encoders):
    halves = FrameEncoders(
        vision=copy.deepcopy(encoders.vision).bfloat16(), motion=copy.deepcopy(encoders.motion).bfloat16()
    )
    pixels = clip(5, size=37)
    wanted = frame_features(encoders, pixels, 8, fps=16)
    torch.testing.assert_close(frame_features(halves, pixels, 8, fps=16), wanted, rtol=0, atol=0.1)


class Shrinking(TorchFunctionMode):
    """Where pictures are made small; what comes from the meta device is grey on the CPU."""

    def __init__(self):
        super().__init__()
        self.places = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.cpu and args[0].is_meta:
            return torch.zeros(args[0].shape)
        if function is torch.nn.functional.interpolate:
            self.places.append(args[0].device.type)
        return function(*args, **(kwargs or {}))


def test_pictures_are_made_small_on_the_cpu_where_their_device_cannot(encoders):
    with Shrinking() as shrinking:
        seen = frame_features(encoders, torch.empty(3, 5, 37, 48, device="meta"), 8, fps=16)
    assert shrinking.places == ["cpu", "cpu"]  # for the tower and for the motion
    assert torch.equal(seen, frame_features(encoders, torch.zeros(3, 5, 37, 48), 8, fps=16))


def test_time_stamps_of_a_constant_rate_are_that_rate(encoders):
    pixels = clip(12)
    stamped = frame_features(encoders, [(pixels, [n / 10 for n in range(12)])], 30)
    assert torch.allclose(stamped, frame_features(encoders, pixels, 30, fps=10), atol=1e-5)


@pytest.mark.parametrize("windows", [1, 3, 40])
def test_tower_is_shown_every_frame_that_is_read_at_any_rhythm(encoders, windows):
    times = torch.rand(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0) / 20
    pixels = clip(40)
    given = zip(pixels.tensor_split(windows, dim=1), times.tensor_split(windows), strict=True)
    watched = watch(encoders, [(part, seconds.tolist()) for part, seconds in given])
    middles = (torch.arange(30, dtype=torch.float64) + 0.5) / 25
    assert torch.equal(watched.sight_times[nearest(watched.sight_times, middles)], times[nearest(times, middles)])


def test_tower_of_a_lower_rate_is_shown_frames_that_far_apart(encoders):
    slow = replace(encoders, appearance_rate=NANO_APPEARANCE_RATE)
    frames = watch(slow, clip(32).split(5, dim=1), fps=16).sight_times * 16
    assert frames.tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


def test_values_between_uneven_times_follow_the_clock():
    times = torch.tensor([0.0, 0.1, 1.0], dtype=torch.float64)
    wanted = torch.tensor([-1.0, 0.04, 0.5, 2.0], dtype=torch.float64)
    values = interpolate(torch.tensor([[0.0], [1.0], [3.0]]), times, wanted)
    assert torch.allclose(values[:, 0], torch.tensor([0.0, 0.4, 1 + 0.8 / 0.9, 3.0]))
    assert nearest(times, wanted).tolist() == [0, 0, 1, 2]


def test_motion_stands_last_and_comes_back_by_moment(encoders):
    match = encoders.motion
    seen = torch.randn(1, 8, match.config.dim)
    with torch.no_grad():
        together = motion_features(match, seen)
        assert together.shape == (1, 4, 2 * match.config.feature_dim)
        beside = torch.cat([torch.randn(1, 4, 5), together], dim=-1)
        assert torch.equal(motion_span(beside, match.config.feature_dim), match.moments(seen))


def test_broadcast_rates_mean_their_exact_fractions(encoders):
    windows = clip(60)
    exact = frame_features(encoders, windows, 50, fps=Fraction(30_000, 1001))
    assert torch.equal(frame_features(encoders, windows, 50, fps=29.97), exact)


def test_one_frame_is_enough(encoders):
    features = frame_features(encoders, clip(1), 13, fps=24)
    assert torch.isfinite(features).all()
    assert torch.equal(features[0, :16], features[-1, :16])


@pytest.mark.parametrize(
    ("windows", "settings", "words"),
    [
        (clip(4), {}, "give fps"),
        (clip(4), {"fps": 0}, "above 0"),
        ([], {"fps": 24}, "at least one"),
        ([(clip(2), [0.1, 0.0])], {}, "backwards"),
        ([(clip(2), [0.1])], {}, "one each"),
        (torch.zeros(4, 4, 8, 8), {"fps": 24}, r"\[3, frames, height, width\]"),
    ],
)
def test_frames_without_a_clock_are_refused(encoders, windows, settings, words):
    with pytest.raises((ConfigError, MediaError, ShapeError), match=words):
        frame_features(encoders, windows, 4, **settings)


def test_window_cuts_frames_and_known_sound_but_not_text():
    whole = SoundConditioning(
        text=torch.zeros(1, 3, 4), frames=torch.arange(10.0).reshape(1, 10, 1), context=torch.zeros(1, 2, 10)
    )
    part = whole.window(4, 7)
    assert part.frames.flatten().tolist() == [4, 5, 6]
    assert (part.context.shape[2], part.text.shape[1], part.num_latents) == (3, 3, 3)


def test_one_condition_serves_many_samples_but_two_do_not_serve_three():
    one = SoundConditioning(text=torch.zeros(1, 3, 4))
    assert one.repeat(3).text.shape[0] == 3
    assert SoundConditioning.empty().repeat(5).batch == 5
    with pytest.raises(ShapeError, match="give 1 or 3"):
        one.repeat(2).repeat(3)


@pytest.mark.parametrize(
    "parts",
    [
        {"text_mask": torch.ones(1, 3, dtype=torch.bool)},
        {"text": torch.zeros(1, 3, 4), "text_mask": torch.ones(1, 3)},
        {"text": torch.zeros(1, 3, 4), "frames": torch.zeros(2, 3, 4)},
        {"frames": torch.zeros(1, 3, 4), "context": torch.zeros(1, 4, 5)},
        {"context": torch.zeros(4, 5)},
        {"text": torch.zeros(4)},
        {},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts):
    with pytest.raises(ShapeError):
        SoundConditioning(**parts)
