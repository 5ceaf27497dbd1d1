"""How long a film really lasts: from its time stamps, not from its header. Exact stamps where a file rounded them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from numbers import Rational
from pathlib import Path
from typing import Any

from ..errors import MediaError
from ..shapes import MAX_FPS, MAX_SECONDS
from .files import existing, reading

REORDERED = 32  # packets among the first of which that of the first picture is
TOLERANCE_SECONDS = 0.0011  # Matroska and FLV round every time stamp to 1 ms
MOST_TICKS = 2**31  # a second, of MP4's clocks


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When the pictures of a film are shown."""

    start_seconds: Fraction  # of the first picture, on the file's clock
    seconds: Fraction  # from the first picture to the end of the last one
    num_frames: int
    fps: Fraction | None  # None: the frame rate varies
    stamped: bool = True  # False: packets say when their pictures are decoded, not when they are shown

    def samples(self, sample_rate: int) -> int:
        """Length of a sound that fits the film, in samples at `sample_rate` Hz; at least 1."""
        return clip_samples(self.seconds, sample_rate)


def exact_fps(fps: float | Fraction) -> Fraction:
    """Frames a second as a fraction: 24 -> 24, 23.976 and 29.97 -> 24000/1001 and 30000/1001, 12.5 -> 25/2.

    MediaError for a rate out of range.
    """
    if not 0 < fps <= MAX_FPS:
        raise MediaError(f"{fps} frames a second were asked for; use a number above 0 and at most {MAX_FPS:g}")
    rate = exactly(fps)
    if not isinstance(fps, Rational):
        broadcast = Fraction(round(rate * Fraction(1001, 1000)) * 1000, 1001)
        if rate.denominator > 1 and broadcast and abs(rate - broadcast) < Fraction(1, 1000):
            return broadcast
        return rate.limit_denominator(1001) or rate
    return rate.limit_denominator(65535) or rate


def clip_samples(seconds: Fraction | float, sample_rate: int) -> int:
    """Seconds -> samples at `sample_rate` Hz, to the nearest and at least 1; MediaError for no length at all."""
    if sample_rate < 1:
        raise MediaError(f"a sample rate of {sample_rate} Hz was given; it must be positive, such as 48000")
    if not 0 < seconds <= MAX_SECONDS:
        raise MediaError(
            f"a clip of {float(seconds):g} seconds was given; it must last longer than 0 and up to {MAX_SECONDS:,.0f}"
        )
    return max(1, round(exactly(seconds) * sample_rate))


def exactly(number: float | Fraction) -> Fraction:
    """A number as a fraction; those of NumPy and torch too, which Fraction does not take."""
    return Fraction(number if isinstance(number, Rational) else float(number))


def frames_seconds(num_frames: int, fps: float | Fraction) -> Fraction:
    """Frames at a rate -> exact seconds; 23.976 and 29.97 mean 24000/1001 and 30000/1001. MediaError for none."""
    if num_frames < 1:
        raise MediaError(f"a clip of {num_frames} frames was given; it needs at least 1")
    return num_frames / exact_fps(fps)


def picture_stream(container: Any, path: Path) -> Any:
    """The film's pictures among an open file's streams; MediaError where there are none, or only a cover."""
    import av

    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise MediaError(f"{path} has pictures in a code that FFmpeg does not know; convert it to H.264 first")
        return stream
    raise MediaError(f"{path} holds no pictures; choose a film, or load it as a sound")


def shown_stamps(container: Any, stream: Any) -> Iterator[tuple[int | None, int]]:
    """(time stamp, duration) in ticks of an open film's packets that become pictures, in the order of the file.

    No picture is made of what comes before the first key frame, as in recorded broadcasts and in films that were cut
    without encoding them anew.
    """
    before: list[tuple[int | None, int]] = []
    begun = False
    for packet in container.demux(stream):
        if not packet.size:
            continue
        begun = begun or packet.is_keyframe
        # What an edit list leaves out, of a trimmed film, is in the file for the decoder alone.
        if not packet.is_discard:
            found = packet.pts if packet.pts is not None else packet.dts, packet.duration or 0
            if begun:
                yield found
            else:
                before.append(found)
    if not begun:  # some formats mark none
        yield from before


def pictures_start(path: str | os.PathLike[str]) -> Fraction | None:
    """When a film's first picture is shown, in seconds on its clock; None for a plain sound, with a cover or not."""
    source = existing(path)
    with reading(source) as container:
        try:
            stream = picture_stream(container, source)
        except MediaError:
            return None
        start = (stream.start_time or 0) * stream.time_base
        first = next(container.demux(stream))
        if first.is_keyframe or not first.size:
            return start
        stamps = [stamp for stamp, _ in islice(shown_stamps(container, stream), REORDERED) if stamp is not None]
        return min(stamps) * stream.time_base if stamps else start


