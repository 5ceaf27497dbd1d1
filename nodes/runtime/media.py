"""AUDIO and VIDEO of any origin -> waveforms, files and lengths, as the core takes them; IMAGE is in nodes/convert.py.

Shape letters: B batch, C channels, S samples.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from moviegen_core.errors import MediaError, ShapeError
from moviegen_core.media.timeline import frames_seconds, timeline

from ..sockets import InputImpl
from . import host

_copies: WeakKeyDictionary[io.BytesIO, Path] = WeakKeyDictionary()  # of films in memory, for what reads files


def as_audio(waveform: Tensor, sample_rate: int) -> dict[str, Any]:
    """Sounds [B, C, S] -> AUDIO."""
    return {"waveform": waveform, "sample_rate": sample_rate}


def sounds(audio: Any) -> tuple[Tensor, int]:
    """AUDIO -> float32 [B, C, S] on the CPU without invalid samples, and its rate; MediaError for no sound at all."""
    if audio is None:
        raise MediaError("there is no sound: the video it comes from may be silent; connect another AUDIO")
    waveform, rate = audio["waveform"], int(audio["sample_rate"])
    if waveform.ndim == 2:
        waveform = waveform.unsqueeze(0)
    if waveform.ndim != 3 or not waveform.shape[0] * waveform.shape[1]:
        raise ShapeError(f"a sound of shape {tuple(waveform.shape)} was given; AUDIO holds [batch, channels, samples]")
    if not waveform.shape[2]:
        raise MediaError("the sound is empty (0 samples); give one that lasts longer than 0 seconds")
    return waveform.detach().float().cpu().nan_to_num(0.0, 0.0, 0.0), rate


def single(audio: Any) -> tuple[Tensor, int]:
    """AUDIO of one sound -> float32 [C, S] without invalid samples, and its rate."""
    waveform, rate = sounds(audio)
    if len(waveform) > 1:
        raise ShapeError(f"a batch of {len(waveform)} sounds was given; one video takes one: mix or pick one before")
    return waveform[0], rate


def whole_file(video: Any, trimmed: bool = False) -> Path | None:
    """The file that holds exactly this VIDEO; None for one in memory or, unless `trimmed`, cut out of a file."""
    if not isinstance(video, InputImpl.VideoFromFile) or (any(trim(video)) and not trimmed):
        return None
    source = video.get_stream_source()
    if isinstance(source, io.BytesIO):
        path = _copies.get(source)
        if path is None or not path.exists():
            path = host.temporary_file(".mp4")
            path.write_bytes(source.getbuffer())
            _copies[source] = path
        return path
    return Path(source)


def trim(video: Any) -> tuple[float, float]:
    """Start and length in seconds of a cut-out VIDEO, zeros for a whole one."""
    if hasattr(video, "get_active_trim_window"):
        return video.get_active_trim_window()
    # ComfyUI before that method keeps them private; there is no other way to know.
    start = getattr(video, "_VideoFromFile__start_time", 0.0)
    if start < 0:  # counted from the end
        start = max(0.0, InputImpl.VideoFromFile(video.get_stream_source()).get_duration() + start)
    return start, getattr(video, "_VideoFromFile__duration", 0.0)


def clip_seconds(video: Any, images: Any, fps: float, seconds: float) -> Fraction | float:
    """Exact length of the clip that a sound shall fit."""
    if video is not None:
        source = whole_file(video)
        if source is not None:
            return timeline(source).seconds
        if isinstance(video, InputImpl.VideoFromFile):
            return video.get_duration()
        return frames_seconds(video.get_frame_count(), float(video.get_frame_rate()))
    if images is not None:
        return frames_seconds(len(images), float(fps))
    if seconds <= 0:
        raise MediaError("the sound has nothing to fit; connect a video or images, or set seconds above 0")
    return seconds
