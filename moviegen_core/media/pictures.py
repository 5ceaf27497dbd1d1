"""A film's pictures with the moments at which they are shown, made small while they are decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .files import codec_errors, existing
from .frames import from_uint8
from .timeline import Timeline, picture_stream, timeline

WINDOW_FRAMES = 16


def timed_windows(
    path: str | os.PathLike[str], *, film: Timeline | None = None, shorter_side: int | None = None,
    window_frames: int = WINDOW_FRAMES,
) -> Iterator[tuple[Tensor, list[float]]]:  # fmt: skip
    """Windows (pixels [3, t, H, W] in [-1, 1], seconds [t] after the first picture) of any film, upright.

    Larger pictures are averaged down until their shorter side has `shorter_side` pixels. At most one window is in
    memory. `film` is the file's timeline where it was read already.
    """
    import av

    source = existing(path)
    film = timeline(source) if film is None else film
    kept: list[Tensor] = []
    moments: list[float] = []
    count = 0
    last = 0.0
    with codec_errors(source, reading=True), av.open(str(source)) as container:
        stream: Any = picture_stream(container, source)
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if film.fps is not None:
                last = float(count / film.fps)
            elif frame.pts is not None:
                # Damaged files repeat time stamps or step back; pictures are shown in the order they come in.
                last = max(last, float(frame.pts * frame.time_base - film.start_seconds))
            count += 1
            kept.append(_upright(frame, shorter_side))
            moments.append(last)
            if len(kept) == window_frames:
                yield from_uint8(torch.stack(kept)), moments
                kept, moments = [], []
    if kept:
        yield from_uint8(torch.stack(kept)), moments


def _upright(frame: Any, shorter_side: int | None) -> Tensor:
    """uint8 [H, W, 3], turned as the file says."""
    shortest = min(frame.width, frame.height)
    if shorter_side is not None and shortest > shorter_side:
        width, height = (max(1, round(side * shorter_side / shortest)) for side in (frame.width, frame.height))
        picture = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
    else:
        picture = frame.to_ndarray(format="rgb24")
    return torch.from_numpy(picture).rot90(frame.rotation // 90)
