"""Sound files through PyAV."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import MediaError
from . import waveform as waveforms
from .files import address, codec_errors, existing, first_sound, reading, replacing
from .timeline import pictures_start

# Seconds between two frames that are a hole in a track; less is a rounded time stamp, more a clock that was set anew.
GAPS = (Fraction(1, 20), Fraction(3600))
BLOCK = 1 << 14  # samples that are in memory at a time while a sound is streamed


def read_sound(path: str | os.PathLike[str], *, most_seconds: float | None = None) -> tuple[Tensor, int]:
    """The first sound track of any file: (waveform [channels, samples] in [-1, 1], sample_rate in Hz).

    Of a film it begins with the first picture: a track that starts later is led in by silence, one that starts earlier
    is cut. Of a file that is longer than `most_seconds` the rest is neither read nor kept.
    """
    source = existing(path)
    with reading(source) as container:
        stream = _track(container, source)
        rate, channels = stream.rate, stream.channels
        frames, seconds = _started(container, stream, source)
        most = math.inf if most_seconds is None else round(most_seconds * rate)
        lead = round(min(seconds * rate, most))
        pieces: list[Tensor] = []
        held = longest = 0
        for piece in _pieces(frames, channels, rate):
            pieces.append(piece)
            held += piece.shape[1]
            longest = max(longest, piece.shape[1])
            if held >= most - lead:
                break
        length = None if held < most - lead else int(most) - lead
        if length is None and stream.duration is not None and stream.time_base is not None:
            stated = round(stream.duration * stream.time_base * rate)
            # AAC fills its last frame with silence. What is longer by more has a length guessed from its bit rate.
            length = stated if stated > held - longest else None
    if not pieces:
        return torch.zeros(channels, 0), rate
    sound = torch.cat(pieces, dim=1)[:, :length]
    return functional.pad(sound, (max(lead, -sound.shape[1]), 0)), rate


def sound_blocks(
    sound: Tensor | str | os.PathLike[str],
    *,
    sample_rate: int,
    channels: int,
    samples: int,
    given_rate: int = 48000,
    origin_seconds: Fraction | None = None,
) -> Iterator[Tensor]:
    """Streams exactly `samples` of a sound as blocks [channels, up to BLOCK] at `sample_rate`, in bounded memory.

    `sound` is a waveform [C, S] at `given_rate`, or any file with sound, whose clock is read from `origin_seconds` on;
    without them from where `read_sound` begins. What is too long is cut, what is missing is silence. `channels` is 1
    or 2.
    """
    if isinstance(sound, Tensor):
        pieces = _pieces(_tensor_frames(sound, given_rate, channels), channels, sample_rate)
    else:
        pieces = _file_pieces(existing(sound), channels, sample_rate, origin_seconds)
    with closing(pieces):
        yield from _sized(pieces, channels, samples)


def _tensor_frames(waveform: Tensor, rate: int, channels: int) -> Iterator[Any]:
    import av

    for start in range(0, waveform.shape[-1], BLOCK):
        piece = _mapped(waveforms.checked(waveform[..., start : start + BLOCK], rate, clip=False), channels)
        layout = "mono" if channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(piece.contiguous().numpy(), format="fltp", layout=layout)
        frame.sample_rate = rate
        yield frame


def _file_pieces(path: Path, channels: int, rate: int, origin: Fraction | None) -> Generator[Tensor, None, None]:
    """Pieces [channels, samples] of any size that begin at `origin`."""
    with reading(path) as container:
        frames, seconds = _started(container, _track(container, path), path, origin)
        lead = round(seconds * rate)
        for start in range(0, lead, BLOCK):
            yield torch.zeros(channels, min(BLOCK, lead - start))
        drop = max(0, -lead)
        for piece in _pieces(frames, channels, rate):
            skipped = min(drop, piece.shape[1])
            drop -= skipped
            yield piece[:, skipped:]


def _track(container: Any, path: Path) -> Any:
    """The first sound track of an open file."""
    track = first_sound(container)
    if track is None:
        raise MediaError(f"{path} has no sound track; choose a file with sound")
    return track


def _started(container: Any, stream: Any, path: Path, origin: Fraction | None = None) -> tuple[Iterator[Any], Fraction]:
    """A track's decoded frames, and the seconds from `origin` (None: its first picture) to the first of them."""
    frames = container.decode(stream)
    first = next(frames, None)
    if origin is None and container.streams.video:
        origin = pictures_start(path)
    lead = Fraction(0)
    if first is not None and first.pts is not None and origin is not None:
        lead = first.pts * (first.time_base or Fraction(1, first.sample_rate)) - origin
    return chain([] if first is None else [first], frames), lead


