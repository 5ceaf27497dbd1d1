"""Films: streamed writing and reading through PyAV.

A clip is never held whole: windows of pixels go to the encoder as they come, and frames leave the decoder in windows.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import MediaError, ShapeError
from . import waveform as sound
from .files import (
    MP4_OPTIONS,
    address,
    codec_errors,
    existing,
    first_sound,
    reading,
    replacing,
)
from .formats import ENCODED_ENDINGS, PACKET_SAMPLES
from .frames import from_uint8, to_uint8
from .sound import read_sound
from .timeline import exact_fps, picture_stream
from .upright import Upright

logger = logging.getLogger(__name__)

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # Hz
BT709 = 1  # H.273 code of matrix, primaries and transfer
PIECE = 16  # frames at a time
MAX_SIDE = 16384  # pixels; what H.264 encoders take
MAX_CRF = 51.0


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `write_movie` left on the disk."""

    path: Path
    num_frames: int
    height: int  # pixels, after padding to even sizes
    width: int
    fps: Fraction
    duration_seconds: float


def write_movie(
    windows: Iterable[Tensor] | Tensor,
    path: str | os.PathLike[str],
    fps: float | Fraction,
    waveform: Tensor | None = None,
    sample_rate: int = 48000,
    metadata: Mapping[str, Any] | None = None,
    crf: float = 16.0,
    preset: str = "medium",
) -> Written:
    """Writes an H.264 film (yuv420p, BT.709; .mp4, .mov or .mkv) from windows [3, t, H, W] in [-1, 1].

    `windows` may be one tensor or any iterable; each may have a leading batch axis of 1. Odd sizes are padded by
    one row or column. `waveform` [channels, samples] becomes AAC and is cut to the clip. `metadata` values that are
    not text are stored as JSON; the keys `workflow` and `prompt` are what ComfyUI reads back.
    The file appears under `path` only when it is complete. Raises MediaError or ShapeError.
    """
    rate = exact_fps(fps)
    final = Path(path)
    if final.suffix.lower() not in ENCODED_ENDINGS:
        raise MediaError(f"{final.name}: films are written as {', '.join(ENCODED_ENDINGS)}; change the file's ending")
    if not isinstance(crf, Real) or not 0 <= crf <= MAX_CRF:
        raise MediaError(f"crf is {crf!r}; give a number from 0 (the best picture) to {MAX_CRF:g} (the smallest file)")
    if isinstance(windows, Tensor):
        windows = windows.split(PIECE, dim=-3) if windows.ndim > 3 else [windows]
    with replacing(final) as temporary, codec_errors(final):
        writer = _Writer(temporary, rate, metadata or {}, crf, preset)
        try:
            if waveform is not None:
                writer.add_sound(waveform, sample_rate)
            for window in windows:
                writer.write(window)
                del window  # it need not wait in memory while the next one is made
            writer.finish()
        except BaseException:
            # The first error is the one to tell: closing a broken file often raises another.
            with suppress(Exception):
                writer.container.close()
            raise
        writer.container.close()
    return Written(
        path=final,
        num_frames=writer.num_frames,
        height=writer.height,
        width=writer.width,
        fps=rate,
        duration_seconds=float(writer.num_frames / rate),
    )


