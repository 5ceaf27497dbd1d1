"""Clips seen by a sound model: film files, frames in memory, or windows of them with times of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from torch import Tensor

from ..conditioning.sound import FrameEncoders, Watched, Window, watch
from ..errors import ShapeError
from ..media.pictures import timed_windows
from ..media.timeline import clip_samples, exact_fps, timeline
from ..shapes import SOUND_SAMPLE_RATE
from .sound_request import check_samples

WATCH_FRAMES = 16  # of a tensor that are looked at together


def watch_video(
    eyes: FrameEncoders, path: str | os.PathLike[str], on_frames: Callable[[int], None] | None = None
) -> tuple[Watched, int]:
    """A film file of any frame rate, a varying one too -> what was seen, and its length in samples at 48 kHz."""
    film = timeline(path)
    samples = check_samples(clip_samples(film.seconds, SOUND_SAMPLE_RATE))
    windows = timed_windows(path, film=film, shorter_side=2 * eyes.image_size)
    return watch(eyes, windows, on_frames=on_frames), samples


def watch_frames(
    eyes: FrameEncoders, frames: Tensor | Iterable[Window], fps: float | Fraction | None = None,
    seconds: float | Fraction | None = None, on_frames: Callable[[int], None] | None = None,
) -> tuple[Watched, int]:  # fmt: skip
    """Frames [3, T, H, W] in [-1, 1], whole or in windows -> what was seen, and their length in samples at 48 kHz.

    The length is `seconds` where they are given, else frames over `fps` (23.976 and 29.97 mean 24000/1001 and
    30000/1001). Windows may carry their own times instead, (pixels, seconds); the last frame then lasts as long as
    there is between frames on average. ShapeError for an array, or a length that nothing tells.
    """
    rate = None if fps is None else exact_fps(fps)
    if isinstance(frames, np.ndarray):
        raise ShapeError("frames are a NumPy array; give a tensor [3, T, H, W] in [-1, 1], or windows of them")
    if isinstance(frames, Tensor):
        frames = frames.split(WATCH_FRAMES, dim=-3) if frames.ndim >= 4 else [frames]
    seen = watch(eyes, frames, fps=rate, on_frames=on_frames)
    if seconds is None and rate is not None:
        seconds = seen.num_frames / rate
    if seconds is None:
        span, gaps = float(seen.times[-1] - seen.times[0]), seen.num_frames - 1
        if not span:
            raise ShapeError("the frames' times do not say how long they last; give seconds")
        seconds = float(seen.times[-1]) + span / gaps
    return seen, check_samples(clip_samples(seconds, SOUND_SAMPLE_RATE))
