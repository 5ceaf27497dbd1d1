"""How long a film really lasts: from its time stamps, not from its header."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import MediaError
from .files import codec_errors, existing
from .movie import exact_fps

TOLERANCE_SECONDS = 0.0011  # Matroska and FLV round every time stamp to 1 ms


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When the pictures of a film are shown."""

    start_seconds: Fraction  # of the first picture, on the file's clock
    seconds: Fraction  # from the first picture to the end of the last one
    num_frames: int
    fps: Fraction | None  # None: the frame rate varies

    def samples(self, sample_rate: int) -> int:
        """Length of a sound that fits the film, in samples at `sample_rate` Hz; at least 1."""
        return clip_samples(self.seconds, sample_rate)


def clip_samples(seconds: Fraction | float, sample_rate: int) -> int:
    """Seconds -> samples at `sample_rate` Hz, to the nearest and at least 1; MediaError for no length at all."""
    if sample_rate < 1:
        raise MediaError(f"a sample rate of {sample_rate} Hz was given; it must be positive, such as 48000")
    if not 0 < seconds < float("inf"):
        raise MediaError(f"a clip of {float(seconds):g} seconds was given; it must last longer than 0")
    return max(1, round(Fraction(seconds) * sample_rate))


def frames_seconds(num_frames: int, fps: float | Fraction) -> Fraction:
    """Frames at a rate -> exact seconds; 23.976 and 29.97 mean 24000/1001 and 30000/1001."""
    if num_frames < 1:
        raise MediaError(f"a clip of {num_frames} frames was given; it needs at least 1")
    return num_frames / exact_fps(fps)


def picture_stream(container: Any, path: Path) -> Any:
    """The film's pictures among an open file's streams; MediaError where there are none, or only a cover."""
    import av

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise MediaError(f"{path} holds no pictures; choose a film, or load it as a sound")


def timeline(path: str | os.PathLike[str]) -> Timeline:
    """Reads a film's packets (nothing is decoded) -> Timeline; works for any frame rate and for varying ones.

    Time stamps that agree with one frame rate within their own rounding make the length frames / rate, exactly.
    """
    import av

    source = existing(path)
    with codec_errors(source, reading=True), av.open(str(source)) as container:
        stream = picture_stream(container, source)
        tick = float(stream.time_base)
        stamps, durations = [], {}
        for packet in container.demux(stream):
            # What an edit list leaves out, of a trimmed film, is in the file for the decoder alone.
            if packet.size and not packet.is_discard:
                stamp = packet.pts if packet.pts is not None else packet.dts
                stamps.append(stamp)
                durations[stamp] = packet.duration or 0
        rates = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
        base = Fraction(stream.time_base)
    if not stamps:
        raise MediaError(f"{source} holds no readable frame; it may be cut off: write or copy it again")
    count = len(stamps)
    if None in stamps:
        fps = exact_fps(float(rates[0])) if rates else Fraction(25)
        return Timeline(start_seconds=Fraction(0), seconds=count / fps, num_frames=count, fps=fps)
    stamps.sort()
    first, last = stamps[0], stamps[-1]
    for rate in [*rates, *([Fraction(count - 1, last - first) / base] if last > first else [])]:
        if not 0 < rate <= 1000:
            continue
        fps = exact_fps(float(rate))
        step, slack = float(1 / fps), max(TOLERANCE_SECONDS, tick)
        if all(abs((stamp - first) * tick - index * step) <= slack for index, stamp in enumerate(stamps)):
            return Timeline(start_seconds=first * base, seconds=count / fps, num_frames=count, fps=fps)
    # A film of varying rate: the last picture stays as long as its packet says, or as the pictures do on average.
    final = durations[last] or round((last - first) / max(1, count - 1)) or 1
    return Timeline(start_seconds=first * base, seconds=(last - first + final) * base, num_frames=count, fps=None)
