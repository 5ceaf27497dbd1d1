"""Films that are copied packet by packet, never decoded: as they are, or with another sound."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, MediaError
from .files import (
    MP4_OPTIONS,
    address,
    codec_errors,
    existing,
    first_sound,
    known_streams,
    opened,
    packets_of,
    reading,
    replacing,
)
from .formats import CONTAINERS, MP4_ENDINGS, PACKET_SAMPLES, TS_ENDINGS
from .sound import sound_blocks
from .timeline import PictureClock, SoundClock, Timeline, picture_clock, picture_stream, timeline

logger = logging.getLogger(__name__)

MODES = ("replace", "mix", "remove")
CEILING = 0.98  # highest sample of a mixture: AAC overshoots a little when it is decoded
TELL_EVERY = 50  # pictures
MAX_GAIN_DB = 120.0  # either way
AHEAD_SECONDS = 0.5  # how far the sound runs before the pictures in the file
WEBM_PICTURES = ("vp8", "vp9", "av1")
TS_PICTURES = ("mpeg1video", "mpeg2video", "h264", "hevc")  # those that can be read again
KEPT_RATES = (44100, 48000)  # Hz; every other rate becomes 48000


@dataclass(frozen=True, kw_only=True)
class Sounded:
    """What `set_audio` left on the disk."""

    path: Path
    film: Timeline
    samples: int  # of the sound track, 0 without one
    sample_rate: int  # Hz


def container_ending(path: str | os.PathLike[str]) -> str:
    """The file ending of a film that can hold this film's pictures as they are, with a sound track beside them."""
    source = existing(path)
    with reading(source) as container:
        kind, ending = container.format.name, source.suffix.lower()
        if "mp4" in kind.split(","):
            return ending if ending in MP4_ENDINGS else ".mp4"
        codec = picture_stream(container, source).codec.canonical_name
        if kind == "mpegts" and codec in TS_PICTURES:
            return ".ts"
        return ".webm" if codec in WEBM_PICTURES and ending == ".webm" else ".mkv"


