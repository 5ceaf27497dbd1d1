"""Editing sounds: fit one to a length, mix several, give a mono sound width.

Shape letters: C channels, S samples. A waveform is float [C, S].
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, MediaError
from ..memory import memory_bytes
from .loudness import limit
from .waveform import checked, resample, to_mono, to_stereo

logger = logging.getLogger(__name__)

FITS = ("pad", "loop")
JOIN_SECONDS = 0.05  # crossfade where a loop begins again
DUCK_LEVEL = 0.01  # amplitude from which a sound lets others duck: -40 dBFS
DUCK_STEP_SECONDS = 0.01
DUCK_HOLD_SECONDS = 0.3  # pauses up to twice this keep the others down
DUCK_SLOPE_SECONDS = 0.15  # half the time from open to ducked
MIX_CEILING = -0.1  # dBTP of a mixture that would clip
SPREAD_SECONDS = 0.03  # how far the echoes of the width filter reach
SPREAD_FROM_HERTZ = 150.0  # bass stays in the middle


@dataclass(frozen=True, kw_only=True)
class Track:
    """One sound of a mixture."""

    waveform: Tensor  # [C, S]
    sample_rate: int  # Hz
    gain_db: float = 0.0
    pan: float = 0.0  # -1 left, 0 as it is, 1 right
    start_seconds: float = 0.0  # negative: the beginning is left out
    duck_db: float = 0.0  # how far it goes down while the tracks that lead are heard
    leads: bool = False  # tracks with a `duck_db` give way to it


def fit(
    waveform: Tensor,
    samples: int,
    mode: str = "pad",
    *,
    fade_in: int = 0,
    fade_out: int = 0,
    join: int = 0,
) -> Tensor:
    """[C, S] -> [C, samples], exactly: what is too long is cut, what is too short is padded or looped.

    `fade_in` and `fade_out` are samples at the ends of the sound that is heard, so that padding follows the fade.
    `join` is the crossfade of a loop in samples, at most half of the sound. ConfigError for an unknown mode, MediaError
    for no samples.
    """
    if mode not in FITS:
        raise ConfigError(f"the mode {mode!r} was given; choose from {', '.join(FITS)}")
    if samples < 1:
        raise MediaError(f"a length of {samples} samples was asked for; it must be at least 1")
    if not waveform.shape[-1]:
        raise MediaError("the sound is empty (0 samples); give one that lasts longer than 0 seconds")
    if samples > waveform.shape[-1]:
        _check_room(math.prod(waveform.shape[:-1]), samples, copies=1)
    sound = waveform[..., :samples].clone()
    if mode == "loop" and sound.shape[-1] < samples:
        sound = _looped(sound, samples, min(join, sound.shape[-1] // 2))
    sound[..., : min(fade_in, sound.shape[-1])] *= _ramp(fade_in, sound)[: sound.shape[-1]]
    if fade_out:
        tail = _ramp(fade_out, sound).flip(0)[-sound.shape[-1] :]
        sound[..., -len(tail) :] *= tail
    return functional.pad(sound, (0, samples - sound.shape[-1]))


def mix(tracks: Sequence[Track], sample_rate: int = 48000, samples: int | None = None) -> Tensor:
    """Adds tracks up -> [1 or 2, samples] at `sample_rate`; by default as long as the last of them lasts.

    The result is mono when every track is mono and none is panned. A mixture that would clip is limited, not cut off.
    MediaError for no tracks or no length.
    """
    if not tracks:
        raise MediaError("no sounds were given to mix; give at least one")
    rendered = [_rendered(track, sample_rate) for track in tracks]
    ends = [start + sound.shape[1] for sound, start in rendered]
    length = max(1, max(ends)) if samples is None else samples
    if length < 1:
        raise MediaError(f"a length of {samples} samples was asked for; it must be at least 1")
    channels = max(sound.shape[0] for sound, _ in rendered)
    _check_room(channels, length, copies=3)
    leading = torch.zeros(1, length)
    for track, (sound, start) in zip(tracks, rendered, strict=True):
        if track.leads:
            _add(leading, to_mono(sound).abs(), start)
    mixed = torch.zeros(channels, length)
    for track, (sound, start) in zip(tracks, rendered, strict=True):
        if channels == 2:
            sound = to_stereo(sound)
        if track.duck_db and not track.leads:
            envelope = duck_gain(leading, sample_rate, track.duck_db)
            placed = torch.zeros(channels, length)
            _add(placed, sound, start)
            mixed += placed * envelope
        else:
            _add(mixed, sound, start)
    if float(mixed.abs().max()) > 1.0:
        logger.info("limited the mixture: its sounds add up to more than full scale")
        mixed = limit(mixed, sample_rate, MIX_CEILING)
    return mixed


def _check_room(channels: int, samples: int, copies: int) -> None:
    """MediaError for a sound that the free memory does not hold so often: systems end who takes more."""
    _, free = memory_bytes()
    needed = 4 * channels * samples * copies
    if free and needed > free:
        raise MediaError(
            f"a sound of {samples:,} samples in {channels} channels needs {needed / 2**30:.1f} GiB of memory, and "
            f"{free / 2**30:.1f} GiB are free; ask for a shorter one, or an earlier start of what is mixed in"
        )


def duck_gain(leading: Tensor, sample_rate: int, duck_db: float) -> Tensor:
    """Gain [1, S] that falls by `duck_db` dB where `leading` [C, S] is heard: early, smoothly, and over its pauses."""
    step = max(1, round(DUCK_STEP_SECONDS * sample_rate))
    length = leading.shape[-1]
    level = to_mono(leading.square())
    level = functional.pad(level, (0, -length % step)).view(1, 1, -1, step).mean(-1).sqrt()
    heard = (level > DUCK_LEVEL).float()
    hold = round(DUCK_HOLD_SECONDS / DUCK_STEP_SECONDS)
    slope = round(DUCK_SLOPE_SECONDS / DUCK_STEP_SECONDS)
    held = functional.max_pool1d(heard, 2 * (hold + slope) + 1, stride=1, padding=hold + slope)
    kernel = torch.hann_window(2 * slope + 3, periodic=False)[1:-1]
    padded = functional.pad(held, (slope, slope), mode="replicate")
    smooth = functional.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1))
    fine = functional.interpolate(smooth, size=smooth.shape[-1] * step, mode="linear", align_corners=False)
    return 10 ** (-abs(duck_db) / 20 * fine[0, :, :length])


def widen(waveform: Tensor, sample_rate: int, width: float = 0.5) -> Tensor:
    """Mono [1, S] -> stereo [2, S] that folds back to the mono sound without colour; [2, S] stays as it is.

    The side signal is the sound through a filter of sparse random echoes within 30 ms (velvet noise: Karjalainen and
    Jarvelainen, 2007), without its bass; left is middle plus side, right middle minus side, so both sides add up to
    the middle. `width` is the level of the side: 0 gives the same sound on both sides. ConfigError for a width out of
    range.
    """
    if not 0.0 <= width <= 1.0:
        raise ConfigError(f"a width of {width:g} was given; it goes from 0 (both sides alike) to 1")
    if waveform.shape[0] != 1:
        return to_stereo(waveform)
    if not width:
        return to_stereo(waveform)
    side = width * _filtered(waveform, _echoes(sample_rate).to(waveform))
    # Both sides get the energy of middle and side: keep the loudness.
    return torch.cat([waveform + side, waveform - side]) / math.sqrt(1 + width**2)


def _looped(sound: Tensor, samples: int, join: int) -> Tensor:
    """Repeats with an equal-power crossfade of `join` samples."""
    if not join:
        return sound.repeat(*[1] * (sound.ndim - 1), -(-samples // sound.shape[-1]))[..., :samples]
    angle = (torch.arange(join) + 0.5) / join * (math.pi / 2)
    rise, fall = angle.sin().to(sound), angle.cos().to(sound)
    period = sound.shape[-1] - join
    body = sound[..., :period].clone()
    body[..., :join] = sound[..., :join] * rise + sound[..., period:] * fall
    looped = body.repeat(*[1] * (sound.ndim - 1), -(-samples // period))[..., :samples]
    # Nothing precedes the first round.
    looped[..., :join] = sound[..., :join]
    return looped


def _ramp(length: int, like: Tensor) -> Tensor:
    """Rising half of a raised cosine [length]."""
    return (0.5 - 0.5 * torch.cos((torch.arange(length) + 0.5) / max(1, length) * math.pi)).to(like)


def _rendered(track: Track, rate: int) -> tuple[Tensor, int]:
    """The track with its gain and pan at the mixture's rate, and the sample at which it begins."""
    if not -1.0 <= track.pan <= 1.0:
        raise ConfigError(f"a pan of {track.pan:g} was given; it goes from -1 (left) to 1 (right)")
    sound = checked(track.waveform, track.sample_rate, clip=False)
    if sound.shape[0] > 2:
        sound = to_stereo(sound)
    sound = resample(sound, track.sample_rate, rate) * 10 ** (track.gain_db / 20)
    if track.pan:
        angle = (track.pan + 1) * math.pi / 4
        # Equal power, scaled so that the middle is untouched.
        sides = math.sqrt(2) * torch.tensor([[math.cos(angle)], [math.sin(angle)]])
        sound = to_stereo(sound) * sides.to(sound)
    return sound, round(track.start_seconds * rate)


