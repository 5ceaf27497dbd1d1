"""A film's pictures with the moments at which they are shown, made small while they are decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .files import existing, reading
from .frames import from_uint8
from .timeline import Timeline, picture_stream, timeline
from .upright import Upright

WINDOW_FRAMES = 16


def timed_windows(
    path: str | os.PathLike[str], *, film: Timeline | None = None, shorter_side: int | None = None,
    window_frames: int = WINDOW_FRAMES,
) -> Iterator[tuple[Tensor, list[float]]]:  # fmt: skip
    """Windows (pixels [3, t, H, W] in [-1, 1], seconds [t] after the first picture) of any film, upright.

    Larger pictures are averaged down until their shorter side has `shorter_side` pixels. At most one window is in
    memory. `film` is the file's timeline where it was read already.
    """
    source = existing(path)
    film = timeline(source) if film is None else film
    kept: list[Tensor] = []
    moments: list[float] = []
    slack = 0.5 / float(film.fps or 1000)
    last, due = 0.0, 0  # when the latest picture is shown; the number of the next one
    with reading(source) as container:
        stream: Any = picture_stream(container, source)
        stream.thread_type = "AUTO"
        upright = Upright(stream, shorter_side=shorter_side)
        for frame in container.decode(stream):
            seconds = None if frame.pts is None else frame.pts * frame.time_base - film.start_seconds
            if film.stamped and seconds is not None and seconds < -slack:
                continue  # some decoders show what comes before the first key frame too, as grey
            if film.fps is not None:
                if seconds is not None and film.stamped:
                    due = max(due, round(seconds * film.fps))  # after pictures that cannot be decoded
                last = float(due / film.fps)
                due += 1
            elif seconds is not None:
                # Damaged files repeat time stamps or step back; pictures are shown in the order they come in.
                last = max(last, float(seconds))
            kept.append(upright(frame))
            moments.append(last)
            if len(kept) == window_frames:
                yield from_uint8(torch.stack(kept)), moments
                kept, moments = [], []
    if kept:
        yield from_uint8(torch.stack(kept)), moments