def _pieces(frames: Iterable[Any], channels: int, rate: int) -> Generator[Tensor, None, None]:
    """Decoded frames -> pieces [channels, samples] of any size at `rate` Hz; holes between them are silence."""
    import av

    resampler: Any = None
    setup: tuple[str, int, str] | None = None
    due: Fraction | None = None  # when the next frame is to begin
    for frame in frames:
        now = frame.layout.name, frame.sample_rate, frame.format.name
        begun = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
        gap = Fraction(0) if begun is None or due is None else begun - due
        due = None if begun is None else begun + Fraction(frame.samples, frame.sample_rate)
        missing = round(gap * rate) if GAPS[0] < gap < GAPS[1] else 0
        if now != setup or missing:  # at the start, where a broadcast changes on its way, and round what it lost
            if resampler is not None:
                yield from _floats(resampler.resample(None), channels)
            for start in range(0, missing, BLOCK):
                yield torch.zeros(channels, min(BLOCK, missing - start))
            # Without a layout: FFmpeg's own mixtures of channels are louder or softer than ours, and may clip.
            # Packed, not by channel: PyAV counts one plane too many where there are eight.
            resampler, setup = av.AudioResampler(format="flt", rate=rate), now
        frame.pts = None  # the resampler wants an unbroken clock
        yield from _floats(resampler.resample(frame), channels)
    if resampler is not None:
        yield from _floats(resampler.resample(None), channels)


def _floats(frames: Iterable[Any], channels: int) -> Iterator[Tensor]:
    for frame in frames:
        packed = torch.from_numpy(frame.to_ndarray())
        yield _mapped(packed.view(-1, frame.layout.nb_channels).T, channels)


def _mapped(piece: Tensor, channels: int) -> Tensor:
    """[C, S] -> [channels, S]; all but the first two of more channels stay silent."""
    if piece.shape[0] == channels:
        return piece
    if channels == 1:
        return waveforms.to_mono(piece)
    return functional.pad(waveforms.to_stereo(piece), (0, 0, 0, channels - 2))


def _sized(pieces: Iterable[Tensor], channels: int, samples: int) -> Iterator[Tensor]:
    """Pieces of any size -> blocks of BLOCK samples, cut or filled with silence to `samples` in all."""
    kept, given = torch.zeros(channels, 0), 0
    for piece in pieces:
        kept = torch.cat([kept, piece.nan_to_num(0.0)], dim=1)
        while kept.shape[1] >= BLOCK and given + BLOCK <= samples:
            yield kept[:, :BLOCK]
            kept, given = kept[:, BLOCK:], given + BLOCK
        if given + kept.shape[1] >= samples:
            break
    while given < samples:
        size = min(BLOCK, samples - given)
        block = torch.zeros(channels, size)
        part = kept[:, :size]
        block[:, : part.shape[1]] = part
        yield block
        kept, given = kept[:, size:], given + size


def write_sound(
    waveform: Tensor, sample_rate: int, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> Path:
    """Writes [channels, samples] as .flac or .wav (16 bit), mono or stereo; whole or not at all.

    MediaError for another ending.
    """
    import av

    final = Path(path)
    codecs = {".flac": ("flac", "s16"), ".wav": ("pcm_s16le", "s16")}
    if final.suffix.lower() not in codecs:
        raise MediaError(f"{final.name}: sounds are written as .flac or .wav; change the file's ending")
    samples = waveforms.checked(waveform, sample_rate)
    samples = samples if samples.shape[0] <= 2 else waveforms.to_stereo(samples)
    codec, format = codecs[final.suffix.lower()]
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    packed = samples.mul(32767).round().to(torch.int16).t().reshape(1, -1).numpy()
    with replacing(final) as temporary, codec_errors(final), av.open(address(temporary), mode="w") as container:
        for key, value in (metadata or {}).items():
            container.metadata[key] = value if isinstance(value, str) else json.dumps(value)
        stream: Any = container.add_stream(codec, rate=sample_rate, layout=layout)
        stream.format = format
        step = 4096 * samples.shape[0]
        for start in range(0, packed.shape[1], step):
            frame = av.AudioFrame.from_ndarray(packed[:, start : start + step], format="s16", layout=layout)
            frame.sample_rate, frame.pts = sample_rate, start // samples.shape[0]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return final