def _add(target: Tensor, sound: Tensor, start: int) -> None:
    """Adds `sound` to `target` from sample `start` on, in place; what lies outside is left out."""
    first, last = max(0, start), min(target.shape[1], start + sound.shape[1])
    if first < last:
        target[:, first:last] += sound[:, first - start : last - start]


def _echoes(rate: int) -> Tensor:
    """The width filter [taps], of unit energy and without bass; the same for every sound."""
    taps = max(64, round(SPREAD_SECONDS * rate))
    random = torch.Generator().manual_seed(1)
    kernel = torch.zeros(taps)
    spacing = max(1, taps // 30)
    for begin in range(spacing, taps - spacing, spacing):
        place = begin + int(torch.randint(spacing, (), generator=random))
        sign = 1.0 if torch.rand((), generator=random) < 0.5 else -1.0
        kernel[place] = sign * math.exp(-3.0 * place / taps)
    spectrum = torch.fft.rfft(kernel, 4 * taps)
    hertz = torch.fft.rfftfreq(4 * taps, 1 / rate)
    spectrum *= (hertz / SPREAD_FROM_HERTZ).clamp(max=1.0).square()
    kernel = torch.fft.irfft(spectrum)[: 2 * taps]
    return kernel / kernel.square().sum().sqrt()


def _filtered(sound: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution [C, S] with [taps], block by block through Fourier transforms."""
    size = 1 << 16
    taps, length = len(kernel), sound.shape[1]
    fast = size + taps - 1
    spectrum = torch.fft.rfft(kernel, fast)
    result = torch.zeros(sound.shape[0], length + taps - 1, dtype=sound.dtype)
    for start in range(0, length, size):
        block = sound[:, start : start + size]
        echo = torch.fft.irfft(torch.fft.rfft(block, fast) * spectrum, fast)
        end = min(start + fast, result.shape[1])
        result[:, start:end] += echo[:, : end - start]
    return result[:, :length]
