"""Sound files through PyAV."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MediaError
from . import waveform as waveforms
from .files import codec_errors, existing, replacing

BLOCK = 1 << 14  # samples that are in memory at a time while a sound is streamed


def read_sound(path: str | os.PathLike[str], *, most_seconds: float | None = None) -> tuple[Tensor, int]:
    """The first sound track of any file: (waveform [channels, samples] in [-1, 1], sample_rate in Hz).

    Of a file that is longer than `most_seconds` the rest is neither read nor kept.
    """
    import av

    source = existing(path)
    with codec_errors(source, reading=True), av.open(str(source)) as container:
        if not container.streams.audio:
            raise MediaError(f"{source} has no sound track; choose a file with sound")
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
        # Packed, not by channel: PyAV counts one plane too many where there are eight.
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
        most = math.inf if most_seconds is None else round(most_seconds * rate)
        pieces: list[Tensor] = []
        held = longest = 0
        for frame in container.decode(stream):
            for piece in resampler.resample(frame):
                pieces.append(torch.from_numpy(piece.to_ndarray()).view(-1, channels).T)
                held += pieces[-1].shape[1]
            longest = max(longest, frame.samples)
            if held >= most:
                break
        length = None if held < most else int(most)
        if length is None and stream.duration is not None and stream.time_base is not None:
            stated = round(stream.duration * stream.time_base * rate)
            # AAC fills its last frame with silence. What is longer by more has a length guessed from its bit rate.
            length = stated if stated > held - longest else None
    if not pieces:
        return torch.zeros(channels, 0), rate
    return torch.cat(pieces, dim=1)[:, :length].clone(), rate


def sound_blocks(
    sound: Tensor | str | os.PathLike[str],
    *,
    sample_rate: int,
    channels: int,
    samples: int,
    given_rate: int = 48000,
    origin_seconds: Fraction | int = 0,
) -> Iterator[Tensor]:
    """Streams exactly `samples` of a sound as blocks [channels, up to BLOCK] at `sample_rate`, in bounded memory.

    `sound` is a waveform [C, S] at `given_rate`, or any file with sound, whose clock is read from `origin_seconds` on.
    What is too long is cut, what is missing is silence. `channels` is 1 or 2.
    """
    import av

    layout = "mono" if channels == 1 else "stereo"
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=sample_rate)
    if isinstance(sound, Tensor):
        frames = _tensor_frames(sound, given_rate, channels)
    else:
        frames = _file_frames(existing(sound), origin_seconds)
    with closing(frames):
        pieces = _resampled(frames, resampler, channels)
        with closing(pieces):
            yield from _sized(pieces, channels, samples)


def _tensor_frames(waveform: Tensor, rate: int, channels: int) -> Generator[tuple[Any, Fraction], None, None]:
    import av

    for start in range(0, waveform.shape[-1], BLOCK):
        piece = waveforms.checked(waveform[..., start : start + BLOCK], rate)
        piece = waveforms.to_mono(piece) if channels == 1 else waveforms.to_stereo(piece)
        layout = "mono" if channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(piece.contiguous().numpy(), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame, Fraction(0)


def _file_frames(path: Path, origin: Fraction | int) -> Generator[tuple[Any, Fraction], None, None]:
    """Decoded frames, each with the time in seconds at which the first of them sounds after `origin`."""
    import av

    with codec_errors(path, reading=True), av.open(str(path)) as container:
        if not container.streams.audio:
            raise MediaError(f"{path} has no sound track; choose a file with sound")
        lead: Fraction | None = None
        for frame in container.decode(container.streams.audio[0]):
            if lead is None:
                clock = frame.time_base or Fraction(1, frame.sample_rate)
                lead = Fraction(0) if frame.pts is None else frame.pts * clock - origin
            # The resampler wants an unbroken clock; the first time stamp is kept in `lead`.
            frame.pts = None
            yield frame, lead


def _resampled(frames: Iterator[tuple[Any, Fraction]], resampler: Any, channels: int) -> Generator[Tensor, None, None]:
    """Pieces of any size that begin at the clip's first sample."""
    drop: int | None = None
    for frame, lead in frames:
        if drop is None:
            drop = -round(lead * resampler.rate)
            for start in range(0, -drop, BLOCK):
                yield torch.zeros(channels, min(BLOCK, -drop - start))
        for given in resampler.resample(frame):
            piece = torch.from_numpy(given.to_ndarray())
            skipped = min(max(0, drop), piece.shape[1])
            drop -= skipped
            yield piece[:, skipped:]
    if drop is not None:
        for given in resampler.resample(None):
            yield torch.from_numpy(given.to_ndarray())[:, max(0, drop) :]


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
    """Writes [channels, samples] as .flac or .wav (16 bit), mono or stereo; whole or not at all."""
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
    with replacing(final) as temporary, codec_errors(final), av.open(str(temporary), mode="w") as container:
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
