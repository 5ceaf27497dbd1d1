"""VIDEO sockets: a film on the disk or its parts in memory, with the methods nodes call on either."""

from __future__ import annotations

import contextlib
import io
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from . import session as sessions
from .errors import HostError

WRITE_FRAMES = 16  # frames that are converted at a time
FRAME_BYTES = 2 * 12  # of memory a pixel and frame while a film is loaded: float32 RGB, twice while it is put together


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
        """Writes the film to a path; `crf`, `color_space` and `bit_depth` may be among the options."""

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
        refuse_unwritable(format, codec, **{"bit_depth": self._bit_depth, **options})
        parts = self._components
        images, audio = parts.images, parts.audio
        windows = (
            images[start : start + WRITE_FRAMES, ..., :3].movedim(-1, 0).float() * 2 - 1
            for start in range(0, len(images), WRITE_FRAMES)
        )
        sound = (None, 48000) if audio is None else (audio["waveform"][0], int(audio["sample_rate"]))
        _write(windows, path, parts.frame_rate, sound, metadata, options.get("crf"))


class _Film:
    """A temporary film on the disk, removed with this object."""

    def __init__(self, path: Path) -> None:
        _films[path] = self
        weakref.finalize(self, self._remove, path)

    @staticmethod
    def _remove(path: Path) -> None:
        _temporary.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()


_temporary: set[Path] = set()
_films: weakref.WeakValueDictionary[Path, _Film] = weakref.WeakValueDictionary()  # those that a VIDEO reads


class VideoFromFile(VideoInput):
    """A film on the disk (path) or in a buffer."""

    @staticmethod
    def temporary(path: Path) -> Path:
        """The same path, now that of a film that is removed with the last VIDEO that reads it."""
        _temporary.add(path)
        return path

    def __init__(self, file: str | Path | io.BytesIO) -> None:
        self._buffered: Any = None
        self._film: _Film | None = None
        if isinstance(file, io.BytesIO):
            self._buffered = tempfile.NamedTemporaryFile(suffix=".mp4")  # noqa: SIM115
            self._buffered.write(file.getbuffer())
            self._buffered.flush()
            self._path = Path(self._buffered.name)
        else:
            self._path = Path(file)
            if self._path in _temporary:
                self._film = _films.get(self._path) or _Film(self._path)

    def get_components(self) -> VideoComponents:
        import torch

        clip, movie = self._clip, self._movie()
        _refuse_too_large(clip, self._path.name)
        sound = movie.waveform
        images = [window.movedim(0, -1).add(1).div_(2) for window in clip.at(clip.fps, clip.num_frames)]
        return VideoComponents(
            images=torch.cat(images),
            frame_rate=clip.fps,
            audio=None if sound is None else {"waveform": sound.unsqueeze(0), "sample_rate": clip.sample_rate},
            metadata=movie.metadata,
        )

    def get_dimensions(self) -> tuple[int, int]:
        movie = self._movie()
        return movie.width, movie.height

    def get_frame_count(self) -> int:
        return self._clip.num_frames

    def get_frame_rate(self) -> Fraction:
        return self._clip.fps

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
        from moviegen_core.media.mux import can_copy, copy_movie
        from moviegen_core.media.upright import is_hdr

        refuse_unwritable(format, codec, **options)
        wanted = VideoCodec(codec)
        fits = options.get("crf") is None and can_copy(self._path, path)
        if fits and (wanted is VideoCodec.AUTO or self._codec() == wanted.value):
            copy_movie(self._path, path, metadata)
            return
        if is_hdr(self._path):
            raise HostError(
                f"{self._path.name} is HDR, and encoding it anew needs ComfyUI; here choose the codec auto, "
                "which copies it"
            )
        clip = self._clip
        sound = (self._movie().waveform, clip.sample_rate)
        _write(clip.at(clip.fps, clip.num_frames), path, clip.fps, sound, metadata, options.get("crf"))

    def _codec(self) -> str:
        """FFmpeg's name of the codec of the pictures."""
        from moviegen_core.media.files import existing, opened
        from moviegen_core.media.timeline import picture_stream

        source = existing(self._path)
        with opened(source) as container:
            return picture_stream(container, source).codec.canonical_name

    @cached_property
    def _clip(self) -> Any:
        """The film at an even rate, without its sound; every packet is read for it, once."""
        from moviegen_core.media.join import clip_of

        return clip_of(self._path, sound=False)

    def _movie(self) -> Any:
        from moviegen_core.media.movie import read_movie

        return read_movie(self._path)


def refuse_unwritable(
    format: VideoContainer = VideoContainer.AUTO,
    codec: VideoCodec = VideoCodec.AUTO,
    *,
    color_space: str | None = None,
    bit_depth: int | None = None,
    **_: Any,
) -> None:
    """HostError when `save_to` is asked for what it cannot write: here films are H.264 of 8 bits in BT.709."""
    if VideoContainer(format) is VideoContainer.WEBM or VideoCodec(codec) is VideoCodec.AV1:
        raise HostError(
            f"a film as {VideoContainer(format).value} with {VideoCodec(codec).value} needs ComfyUI; "
            "here choose the format mp4 or mkv and the codec h264"
        )
    if color_space not in (None, "auto", "sRGB"):
        raise HostError(f"a film in the colours {color_space} needs ComfyUI; here choose the color_space auto or sRGB")
    if bit_depth not in (None, 8):
        raise HostError(f"a film of {bit_depth} bits a colour needs ComfyUI; here set bit_depth to 8")


def _write(
    windows: Iterable[Any],
    path: Any,
    fps: Fraction,
    sound: tuple[Any, int],
    metadata: dict[str, Any] | None,
    crf: float | None,
) -> None:
    """Windows [3, t, H, W] in [-1, 1] and (waveform or None, sample rate) -> a film; stops when the run is stopped."""
    from moviegen_core.media.movie import write_movie

    def watched() -> Iterator[Any]:
        for window in windows:
            sessions.current().check_cancelled()
            yield window

    quality: dict[str, Any] = {} if crf is None else {"crf": float(crf)}
    write_movie(watched(), path, fps, *sound, metadata=metadata, **quality)


def _refuse_too_large(clip: Any, name: str) -> None:
    """MediaError when a film's frames do not fit into the memory that is free; none has been decoded."""
    from moviegen_core.errors import MediaError
    from moviegen_core.memory import memory_bytes

    _, free = memory_bytes()
    needed = clip.num_frames * clip.height * clip.width * FRAME_BYTES
    if free and needed > free:
        raise MediaError(
            f"the {clip.num_frames} frames of {clip.width} x {clip.height} pixels of {name} need "
            f"{needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free; use a shorter or smaller film, "
            "or nodes that take the VIDEO itself and read it piece by piece"
        )
