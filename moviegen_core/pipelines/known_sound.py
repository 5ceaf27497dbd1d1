"""Sound that exists already: where it lies in the one to be made, as the model's context and in the result.

A model is told whole latent frames of 40 ms, counted from the sound's beginning. What is known begins and ends with
such a frame, so that what is made can go on from it: up to 40 ms beside a join are made anew, and 10 ms fade.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError, MediaError
from ..media.waveform import checked, resample, to_mono, to_stereo
from ..models.audio_codec.model import AudioCodec
from ..shapes import MAX_SECONDS, SOUND_HOP, SOUND_SAMPLE_RATE, sound_latent_frames
from .sound_codec import encode_sound

FADE_SAMPLES = 480  # of a join, inside what is known: 10 ms


@dataclass(frozen=True, eq=False)
class Known:
    """A piece of sound and where it lies."""

    waveform: Tensor  # [1 or 2, n] at 48 kHz in [-1, 1]
    start: int = 0  # sample of the whole at which it begins; negative: its beginning is left out

    @property
    def stop(self) -> int:
        """Sample of the whole at which it has ended."""
        return self.start + self.waveform.shape[1]


def known_sound(
    waveform: Tensor, sample_rate: int = SOUND_SAMPLE_RATE, start_seconds: float = 0.0,
    gaps: Iterable[tuple[float, float]] = (),
) -> list[Known]:  # fmt: skip
    """A sound [C, S] of any rate and number of channels that begins at `start_seconds`, without its `gaps`.

    Gaps are (from, to) in seconds of the whole; what lies in them is to be made anew. Invalid samples become silence,
    clipping ones are cut off. Raises MediaError for an empty sound, ConfigError for an impossible gap.
    """
    if not abs(start_seconds) <= MAX_SECONDS:
        raise ConfigError(f"a known sound cannot begin at {start_seconds:g} s; give its place in seconds")
    sound = checked(waveform, sample_rate)
    if not sound.shape[1]:
        raise MediaError("the known sound is empty (0 samples); give one that lasts longer than 0 seconds")
    sound = resample(sound if sound.shape[0] <= 2 else to_stereo(sound), sample_rate, SOUND_SAMPLE_RATE)
    first = round(start_seconds * SOUND_SAMPLE_RATE)
    pieces = [Known(sound.clamp(-1.0, 1.0), first)]
    for begin, end in gaps:
        if not -MAX_SECONDS <= begin < end <= MAX_SECONDS:
            raise ConfigError(f"a gap from {begin:g} to {end:g} s was given; it must end after it begins")
        hole = (round(begin * SOUND_SAMPLE_RATE), round(end * SOUND_SAMPLE_RATE))
        if hole[1] <= first or hole[0] >= first + sound.shape[1]:
            raise ConfigError(
                f"the gap from {begin:g} to {end:g} s lies outside of the known sound, which goes from "
                f"{start_seconds:g} to {start_seconds + sound.shape[1] / SOUND_SAMPLE_RATE:g} s; leave it out"
            )
        pieces = [rest for piece in pieces for rest in without(piece, *hole)]
    return pieces


def encode_known(codec: AudioCodec, known: Sequence[Known], num_samples: int) -> tuple[Tensor, Tensor] | None:
    """Known pieces of a sound of `num_samples` -> context [1, C, L] and its mask [1, L], on the CPU.

    None where no piece covers a whole latent frame.
    """
    hop, total = codec.config.hop_length, sound_latent_frames(num_samples)
    context = torch.zeros(1, codec.config.latent_channels, total)
    mask = torch.zeros(1, total, dtype=torch.bool)
    for piece in known:
        first, last = _whole_frames(piece, num_samples)
        if first >= last:
            continue
        # What stands beside a piece is not silence but unknown: it is encoded as if it went on like its mirror image.
        around = codec.config.context_frames * hop
        begin = first * hop - (around if piece.start > 0 else 0)
        end = min(last * hop, num_samples) + (around if piece.stop < num_samples else 0)
        padded = _mirrored(to_mono(piece.waveform), begin - piece.start, end - piece.start)
        latent = encode_sound(codec, padded[None])
        skipped = first - begin // hop
        context[:, :, first:last] = latent[:, :, skipped : skipped + last - first].float().cpu()
        mask[:, first:last] = True
    return (context, mask) if bool(mask.any()) else None


def paste_known(made: Tensor, known: Sequence[Known]) -> Tensor:
    """made [channels, N] with the known pieces in their places, sample for sample.

    But for the joins: a piece that begins or ends inside a latent frame loses that part of it, up to 40 ms, and its
    next 10 ms are a crossfade.
    """
    result, total = made.clone(), made.shape[1]
    for piece in known:
        first, last = (frame * SOUND_HOP for frame in _whole_frames(piece, total))
        begin, end = (first, min(last, total)) if first < last else (max(0, piece.start), min(piece.stop, total))
        if begin >= end:
            continue
        own = piece.waveform[:, begin - piece.start : end - piece.start]
        own = to_mono(own) if made.shape[0] == 1 else to_stereo(own)
        weight = _fades(end - begin, begin > 0, end < total)
        result[:, begin:end] = torch.lerp(result[:, begin:end], own.to(made), weight.to(made))
    return result


def covers(known: Sequence[Known], num_samples: int) -> bool:
    """Whether nothing of a sound of `num_samples` is left to be made."""
    reached = 0
    for piece in sorted(known, key=lambda piece: piece.start):
        if piece.start > reached:
            return False
        reached = max(reached, piece.stop)
    return reached >= num_samples


def check_known(known: Sequence[Known], num_samples: int) -> None:
    """ConfigError where a known piece lies outside of a sound of `num_samples`, or nothing is left to be made."""
    seconds = num_samples / SOUND_SAMPLE_RATE
    for piece in known:
        if piece.start >= num_samples or piece.stop <= 0:
            raise ConfigError(
                f"a known sound from {piece.start / SOUND_SAMPLE_RATE:g} s on lies outside of the {seconds:g} s that "
                "are made; move it, or make the sound longer"
            )
    if known and covers(known, num_samples):
        raise ConfigError(
            f"the known sound covers all of the {seconds:g} s: nothing is left to be made; ask for more seconds, or "
            "name a gap"
        )


def without(piece: Known, begin: int, end: int) -> list[Known]:
    """What is left of a piece outside of the samples from `begin` to `end`."""
    if begin >= end:
        return [piece]
    rest = []
    if begin > piece.start:
        rest.append(Known(piece.waveform[:, : begin - piece.start], piece.start))
    if end < piece.stop:
        first = max(piece.start, end)
        rest.append(Known(piece.waveform[:, first - piece.start :], first))
    return rest


def _whole_frames(piece: Known, num_samples: int) -> tuple[int, int]:
    """(first, end) of the latent frames that a piece covers; the sound's last frame need not be full."""
    last = sound_latent_frames(num_samples) if piece.stop >= num_samples else max(0, piece.stop) // SOUND_HOP
    return -(-max(0, piece.start) // SOUND_HOP), last


def _mirrored(waveform: Tensor, begin: int, end: int) -> Tensor:
    """Samples from `begin` to `end` of [1, n] that goes on beyond both of its ends as its mirror image."""
    length = waveform.shape[1]
    period = max(1, 2 * (length - 1))

    def reflected(first: int, last: int) -> Tensor:
        places = torch.arange(first, max(first, last)) % period
        return waveform[:, torch.minimum(places, period - places).clamp(max=length - 1)]

    # Only what lies beyond is looked up: places of all samples would take twice their memory.
    inside = waveform[:, max(0, begin) : max(0, end)]
    return torch.cat([reflected(begin, min(0, end)), inside, reflected(max(length, begin), end)], dim=1)


def _fades(length: int, rises: bool, falls: bool) -> Tensor:
    """Weights [length] of a piece: 1, but for half a cosine at those of its ends that touch something made."""
    weight = torch.ones(length)
    size = min(FADE_SAMPLES, length // 2)
    ramp = 0.5 - 0.5 * torch.cos((torch.arange(size) + 0.5) / max(1, size) * math.pi)
    if rises:
        weight[:size] = ramp
    if falls:
        weight[length - size :] = ramp.flip(0)
    return weight