def check_container(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """MediaError where a file of this name cannot hold the film's pictures as they are."""
    origin, final = existing(source), Path(path)
    ending = final.suffix.lower()
    if ending not in CONTAINERS:
        raise MediaError(f"{final.name}: films are written as {', '.join(CONTAINERS)}; change the file's ending")
    with opened(origin) as given:
        pictures = picture_stream(given, origin)
        codec = pictures.codec.canonical_name
        if not names_of(pictures) & held_codecs(ending):
            remedy = "encode the film anew first" if ending == ".mkv" else "choose a name that ends in .mkv"
            raise MediaError(f"{final.name} cannot hold {codec} pictures; {remedy}")
        first = next((packet for packet in packets_of(given, pictures, origin) if packet.size), None)
        if first is not None and not _takes(CONTAINERS[ending], pictures, first):
            raise MediaError(
                f"the {codec} pictures of {origin} cannot be copied as they are, perhaps for want of time stamps; "
                "convert it to an .mp4 first"
            )


def _takes(format: str, pictures: Any, packet: Any) -> bool:
    """Whether FFmpeg writes a packet of these pictures: for some its list of codecs promises too much."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=format) as trial:
            packet.stream = trial.add_stream_from_template(pictures, opaque=True)
            trial.mux(packet)
    except av.FFmpegError:
        return False
    return True


def can_copy(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name, of CONTAINERS, can hold the film's pictures and sound as they are."""
    origin = existing(source)
    with opened(origin) as given:
        named = [names_of(stream) for stream in known_streams(given)]
    held = held_codecs(Path(path).suffix.lower())
    return all(names & held for names in named)


def names_of(stream: Any) -> set[str]:
    """What FFmpeg calls the codec of a stream: containers list some by the codec's name, some by the coder's."""
    return {stream.codec.name, stream.codec.canonical_name}


def held_codecs(ending: str) -> set[str]:
    """FFmpeg's names of the codecs that a film of this ending can hold."""
    import av

    if ending in TS_ENDINGS:
        return set(TS_PICTURES)
    with av.open(io.BytesIO(), "w", format=CONTAINERS[ending]) as container:
        return set(container.supported_codecs)


def check_gains(*gains_db: float) -> None:
    """ConfigError for a gain in dB that is no number, or beyond what any sound can be told by."""
    for gain in gains_db:
        if not abs(gain) <= MAX_GAIN_DB:
            raise ConfigError(
                f"a gain of {gain:g} dB was given; use a number from -{MAX_GAIN_DB:g} to {MAX_GAIN_DB:g}, such as -6 "
                "for half the amplitude"
            )


def set_audio(
    source: str | os.PathLike[str],
    sound: Tensor | str | os.PathLike[str] | None,
    path: str | os.PathLike[str],
    *,
    sample_rate: int = 48000,
    mode: str = "replace",
    gain_db: float = 0.0,
    original_gain_db: float = 0.0,
    metadata: Mapping[str, Any] | None = None,
    on_pictures: Callable[[int, int], None] | None = None,
) -> Sounded:
    """Writes the film `source` with another sound track to `path`; every packet of its pictures is copied bit for bit.

    `sound` is a waveform [channels, samples] at `sample_rate`, or any file with sound, which is streamed: memory
    does not grow with its length. It begins with the first picture, is cut where the film ends and followed by silence
    where it is shorter. Modes: "replace" the film's sound, "mix" with it (with both gains; a mixture that would clip
    is lowered as a whole), or "remove" it. The sound becomes AAC (Opus in .webm). Other tracks, such as subtitles,
    are not kept. Tags are; `metadata` is added. `on_pictures(done, all)` follows the copying; raising from it cancels,
    and nothing is left. Raises MediaError or ConfigError.
    """
    origin, final = existing(source), Path(path)
    if mode not in MODES:
        raise ConfigError(f"the mode {mode!r} was given; choose from {', '.join(MODES)}")
    check_gains(gain_db, original_gain_db)
    if final.exists() and final.samefile(origin):
        raise MediaError(f"{final} is the film itself and would be overwritten; choose another name")
    check_container(origin, final)
    film = timeline(origin)
    track = None
    if mode != "remove":
        track = _Track(_given(sound), origin, film, final, sample_rate, mode == "mix", gain_db, original_gain_db)
    import av

    with replacing(final) as temporary, opened(origin) as given, codec_errors(final):
        pictures = picture_stream(given, origin)
        clock = picture_clock(film, pictures.time_base) if _changes_into_mp4(given, final) else None
        options = MP4_OPTIONS if final.suffix.lower() in MP4_ENDINGS else {}
        with av.open(address(temporary), mode="w", options=options) as copy:
            _tag(copy, given, metadata)
            target = _like(copy, pictures, clock)
            if track is not None:
                track.open(copy)
            done = 0
            for packet in packets_of(given, pictures, origin):
                if not packet.size:
                    continue
                done += 1
                if on_pictures is not None and (done % TELL_EVERY == 0 or done == film.num_frames):
                    on_pictures(min(done, film.num_frames), film.num_frames)
                if track is not None and packet.dts is not None:
                    track.write_until(packet.dts * pictures.time_base - film.start_seconds + AHEAD_SECONDS)
                if clock is not None:
                    clock.correct(packet)
                packet.stream = target
                copy.mux(packet)
            if track is not None:
                track.finish()
    samples, rate = (0, sample_rate) if track is None else (track.samples, track.rate)
    return Sounded(path=final, film=film, samples=samples, sample_rate=rate)


def copy_movie(
    source: str | os.PathLike[str], path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> Path:
    """Copies a film's pictures and sounds as they are into another file or container; `metadata` is added to its tags.

    An .mp4 made from another container has the exact time stamps that the other one rounded: of pictures at one rate,
    and of AAC and Opus, whose last packet ends with the pictures if they end within it. What FFmpeg does not know, such
    as the spatial sound of phones, is left out.
    """
    import av

    origin, final = existing(source), Path(path)
    with replacing(final) as temporary, opened(origin) as given, codec_errors(final):
        options = {} if final.suffix.lower() == ".mkv" else MP4_OPTIONS
        kept = known_streams(given)
        clocks = _clocks(origin, given) if _changes_into_mp4(given, final) else {}
        with av.open(address(temporary), mode="w", options=options) as copy:
            _tag(copy, given, metadata)
            targets = {stream.index: _like(copy, stream, clocks.get(stream.index)) for stream in kept}
            for packet in packets_of(given, kept, origin):
                if not packet.size:
                    continue
                if packet.stream.index in clocks:
                    clocks[packet.stream.index].correct(packet)
                packet.stream = targets[packet.stream.index]
                copy.mux(packet)
    return final


def _changes_into_mp4(given: Any, final: Path) -> bool:
    """Whether a film that is no MP4 becomes one: only then is there a finer clock, and all else stays to the tick."""
    return final.suffix.lower() in MP4_ENDINGS and "mp4" not in given.format.name.split(",")


def _clocks(origin: Path, given: Any) -> dict[int, PictureClock | SoundClock]:
    """What corrects the time stamps of an open film, by the index of the stream."""
    clocks: dict[int, PictureClock | SoundClock] = {}
    try:
        film, pictures = timeline(origin), picture_stream(given, origin)
    except MediaError:  # a sound alone
        return clocks
    if film.stamped:
        for stream in known_streams(given):
            if stream.type == "audio" and stream.codec.canonical_name in PACKET_SAMPLES:
                samples = stream.codec_context.frame_size or PACKET_SAMPLES[stream.codec.canonical_name]
                clocks[stream.index] = SoundClock(film, stream, samples)
    if clock := picture_clock(film, pictures.time_base):
        clocks[pictures.index] = clock
    return clocks


def _tag(copy: Any, given: Any, metadata: Mapping[str, Any] | None) -> None:
    """Gives the copy the tags of its film and the new ones."""
    for key, value in {**given.metadata, **(metadata or {})}.items():
        copy.metadata[key] = value if isinstance(value, str) else json.dumps(value)


def _like(copy: Any, stream: Any, clock: PictureClock | SoundClock | None) -> Any:
    """A stream of the copy for the packets of this one."""
    target = copy.add_stream_from_template(stream, opaque=True)  # though there be no encoder for them
    rate = stream.average_rate if stream.type == "video" else None
    if isinstance(clock, PictureClock):
        rate, target.time_base = clock.fps, clock.time_base
    if rate:  # else Matroska tells of no picture how long it is shown
        target.codec_context.framerate = rate
    return target


class _Track:
    """The new sound track: blocks of sound that enter the file a little before the pictures they belong to."""

    def __init__(
        self,
        sound: Tensor | Path,
        origin: Path,
        film: Timeline,
        final: Path,
        given_rate: int,
        mixed: bool,
        gain_db: float,
        original_gain_db: float,
    ) -> None:
        self.film, self.opus = film, final.suffix.lower() == ".webm"
        rate, channels = (given_rate, sound.shape[-2]) if isinstance(sound, Tensor) else _track_of(sound)
        original = _original_channels(origin) if mixed else 0
        self.rate = rate if rate in KEPT_RATES and not self.opus else 48000
        self.channels = 1 if max(channels, original) == 1 else 2
        self.samples = film.samples(self.rate)
        options: dict[str, Any] = {"sample_rate": self.rate, "channels": self.channels, "samples": self.samples}
        parts = [(sound, 10 ** (gain_db / 20), {**options, "given_rate": given_rate})]
        if original:
            origin_options = {**options, "origin_seconds": film.start_seconds}
            parts.append((origin, 10 ** (original_gain_db / 20), origin_options))
        self.parts = parts
        self.scale = 1.0
        # Files hold up to full scale, tensors whatever they were computed to.
        if len(parts) > 1 or gain_db > 0 or isinstance(sound, Tensor):
            peak = max(float(block.abs().max()) for block in self._blocks())
            if peak > 1.0:
                self.scale = CEILING / peak
                logger.warning("lowered the sound by %.1f dB: it would have clipped", -20 * math.log10(self.scale))
        self.written = 0

    def open(self, container: Any) -> None:
        layout = "mono" if self.channels == 1 else "stereo"
        self.container = container
        self.stream = container.add_stream("libopus" if self.opus else "aac", rate=self.rate, layout=layout)
        self.stream.bit_rate = 128_000 * self.channels
        self.blocks = self._blocks()

    def write_until(self, seconds: Fraction | float) -> None:
        while self.written < self.samples and self.written < seconds * self.rate:
            self._write(next(self.blocks))

    def finish(self) -> None:
        for block in self.blocks:
            self._write(block)
        self.container.mux(self.stream.encode(None))

    def _write(self, block: Tensor) -> None:
        import av

        layout = "mono" if self.channels == 1 else "stereo"
        samples = (block * self.scale).clamp_(-1.0, 1.0).contiguous().numpy()
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
        frame.pts = self.written + round(self.film.start_seconds * self.rate)
        self.container.mux(self.stream.encode(frame))
        self.written += block.shape[1]

    def _blocks(self) -> Iterator[Tensor]:
        streams = [sound_blocks(sound, **options) for sound, _, options in self.parts]
        gains = [gain for _, gain, _ in self.parts]
        for blocks in zip(*streams, strict=True):
            yield torch.stack([block * gain for block, gain in zip(blocks, gains, strict=True)]).sum(0)


def _given(sound: Tensor | str | os.PathLike[str] | None) -> Tensor | Path:
    """The sound as [channels, samples] or a path; MediaError where there is none."""
    if sound is None:
        raise MediaError("no sound was given, perhaps because its film is silent; give one, or choose the mode remove")
    if not isinstance(sound, Tensor):
        return existing(sound)
    if sound.ndim == 3 and sound.shape[0] == 1:
        sound = sound[0]
    if sound.ndim == 1:
        sound = sound.unsqueeze(0)
    if sound.ndim != 2 or not sound.numel():
        raise MediaError(f"a sound of shape {tuple(sound.shape)} was given; one clip needs [channels, samples]")
    return sound


def _track_of(path: Path) -> tuple[int, int]:
    """Sample rate and channels of a file's first sound track."""
    with reading(path) as container:
        track = first_sound(container)
        if track is None:
            raise MediaError(f"{path} has no sound track; choose a file with sound")
        return track.rate, track.channels


def _original_channels(path: Path) -> int:
    """Channels of a film's own sound; 0 for a silent film."""
    with reading(path) as container:
        track = first_sound(container)
        return 0 if track is None else track.channels
