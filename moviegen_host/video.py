"""VIDEO sockets: a film on the disk or its parts in memory, with the methods nodes call on either."""

from __future__ import annotations

import io
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import session as sessions
from .errors import HostError

WRITE_FRAMES = 16  # frames that are converted at a time


class VideoContainer(str, Enum):
    """File formats of a film."""

    AUTO = "auto"
    MP4 = "mp4"
    MKV = "mkv"
    WEBM = "webm"

    @classmethod
    def as_input(cls) -> list[str]:
        """The names, for a combo."""
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        """File ending without the dot."""
        name = cls(value)
        return "mp4" if name is cls.AUTO else name.value


class VideoCodec(str, Enum):
    """Picture codecs of a film."""

    AUTO = "auto"
    H264 = "h264"
    AV1 = "av1"

    @classmethod
    def as_input(cls) -> list[str]:
        """The names, for a combo."""
        return [member.value for member in cls]


@dataclass
class VideoComponents:
    """images [T, H, W, C] in 0..1, frame rate, and AUDIO {"waveform" [1, C, S], "sample_rate"} or None."""

    images: Any
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    alpha: Any = None


class VideoInput(ABC):
    """What every VIDEO can do; subclass it for films that come from elsewhere."""

    @abstractmethod
    def get_components(self) -> VideoComponents:
        """The whole film in memory."""

    @abstractmethod
    def save_to(
        self,
        path: Any,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Writes the film to a path; `crf` may be among the options."""

    def get_dimensions(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        images = self.get_components().images
        return images.shape[2], images.shape[1]

    def get_frame_count(self) -> int:
        """Number of frames."""
        return len(self.get_components().images)

    def get_frame_rate(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.get_components().frame_rate)

    def get_duration(self) -> float:
        """Seconds."""
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_bit_depth(self) -> int:
        """Bits a channel."""
        return 8

    def get_color_space(self) -> str:
        """Name of the colours' meaning."""
        return "sRGB"

    def get_stream_source(self) -> Any:
        """Path or buffer of a file that holds the film."""
        buffer = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            self.save_to(path)
            buffer.write(path.read_bytes())
        buffer.seek(0)
        return buffer


class VideoFromComponents(VideoInput):
    """A film held in memory."""

    def __init__(self, components: VideoComponents, bit_depth: int = 8) -> None:
        self._components = components
        self._bit_depth = bit_depth

    def get_components(self) -> VideoComponents:
        return self._components

    def get_bit_depth(self) -> int:
        return self._bit_depth

    def save_to(
        self,
        path: Any,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        from moviegen_core.media.movie import write_movie

        _refuse_unwritable(format, codec)
        parts = self._components
        audio = parts.audio
        quality: dict[str, Any] = {} if options.get("crf") is None else {"crf": float(options["crf"])}
        write_movie(
            self._windows(),
            path,
            parts.frame_rate,
            waveform=None if audio is None else audio["waveform"][0],
            sample_rate=48000 if audio is None else int(audio["sample_rate"]),
            metadata=metadata,
            **quality,
        )

    def _windows(self) -> Iterator[Any]:
        images = self._components.images
        for start in range(0, len(images), WRITE_FRAMES):
            sessions.current().check_cancelled()
            window = images[start : start + WRITE_FRAMES, ..., :3]
            yield window.movedim(-1, 0).float() * 2 - 1


class VideoFromFile(VideoInput):
    """A film on the disk (path) or in a buffer."""

    def __init__(self, file: str | Path | io.BytesIO) -> None:
        self._buffered: Any = None
        if isinstance(file, io.BytesIO):
            self._buffered = tempfile.NamedTemporaryFile(suffix=".mp4")  # noqa: SIM115
            self._buffered.write(file.getbuffer())
            self._buffered.flush()
            self._path = Path(self._buffered.name)
        else:
            self._path = Path(file)

    def get_components(self) -> VideoComponents:
        movie = self._movie()
        waveform = movie.waveform
        return VideoComponents(
            images=movie.pixels().movedim(0, -1).add_(1).div_(2).contiguous(),
            frame_rate=movie.fps,
            audio=None if waveform is None else {"waveform": waveform.unsqueeze(0), "sample_rate": movie.sample_rate},
            metadata=movie.metadata,
        )

    def get_dimensions(self) -> tuple[int, int]:
        movie = self._movie()
        return movie.width, movie.height

    def get_frame_count(self) -> int:
        return self._movie().num_frames

    def get_frame_rate(self) -> Fraction:
        return self._movie().fps

    def get_stream_source(self) -> Any:
        return str(self._path)

    def save_to(
        self,
        path: Any,
        format: VideoContainer = VideoContainer.AUTO,
        codec: VideoCodec = VideoCodec.AUTO,
        metadata: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        from moviegen_core.media.movie import copy_movie

        _refuse_unwritable(format, codec)
        wanted = VideoCodec(codec)
        if options.get("crf") is not None or (wanted is not VideoCodec.AUTO and self._codec() != wanted.value):
            VideoFromComponents(self.get_components()).save_to(path, format, codec, metadata, **options)
        else:
            copy_movie(self._path, path, metadata)

    def _codec(self) -> str:
        """FFmpeg's name of the codec of the pictures."""
        import av

        from moviegen_core.media.files import codec_errors
        from moviegen_core.media.timeline import picture_stream

        source = self._movie().path
        with codec_errors(source, reading=True), av.open(str(source)) as container:
            return picture_stream(container, source).codec.canonical_name

    def _movie(self) -> Any:
        from moviegen_core.media.movie import read_movie

        return read_movie(self._path)


def _refuse_unwritable(format: VideoContainer, codec: VideoCodec) -> None:
    if VideoContainer(format) is VideoContainer.WEBM or VideoCodec(codec) is VideoCodec.AV1:
        raise HostError(
            f"a film as {VideoContainer(format).value} with {VideoCodec(codec).value} needs ComfyUI; "
            "here choose the format mp4 or mkv and the codec h264"
        )
