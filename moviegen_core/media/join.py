"""Two clips in a row: one size, one frame rate, one sound, and a crossfade where they meet.

Shape letters: T frames, H rows, W columns, C channels of sound, S samples. Pixels are [3, T, H, W] in [-1, 1].
Pictures stream: no more than a window and the frames of the crossfade are in memory.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, MediaError
from ..ops.windows import Curve, fade_in
from .movie import read_movie
from .pictures import timed_windows
from .timeline import exact_fps, timeline
from .waveform import resample, to_stereo

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[str, ...] = get_args(Fit)
TimedWindow = tuple[Tensor, Sequence[float]]  # pixels, and the seconds [t] from which each picture is shown
PIECE = 8  # frames given at a time


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip whose pictures come in windows [3, t, H, W] each time `windows` is called.

    Those of a `timed` one are (pixels, seconds [t]), at any moments; `fps` and `num_frames` are those of an even clip.
    """

    windows: Callable[[], Iterator[Tensor] | Iterator[TimedWindow]]
    num_frames: int
    height: int  # pixels
    width: int
    fps: Fraction
    waveform: Tensor | None = None  # [C, S] in [-1, 1]
    sample_rate: int = 48000  # Hz
    timed: bool = False

    @property
    def seconds(self) -> Fraction:
        """Length of the pictures."""
        return self.num_frames / self.fps

    def at(self, fps: Fraction, num_frames: int) -> Iterator[Tensor]:
        """Windows at `fps`, `num_frames` in all; what is not timed stays as it is at its own rate."""
        windows: Any = self.windows()
        return steadied(windows, fps, num_frames) if self.timed else retimed(windows, self.fps, fps, num_frames)


