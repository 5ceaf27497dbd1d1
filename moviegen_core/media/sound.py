"""Sound files through PyAV."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import MediaError
from . import waveform as waveforms
from .files import codec_errors, existing, replacing


def read_sound(path: str | os.PathLike[str]) -> tuple[Tensor, int]:
    """The first sound track of any file: (waveform [channels, samples] in [-1, 1], sample_rate in Hz)."""
    import av

    source = existing(path)
    with codec_errors(source, reading=True), av.open(str(source)) as container:
        if not container.streams.audio:
            raise MediaError(f"{source} has no sound track; choose a file with sound")
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
        pieces = [
            torch.from_numpy(piece.to_ndarray())
            for frame in container.decode(stream)
            for piece in resampler.resample(frame)
        ]
        length = None
        if stream.duration is not None and stream.time_base is not None:
            length = round(stream.duration * stream.time_base * rate)
    if not pieces:
        return torch.zeros(channels, 0), rate
    # AAC fills its last frame with silence: the container's length is the true one.
    return torch.cat(pieces, dim=1)[:, :length].clone(), rate


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
