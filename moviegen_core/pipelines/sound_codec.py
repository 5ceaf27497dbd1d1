"""Sound through the codec, in chunks: any length in bounded memory, without a seam, mono or stereo.

A chunk is worked on with as many latent frames on either side as anything in it can depend on, and these are then cut
off: chunks and whole give the same numbers. Only a watermark, whose memory runs through the whole sound, starts anew
with every chunk; its message is the same in all.

Stereo goes through the mono codec as mid (L + R) / 2 and side (L - R) / 2, which come back as L = mid + side and
R = mid - side: what both channels share stays exactly centred, and the mid alone is the mono sound. In a latent
[S * B, C, L] all mids come first, then all sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import ShapeError
from ..models.audio_codec import watermark as marks
from ..models.audio_codec.model import AudioCodec

CHUNK_SECONDS = 10.0


def to_mid_side(waveform: Tensor) -> Tensor:
    """[B, 1 or 2, N] -> [B or 2 B, 1, N], all mids first; ShapeError for more channels."""
    if waveform.ndim != 3 or waveform.shape[1] not in (1, 2):
        raise ShapeError(f"a waveform {list(waveform.shape)} was given; the codec takes [batch, 1 or 2, samples]")
    if waveform.shape[1] == 1:
        return waveform
    left, right = waveform.split(1, dim=1)
    return torch.cat(((left + right) / 2, (left - right) / 2))


def from_mid_side(sounds: Tensor, channels: int) -> Tensor:
    """[channels * B, 1, N] with all mids first -> [B, channels, N]; the inverse of `to_mid_side`.

    ShapeError for sides without mids, or more channels.
    """
    if channels == 1:
        return sounds
    if channels != 2 or sounds.shape[0] % 2:
        raise ShapeError(
            f"{sounds.shape[0]} latents were given for {channels} channels; stereo needs as many sides as mids"
        )
    mid, side = sounds.chunk(2)
    return torch.cat((mid + side, mid - side), dim=1)


@torch.no_grad()
def encode_sound(codec: AudioCodec, waveform: Tensor, *, chunk_seconds: float = CHUNK_SECONDS) -> Tensor:
    """Waveform [B, 1 or 2, N] in [-1, 1] at 48 kHz -> latent [B or 2 B, C, ceil(N / 1920)] of unit variance.

    The result lies on the waveform's device; the codec's may be another one. ShapeError for other shapes.
    """
    sounds = to_mid_side(waveform)
    hop, context = codec.config.hop_length, codec.config.context_frames
    total = -(-sounds.shape[2] // hop)
    if total < 1:
        raise ShapeError("an empty waveform was given; give at least one sample")
    parts = []
    for start, stop in _chunks(codec, total, chunk_seconds):
        first, last = max(0, start - context), min(total, stop + context)
        if last == total - 1:
            last = total  # a last hop that is not full is filled by reflection, and needs something to reflect
        piece = sounds[:, :, first * hop : last * hop].to(codec.latent_std)
        parts.append(codec.encode(piece)[:, :, start - first : stop - first].to(waveform.device))
    return torch.cat(parts, dim=2)


@torch.no_grad()
def decode_pieces(
    codec: AudioCodec, latent: Tensor, num_samples: int | None = None, *, channels: int = 1,
    chunk_seconds: float = CHUNK_SECONDS, watermark: Any = False, seed: int = 0,
) -> Iterator[Tensor]:  # fmt: skip
    """Latent [channels * B, C, L] of unit variance -> consecutive pieces [B, channels, n] of the sound in [-1, 1].

    num_samples: length of all pieces together, default 1920 L. watermark: as in `AudioCodec.decode`; True draws
    its bits once, from `seed`. ShapeError for latents of other shapes, or too few for `num_samples`.
    """
    if latent.ndim != 3 or latent.shape[2] < 1:
        raise ShapeError(f"a latent {list(latent.shape)} was given; give [batch, channels, frames]")
    hop, context, total = codec.config.hop_length, codec.config.context_frames, latent.shape[2]
    wanted = total * hop if num_samples is None else num_samples
    if not 1 <= wanted <= total * hop:
        raise ShapeError(
            f"{wanted} samples were asked for, but {total} latent frames hold 1 to {total * hop}; ask for fewer "
            "samples or sample a longer sound"
        )
    if watermark is True and codec.config.watermark_rates:
        # The same bits in mid and side, and so in both channels.
        watermark = marks.message(True, 1, latent.device, seed).expand(latent.shape[0], -1)
    for start, stop in _chunks(codec, total, chunk_seconds):
        if start * hop >= wanted:
            return
        first, last = max(0, start - context), min(total, stop + context)
        piece = codec.decode(latent[:, :, first:last].to(codec.latent_std), watermark=watermark)
        begin, end = (start - first) * hop, min(stop * hop, wanted) - first * hop
        yield from_mid_side(piece[:, :, begin:end], channels).clamp(-1.0, 1.0).to(latent.device)


def decode_sound(
    codec: AudioCodec, latent: Tensor, num_samples: int | None = None, *, channels: int = 1,
    chunk_seconds: float = CHUNK_SECONDS, watermark: Any = False,
) -> Tensor:  # fmt: skip
    """`decode_pieces` as one waveform [B, channels, num_samples]."""
    pieces = decode_pieces(
        codec, latent, num_samples, channels=channels, chunk_seconds=chunk_seconds, watermark=watermark
    )
    return torch.cat(list(pieces), dim=2)


def _chunks(codec: AudioCodec, total: int, chunk_seconds: float) -> list[tuple[int, int]]:
    """(first, end) latent frame of each chunk; a chunk is at least as long as the context of one."""
    size = max(codec.config.context_frames, round(chunk_seconds * codec.config.latent_rate))
    return [(start, min(start + size, total)) for start in range(0, total, size)]
