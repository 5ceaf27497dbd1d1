from fractions import Fraction

import pytest
import torch

from moviegen_core.errors import ConfigError, MediaError
from moviegen_core.media.join import Clip, crossfaded, fitted, join_clips, joined_sound, retimed, steadied


def clip(num_frames=12, height=8, width=12, fps=Fraction(8), level=0.0, sound=None, rate=8000) -> Clip:
    """A clip of one brightness whose frame n is `level + n / 100`, in windows of 5."""
    frames = torch.full((3, num_frames, height, width), level) + torch.arange(num_frames).view(1, -1, 1, 1) / 100
    return Clip(
        windows=lambda: iter(frames.split(5, 1)),
        num_frames=num_frames, height=height, width=width, fps=fps, waveform=sound, sample_rate=rate,
    )  # fmt: skip


def pixels(joined) -> torch.Tensor:
    return torch.cat(list(joined.windows), 1)


def test_without_a_crossfade_the_second_clip_follows_the_first():
    first, second = clip(), clip(7, level=0.5)
    joined = join_clips(first, second)
    whole = torch.cat([*first.windows(), *second.windows()], 1)
    assert joined.num_frames == 19
    torch.testing.assert_close(pixels(joined), whole)
    assert joined.waveform is None


def test_crossfade_mixes_the_ends_with_weights_that_sum_to_one():
    joined = join_clips(clip(level=0.2), clip(level=0.2), 0.5)
    frames = pixels(joined)[0, :, 0, 0]
    assert len(frames) == joined.num_frames == 20
    assert frames.min() >= 0.2
    assert frames.max() <= 0.32
    assert float(frames[8]) < 0.28
    bright = torch.cat(list(crossfaded([torch.ones(3, 6, 2, 2)], [torch.ones(3, 6, 2, 2)], 4, "cosine")), 1)
    torch.testing.assert_close(bright, torch.ones(3, 8, 2, 2))


@pytest.mark.parametrize("split", [1, 3, 12])
def test_crossfade_does_not_depend_on_the_windows(split):
    first, second = torch.randn(2, 3, 12, 4, 4, generator=torch.Generator().manual_seed(1))
    whole = torch.cat(list(crossfaded([first], [second], 5)), 1)
    pieces = torch.cat(list(crossfaded(first.split(split, 1), second.split(split, 1), 5)), 1)
    torch.testing.assert_close(pieces, whole)


def test_long_crossfade_joins_its_frames_once(monkeypatch):
    joined = []
    cat = torch.cat
    monkeypatch.setattr(torch, "cat", lambda parts, axis=0: joined.append(len(parts)) or cat(parts, axis))
    pieces = crossfaded(torch.randn(3, 40, 2, 2).split(2, 1), torch.randn(3, 40, 2, 2).split(2, 1), 31)
    assert sum(piece.shape[1] for piece in pieces) == 49
    assert joined == [16]


def test_second_clip_takes_the_rate_of_the_first_and_keeps_its_duration():
    joined = join_clips(clip(8, fps=Fraction(8)), clip(24, fps=Fraction(24), level=0.5))
    frames = pixels(joined)[0, 8:, 0, 0]
    assert joined.num_frames == 16
    # Every third frame, the one in the middle of three.
    torch.testing.assert_close(frames, 0.5 + torch.arange(1, 24, 3) / 100)


def test_slow_clip_repeats_frames_and_ends_on_its_last():
    frames = torch.arange(3.0).view(1, 3, 1, 1).expand(3, 3, 1, 1)
    times = torch.cat(list(retimed([frames], Fraction(10), Fraction(20), 7)), 1)[0, :, 0, 0]
    assert times.tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("split", [1, 2, 5])
def test_pictures_with_seconds_stay_at_them_and_a_pause_comes_in_pieces(split):
    frames = torch.arange(5.0).view(1, 5, 1, 1).expand(3, 5, 1, 1)
    seconds = [0.0, 0.1, 0.12, 4.0, 4.5]
    windows = zip(frames.split(split, 1), (seconds[at : at + split] for at in range(0, 5, split)), strict=True)
    given = list(steadied(windows, Fraction(10), 60))
    assert max(window.shape[1] for window in given) == 8
    shown = torch.cat(given, 1)[0, :, 0, 0]
    assert shown.tolist() == [0] + [2] * 39 + [3] * 5 + [4] * 15