def timeline(path: str | os.PathLike[str]) -> Timeline:
    """Reads a film's packets (nothing is decoded) -> Timeline; works for any frame rate and for varying ones.

    Time stamps that agree with one frame rate within their own rounding make the length frames / rate, exactly.
    MediaError where no frame can be read.
    """
    source = existing(path)
    with reading(source) as container:
        stream = picture_stream(container, source)
        tick = float(stream.time_base)
        shown = list(shown_stamps(container, stream))
        stamped = container.format.name != "avi"  # it numbers pictures as they are decoded
        rates = [rate for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
        base = Fraction(stream.time_base)
    if not shown:
        raise MediaError(f"{source} holds no readable frame; it may be cut off: write or copy it again")
    count, stamps, durations = len(shown), [stamp for stamp, _ in shown if stamp is not None], dict(shown)
    if len(stamps) < count:
        fps = exact_fps(float(rates[0])) if rates else Fraction(25)
        return Timeline(start_seconds=Fraction(0), seconds=count / fps, num_frames=count, fps=fps, stamped=False)
    stamps.sort()
    first, last = stamps[0], stamps[-1]
    for rate in [*rates, *([Fraction(count - 1, last - first) / base] if last > first else [])]:
        if not 0 < rate <= 1000:
            continue
        fps = exact_fps(float(rate))
        step, slack = float(1 / fps), max(TOLERANCE_SECONDS, tick)
        if all(abs((stamp - first) * tick - index * step) <= slack for index, stamp in enumerate(stamps)):
            return Timeline(start_seconds=first * base, seconds=count / fps, num_frames=count, fps=fps, stamped=stamped)
    # A film of varying rate: the last picture stays as long as its packet says, or as the pictures do on average.
    final = durations[last] or round((last - first) / max(1, count - 1)) or 1
    seconds = (last - first + final) * base
    return Timeline(start_seconds=first * base, seconds=seconds, num_frames=count, fps=None, stamped=stamped)


class PictureClock:
    """The exact time stamps of pictures at one rate whose container rounds them, in ticks of `time_base` seconds."""

    def __init__(self, film: Timeline, fps: Fraction) -> None:
        self.fps, self.start = fps, film.start_seconds
        self.time_base = Fraction(1, math.lcm(fps.numerator, self.start.denominator))
        self.frame = int(1 / fps / self.time_base)  # ticks
        self.decoded: int | None = None  # the last one

    def correct(self, packet: Any) -> None:
        """Moves a packet, given in the order of the file, to where its picture is shown."""
        shown, decoded = (self._exact(stamp, packet.time_base) for stamp in (packet.pts, packet.dts))
        if decoded is not None:
            if self.decoded is not None:
                decoded = max(decoded, self.decoded + 1)
            self.decoded = decoded
        packet.time_base = self.time_base
        packet.pts, packet.dts, packet.duration = shown, decoded, self.frame

    def _exact(self, stamp: int | None, tick: Fraction) -> int | None:
        if stamp is None:
            return None
        return int(self.start / self.time_base) + round((stamp * tick - self.start) * self.fps) * self.frame


class SoundClock:
    """The exact time stamps of a track of equal packets whose container rounds them; the last ends with the pictures.

    A packet of AAC is filled with silence where its sound ends, which Matroska does not tell.
    """

    def __init__(self, film: Timeline, track: Any, packet_samples: int) -> None:
        self.rate, self.packet_samples = track.rate, packet_samples
        self.slack = TOLERANCE_SECONDS * self.rate
        self.end = round((film.start_seconds + film.seconds) * self.rate)
        # A decoder leaves the delay out: what is heard first may begin with the pictures.
        self.due = round(film.start_seconds * self.rate) - track.codec_context.delay

    def correct(self, packet: Any) -> None:
        """Moves a packet, given in the order of the file, to the sample at which it begins."""
        if packet.pts is None:
            return
        begin, samples = (round(ticks * packet.time_base * self.rate) for ticks in (packet.pts, packet.duration or 0))
        if abs(begin - self.due) <= self.slack:
            begin = self.due
        if not samples or abs(samples - self.packet_samples) <= self.slack:
            samples = self.packet_samples
        self.due = begin + samples
        packet.time_base = Fraction(1, self.rate)
        packet.pts = packet.dts = begin
        packet.duration = self.end - begin if begin < self.end < self.due else samples


def picture_clock(film: Timeline, tick: Fraction) -> PictureClock | None:
    """The clock of pictures that are stamped in ticks of so many seconds; None where it has nothing to correct."""
    if film.fps is None or not film.stamped or (1 / film.fps / tick).denominator == 1:
        return None
    clock = PictureClock(film, film.fps)
    told_apart = film.fps * 2 * TOLERANCE_SECONDS < 1
    return clock if told_apart and clock.time_base.denominator < MOST_TICKS else None