class _Writer:
    """The open file: one H.264 stream, at most one AAC stream, both advanced together."""

    def __init__(self, path: Path, rate: Fraction, metadata: Mapping[str, Any], crf: float, preset: str) -> None:
        import av

        options = {} if path.suffix.lower() == ".mkv" else MP4_OPTIONS
        self.container = av.open(address(path), mode="w", options=options)
        for key, value in metadata.items():
            self.container.metadata[key] = value if isinstance(value, str) else json.dumps(value)
        self.rate = rate
        self.video: Any = self.container.add_stream("libx264", rate=rate)
        self.video.pix_fmt = "yuv420p"
        self.video.options = {"crf": f"{crf:g}", "preset": preset}
        codec = self.video.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = 1  # limited, as every player expects of H.264
        self.audio: Any = None
        self.num_frames = self.height = self.width = 0
        self.source_size: tuple[int, int] | None = None
        self.samples_written = 0

    def add_sound(self, waveform: Tensor, sample_rate: int) -> None:
        samples = sound.checked(waveform, sample_rate)
        samples = sound.to_mono(samples) if samples.shape[0] == 1 else sound.to_stereo(samples)
        if sample_rate not in AAC_RATES:
            logger.info("resampled the sound from %d to 48000 Hz, which AAC can hold", sample_rate)
            samples, sample_rate = sound.resample(samples, sample_rate, 48000), 48000
        layout = "mono" if samples.shape[0] == 1 else "stereo"
        self.audio = self.container.add_stream("aac", rate=sample_rate, layout=layout)
        self.audio.bit_rate = 96_000 * samples.shape[0]
        self.samples, self.sample_rate, self.layout = samples, sample_rate, layout

    def write(self, window: Tensor) -> None:
        import av
        from av.video.reformatter import ColorRange, Colorspace

        if window.ndim == 5 and window.shape[0] == 1:
            window = window[0]
        if window.ndim != 4 or window.shape[0] != 3:
            raise ShapeError(f"a window of shape {tuple(window.shape)} was given; a film needs [3, frames, H, W]")
        if self.source_size is None:
            self._set_size(window.shape[2], window.shape[3])
        elif self.source_size != tuple(window.shape[2:]):
            raise ShapeError(
                f"a window of {window.shape[2]} x {window.shape[3]} pixels follows windows of "
                f"{self.source_size[0]} x {self.source_size[1]}; all windows of a film need one size"
            )
        for frame in self._even(to_uint8(window)).numpy():
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
            picture.pts, picture.time_base = self.num_frames, 1 / self.rate
            self.container.mux(self.video.encode(picture))
            self.num_frames += 1
        self._write_sound()

    def finish(self) -> None:
        if not self.num_frames:
            raise MediaError("the film has no frames; give at least one window with one frame")
        if self.audio is not None and self.samples_written < self.samples.shape[1]:
            logger.info(
                "cut the sound from %.3f s to the %.3f s of the film",
                self.samples.shape[1] / self.sample_rate,
                self.num_frames / self.rate,
            )
        self.container.mux(self.video.encode(None))
        if self.audio is not None:
            self.container.mux(self.audio.encode(None))

    def _set_size(self, height: int, width: int) -> None:
        if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
            raise ShapeError(f"frames of {height} x {width} pixels were given; a film takes 1 to {MAX_SIDE} a side")
        self.source_size = (height, width)
        self.height, self.width = height + height % 2, width + width % 2
        if (self.height, self.width) != (height, width):
            logger.info(
                "padded the frames from %d x %d to %d x %d: H.264 needs even sizes",
                height,
                width,
                self.height,
                self.width,
            )
        self.video.height, self.video.width = self.height, self.width

    def _even(self, frames: Tensor) -> Tensor:
        rows, columns = self.height - frames.shape[1], self.width - frames.shape[2]
        if not rows and not columns:
            return frames
        channels_first = frames.movedim(-1, 1).float()
        padded = functional.pad(channels_first, (0, columns, 0, rows), mode="replicate")
        return padded.movedim(1, -1).to(torch.uint8).contiguous()

    def _write_sound(self) -> None:
        """Sends the sound that belongs to the frames written so far, so that the muxer never queues much of either."""
        if self.audio is None:
            return
        import av

        end = min(self.samples.shape[1], round(self.num_frames / self.rate * self.sample_rate))
        for start in range(self.samples_written, end, PACKET_SAMPLES["aac"]):
            stop = min(start + PACKET_SAMPLES["aac"], end)
            frame = av.AudioFrame.from_ndarray(self.samples[:, start:stop].numpy(), format="fltp", layout=self.layout)
            frame.sample_rate, frame.pts, frame.time_base = self.sample_rate, start, Fraction(1, self.sample_rate)
            self.container.mux(self.audio.encode(frame))
        self.samples_written = max(self.samples_written, end)


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A film on the disk; nothing but its header is read until frames or sound are asked for."""

    path: Path
    fps: Fraction
    num_frames: int  # as the header says; the stream itself may hold a few more or fewer
    height: int  # pixels, as shown: turned, and square
    width: int
    sample_rate: int | None  # Hz; None for a silent film
    metadata: dict[str, Any] = field(default_factory=dict)  # JSON values decoded

    @property
    def duration_seconds(self) -> float:
        """Frames over frames a second."""
        return float(self.num_frames / self.fps)

    def windows(self, window_frames: int = PIECE) -> Iterator[Tensor]:
        """Pixels [3, t, H, W] in [-1, 1], t <= `window_frames`; at most one window is in memory."""
        kept: list[Any] = []
        with reading(self.path) as container:
            stream = picture_stream(container, self.path)
            stream.thread_type = "AUTO"
            upright = Upright(stream)
            for frame in container.decode(stream):
                kept.append(upright(frame))
                if len(kept) == window_frames:
                    yield from_uint8(torch.stack(kept))
                    kept = []
        if kept:
            yield from_uint8(torch.stack(kept))

    def pixels(self) -> Tensor:
        """The whole film [3, T, H, W] in [-1, 1] (12 bytes a pixel and frame: prefer `windows` for long ones).

        MediaError for a film without readable frames.
        """
        windows = list(self.windows(64))
        if not windows:
            raise MediaError(f"{self.path} holds no readable frame; choose another film")
        return torch.cat(windows, dim=1)

    @cached_property
    def waveform(self) -> Tensor | None:
        """Sound [channels, samples] at `sample_rate` from the first picture on, or None for a silent film."""
        return None if self.sample_rate is None else read_sound(self.path)[0]


def read_movie(path: str | os.PathLike[str]) -> Movie:
    """Opens any film FFmpeg understands; MediaError when it is missing, damaged or holds no pictures."""
    source = existing(path)
    with reading(source) as container:
        stream = picture_stream(container, source)
        fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        first = next(container.decode(stream), None)
        if first is None:
            raise MediaError(f"{source} holds no readable frame; it may be cut off: write or copy it again")
        seconds: Fraction | float = 0
        if stream.duration is not None and stream.time_base is not None:
            seconds = stream.duration * stream.time_base
        elif container.duration is not None:
            seconds = container.duration / 1_000_000
        height, width = Upright(stream).shape(first)
        audio = first_sound(container)
        return Movie(
            path=source,
            fps=fps,
            num_frames=stream.frames or max(1, round(seconds * fps)),
            height=height,
            width=width,
            sample_rate=None if audio is None else audio.rate,
            metadata={key: _decoded(value) for key, value in container.metadata.items()},
        )


def _decoded(value: str) -> Any:
    """Tags that hold JSON objects or lists come back as such; every other text stays as it is."""
    if value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