def test_pictures_with_seconds_at_a_constant_rate_are_retimed_as_those_without():
    frames = torch.arange(24.0).view(1, 24, 1, 1).expand(3, 24, 1, 1)
    windows = [(frames[:, at : at + 5], [frame / 24 for frame in range(at, min(at + 5, 24))]) for at in range(0, 24, 5)]
    for fps, count in ((Fraction(8), 8), (Fraction(30000, 1001), 30), (Fraction(24), 24)):
        plain = torch.cat(list(retimed([frames], Fraction(24), fps, count)), 1)
        assert torch.equal(torch.cat(list(steadied(windows, fps, count)), 1), plain)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_fit_gives_the_size_asked_for(fit):
    window = torch.ones(3, 2, 10, 20)
    [fit_window] = fitted([window], 16, 16, fit)
    assert fit_window.shape == (3, 2, 16, 16)
    bars = (fit_window[:, :, 0] < 0).all()
    assert bool(bars) == (fit == "pad")
    assert fit_window[:, :, 8].min() > 0.99


@pytest.mark.parametrize(("fit", "first"), [("crop", 8), ("pad", 0)])
def test_pictures_are_fitted_around_their_middle(fit, first):
    ramp = torch.linspace(0.0, 1.0, 32).expand(3, 1, 16, 32)
    [made] = fitted([ramp], 16, 16, fit)
    columns = made[0, 0, 8]
    assert float(columns.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(columns[0]) == pytest.approx(first / 31, abs=0.03)
    if fit == "pad":
        assert bool((made[:, :, :4] == -1).all())
        assert bool((made[:, :, 12:] == -1).all())


def test_sounds_stay_with_their_pictures():
    tone = torch.full((1, 12000), 0.5)  # 1.5 s at 8 kHz: as long as 12 frames at 8 fps
    joined = join_clips(clip(), clip(sound=tone), 0.5)
    assert joined.waveform.shape == (1, 20000)
    assert joined.waveform[0, :8000].abs().max() == 0
    assert joined.waveform[0, 12000:].min() == 0.5


def test_sound_takes_the_higher_rate_and_the_most_channels():
    mono, stereo = torch.full((1, 12000), 0.3), torch.full((2, 24000), 0.3)
    joined = join_clips(clip(sound=mono, rate=8000), clip(sound=stereo, rate=16000))
    assert joined.waveform.shape == (2, 48000)
    assert joined.sample_rate == 16000


def test_sounds_fade_with_equal_power():
    generator = torch.Generator().manual_seed(0)
    first, second = (0.2 * torch.randn(1, 40000, generator=generator) for _ in range(2))
    mixed = joined_sound(first, second, 20000)
    assert mixed.shape[1] == 60000
    assert abs(float(mixed[:, 20000:40000].std() / first.std()) - 1) < 0.03


def test_first_sound_fades_out_while_the_second_fades_in():
    high, low = torch.full((1, 100), 0.5), torch.full((1, 100), -0.5)
    fade = joined_sound(high, low, 40)[0, 60:100]
    assert bool((fade.diff() < 0).all())
    assert fade[0] > 0.45
    assert fade[-1] < -0.45


def test_crossfade_longer_than_a_clip_is_refused():
    with pytest.raises(ConfigError, match=r"use at most 1\.5 s"):
        join_clips(clip(), clip(40), 2.0)
    with pytest.raises(MediaError, match="fewer frames"):
        list(crossfaded([torch.ones(3, 2, 1, 1)], [torch.ones(3, 9, 1, 1)], 4))
    with pytest.raises(MediaError, match="fewer frames"):
        list(crossfaded([torch.ones(3, 9, 1, 1)], [torch.ones(3, 2, 1, 1)], 4))