def clip_of(path: str | os.PathLike[str], *, sound: bool = True) -> Clip:
    """A film as a clip that is read from its file, window by window, with its sound or without.

    One of a varying rate gets the even rate that keeps its length.
    """
    film, time = read_movie(path), timeline(path)
    fps = time.fps or exact_fps(float(time.num_frames / time.seconds))
    return Clip(
        windows=lambda: timed_windows(path, film=time, window_frames=PIECE),
        num_frames=max(1, round(time.seconds * fps)),
        height=film.height,
        width=film.width,
        fps=fps,
        waveform=film.waveform if sound else None,
        sample_rate=film.sample_rate or 48000,
        timed=True,
    )


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What `join_clips` gives: windows for `write_movie`, its frame rate, and its sound."""

    windows: Iterator[Tensor]
    num_frames: int
    fps: Fraction
    waveform: Tensor | None
    sample_rate: int


def join_clips(
    first: Clip, second: Clip, crossfade_seconds: float = 0.0, *, fit: Fit = "crop", curve: Curve = "linear"
) -> Joined:
    """The second clip after the first, in the first one's size and frame rate.

    Over the crossfade the pictures' weights sum to one and the sounds fade with equal power. A silent clip counts as
    silence; the sound has the higher of the two sample rates, and two channels if either has two or more. ConfigError
    for a crossfade or a fit that cannot be.
    """
    if not 0 <= crossfade_seconds < math.inf:
        raise ConfigError(f"a crossfade of {crossfade_seconds} s was asked for; use 0 or more")
    if fit not in FITS:
        raise ConfigError(f"fit {fit!r} is unknown; use one of {', '.join(FITS)}")
    frames = round(crossfade_seconds * first.fps)
    second_frames = max(1, round(second.seconds * first.fps))
    shorter = min(first.num_frames, second_frames)
    if frames > shorter:
        raise ConfigError(
            f"a crossfade of {crossfade_seconds:g} s is longer than the shorter clip; use at most "
            f"{math.floor(shorter / first.fps * 100) / 100:g} s"
        )
    following = fitted(second.at(first.fps, second_frames), first.height, first.width, fit)
    waveform, sample_rate = _sound(first, second, frames)
    return Joined(
        windows=crossfaded(first.at(first.fps, first.num_frames), following, frames, curve),
        num_frames=first.num_frames + second_frames - frames,
        fps=first.fps,
        waveform=waveform,
        sample_rate=sample_rate,
    )


def retimed(windows: Iterable[Tensor], from_fps: Fraction, to_fps: Fraction, num_frames: int) -> Iterator[Tensor]:
    """Windows at `from_fps` -> windows at `to_fps`, `num_frames` in all: each moment shows the frame then visible.

    Frames are repeated or left out, never mixed; the last one stays if the clip ends early.
    """
    if from_fps == to_fps:
        yield from windows
        return
    given = seen = 0
    last: Tensor | None = None
    for window in windows:
        chosen = []
        # The middle of each new frame decides, so that both ends lose as much.
        while given < num_frames:
            wanted = math.floor((given + Fraction(1, 2)) * from_fps / to_fps)
            if wanted >= seen + window.shape[1]:
                break
            chosen.append(wanted - seen)
            given += 1
        seen += window.shape[1]
        last = window[:, -1:].clone()
        if chosen:
            yield window[:, chosen]
    if last is not None and given < num_frames:
        yield last.expand(-1, num_frames - given, -1, -1)


def steadied(windows: Iterable[TimedWindow], fps: Fraction, num_frames: int) -> Iterator[Tensor]:
    """Windows of any rate with their seconds -> windows at `fps`, chosen as `retimed` does, `num_frames` in all."""
    given = 0
    last: Tensor | None = None
    starts: list[float] = []
    for pixels, seconds in windows:
        kept = 0 if last is None else 1  # pictures before this window's own
        starts = [*starts[-1:], *seconds]
        # How long the window's last picture stays is known when the next one comes.
        due = max(given, min(num_frames, math.ceil(starts[-1] * fps - 0.5)))
        chosen = [bisect_right(starts, (frame + 0.5) / fps, lo=1) - 1 for frame in range(given, due)]
        # A long pause is many frames.
        for start in range(0, len(chosen), PIECE):
            piece = chosen[start : start + PIECE]
            if last is not None and piece[-1] == 0:
                yield last.expand(-1, len(piece), -1, -1)
            elif last is not None and piece[0] == 0:
                yield torch.cat([last, pixels], 1)[:, piece]
            elif piece == list(range(piece[0], piece[-1] + 1)):
                yield pixels[:, piece[0] - kept : piece[-1] + 1 - kept]
            else:
                yield pixels[:, [place - kept for place in piece]]
        given = due
        last = pixels[:, -1:].clone()
    if last is not None and given < num_frames:
        yield from last.expand(-1, num_frames - given, -1, -1).split(PIECE, 1)


def fitted(windows: Iterable[Tensor], height: int, width: int, fit: Fit) -> Iterator[Tensor]:
    """Windows of any size -> windows of `height` x `width`: cut, padded with black, or stretched to it."""
    for window in windows:
        rows, columns = window.shape[2:]
        if (rows, columns) == (height, width):
            yield window
            continue
        scale = {"crop": max, "pad": min}.get(fit, max)(height / rows, width / columns)
        size = (height, width) if fit == "stretch" else (round(rows * scale), round(columns * scale))
        frames = functional.interpolate(
            window.transpose(0, 1), size=size, mode="bilinear", antialias=True, align_corners=False
        )
        # Negative padding cuts: both ways of fitting are one call.
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        sides = (left, width - size[1] - left, top, height - size[0] - top)
        yield functional.pad(frames, sides, value=-1.0).transpose(0, 1)


def crossfaded(
    first: Iterable[Tensor], second: Iterable[Tensor], frames: int, curve: Curve = "linear"
) -> Iterator[Tensor]:
    """Windows of both, the last `frames` of the first mixed into the start of the second.

    MediaError where either has fewer.
    """
    if not frames:
        yield from first
        yield from second
        return
    held: deque[Tensor] = deque()  # the last windows, which hold the crossfade
    for window in first:
        held.append(window)
        ready = sum(one.shape[1] for one in held) - frames
        while held and ready >= held[0].shape[1]:
            ready -= held[0].shape[1]
            yield held.popleft()
    surplus = sum(one.shape[1] for one in held) - frames
    if surplus < 0:
        raise MediaError("the first clip holds fewer frames than the crossfade; use a shorter one")
    if surplus:
        yield held[0][:, :surplus]
        held[0] = held[0][:, surplus:]
    tail = torch.cat([*held], 1)
    held.clear()
    rising = fade_in(frames, curve).view(1, -1, 1, 1)
    done = 0
    for window in second:
        count = min(frames - done, window.shape[1])
        if count:
            part = slice(done, done + count)
            yield torch.lerp(tail[:, part], window[:, :count], rising[:, part])
            done += count
        if count < window.shape[1]:
            yield window[:, count:]
    if done < frames:
        raise MediaError("the second clip holds fewer frames than the crossfade; use a shorter one")


def joined_sound(first: Tensor, second: Tensor, overlap: int) -> Tensor:
    """Sounds [C, S] of as many channels -> [C, S1 + S2 - overlap], faded with equal power over the overlap."""
    angle = (torch.arange(overlap, dtype=torch.float64) + 0.5) / max(overlap, 1) * (math.pi / 2)
    start = first.shape[1] - overlap
    mixed = first[:, start:] * torch.cos(angle).to(first) + second[:, :overlap] * torch.sin(angle).to(first)
    return torch.cat([first[:, :start], mixed, second[:, overlap:]], 1).clamp_(-1.0, 1.0)


def _sound(first: Clip, second: Clip, crossfade_frames: int) -> tuple[Tensor | None, int]:
    voiced = [clip for clip in (first, second) if clip.waveform is not None]
    if not voiced:
        return None, first.sample_rate
    rate = max(clip.sample_rate for clip in voiced)
    channels = 2 if any(clip.waveform.shape[0] > 1 for clip in voiced if clip.waveform is not None) else 1
    # Sounds are as long as their pictures; only so do those of the second clip stay with them.
    seconds = first.seconds, max(1, round(second.seconds * first.fps)) / first.fps
    parts = [
        _fitted_sound(clip, rate, channels, round(length * rate))
        for clip, length in zip((first, second), seconds, strict=True)
    ]
    return joined_sound(parts[0], parts[1], round(crossfade_frames / first.fps * rate)), rate


def _fitted_sound(clip: Clip, rate: int, channels: int, samples: int) -> Tensor:
    if clip.waveform is None:
        return torch.zeros(channels, samples)
    sound = clip.waveform.float()
    if channels == 2:
        sound = to_stereo(sound)
    sound = resample(sound, clip.sample_rate, rate)[:, :samples]
    return functional.pad(sound, (0, samples - sound.shape[1]))
