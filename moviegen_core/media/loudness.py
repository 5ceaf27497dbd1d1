"""Loudness (ITU-R BS.1770-4), true peak, a peak limiter and delivery targets.

The loudness filters are our own, because a node has to work at the first press with what ComfyUI brings, and pyloudnorm
is not part of that; the tests hold them to it.

Shape letters: C channels, S samples. LUFS are decibels of loudness, dBTP decibels of the true (inter-sample) peak.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, MediaError
from .waveform import checked, resample

logger = logging.getLogger(__name__)

OVERSAMPLING = 4  # BS.1770-4, Annex 2
HALO = 64  # samples around a piece that the oversampling filter reads
PIECE_SECONDS = 30.0  # what is measured at a time
PEAK_SECONDS = 5.0  # what is oversampled at a time
HOP_SECONDS = 0.1  # gating blocks of 0.4 s begin every 0.1 s
HOPS = 4  # hops in a block
WARM_UP = 10  # blocks before a piece, in which the weighting filter settles
LOOK_SECONDS = 0.01  # the limiter's look to both sides
HIGH_SHELF = (1500.0, 0.5**0.5, 4.0)  # corner in Hz, quality, gain in dB: the head as a sphere, at any sample rate
HIGH_PASS = (38.0, 0.5, None)  # the ear's way with low tones
ABSOLUTE_GATE = -70.0  # LUFS
TOLERANCE = 0.02  # LU
ROUNDS = 12  # of limiting and measuring again
MOST_PUSH = 12.0  # dB of gain beyond the plain one, against what the limiter takes away

# Weights of the channels in the order of WAV files: surrounds at the sides count more, the bass channel not at all.
WEIGHTS = {
    4: (1.0, 1.0, 1.41, 1.41),
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),
}


@dataclass(frozen=True)
class Target:
    """What a place of delivery asks for."""

    lufs: float
    true_peak_db: float  # dBTP


PRESETS = {
    "streaming": Target(-14.0, -1.0),  # what the large music and video sites play at
    "podcast": Target(-16.0, -1.0),  # AES TD1008, spoken word
    "broadcast": Target(-23.0, -1.0),  # EBU R 128
    "broadcast US": Target(-24.0, -2.0),  # ATSC A/85
    "cinema streaming": Target(-27.0, -2.0),  # delivery rules of film streaming services
}


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """A sound at its target, and how it got there."""

    waveform: Tensor  # [C, S]
    before_lufs: float  # -inf for silence
    lufs: float
    true_peak_db: float  # dBTP


def integrated_loudness(waveform: Tensor, sample_rate: int) -> float:
    """Loudness of a whole sound [C, S] in LUFS; -inf for silence, that is for less than -70.

    Long sounds are weighted piece by piece, in bounded memory; the gates see all blocks. A sound shorter than one
    block of 0.4 s is measured as if it were repeated until it fills one.
    """
    return _integrated(_finite(waveform, sample_rate), sample_rate)


def true_peak(waveform: Tensor, sample_rate: int) -> float:
    """Highest level of [C, S] between its samples too, in dBTP, by oversampling four times; -inf for silence."""
    return _true_peak(_finite(waveform, sample_rate), sample_rate)


def limit(waveform: Tensor, sample_rate: int, ceiling_db: float = -1.0) -> Tensor:
    """Lowers what would be above `ceiling_db` dBTP, and only that: [C, S] -> [C, S].

    The gain falls 10 ms before a peak and comes back 10 ms after it, without a jump, alike in all channels.
    """
    return _limited(_finite(waveform, sample_rate).clone(), sample_rate, ceiling_db)


def normalise(waveform: Tensor, sample_rate: int, target_lufs: float = -14.0, true_peak_db: float = -1.0) -> Normalised:
    """Brings [C, S] to a loudness, with its true peak limited; silence stays as it is, and the log says so.

    Where limiting costs loudness the gain rises until the target is met again, or by at most 12 dB. ConfigError for
    levels out of range.
    """
    if not -70.0 <= target_lufs <= 0.0 or not -60.0 <= true_peak_db <= 0.0:
        raise ConfigError(
            f"{target_lufs:g} LUFS with a peak of {true_peak_db:g} dBTP was asked for; "
            "use a loudness from -70 to 0 and a peak from -60 to 0"
        )
    sound = _finite(waveform, sample_rate)
    before = _integrated(sound, sample_rate)
    if not math.isfinite(before):
        logger.warning("the sound is silent (less than -70 LUFS): there is nothing to bring to %g LUFS", target_lufs)
        return Normalised(waveform=sound, before_lufs=before, lufs=before, true_peak_db=_true_peak(sound, sample_rate))
    plain = gain = target_lufs - before
    result = torch.empty_like(sound)
    for _ in range(ROUNDS):
        _limited(torch.mul(sound, 10 ** (gain / 20), out=result), sample_rate, true_peak_db)
        reached = _integrated(result, sample_rate)
        if abs(reached - target_lufs) <= TOLERANCE or gain >= plain + MOST_PUSH:
            break
        gain = min(plain + MOST_PUSH, gain + 1.5 * (target_lufs - reached))
    if abs(reached - target_lufs) > 0.1:
        logger.warning(
            "reached %.1f LUFS instead of %g: a peak of %g dBTP leaves no room", reached, target_lufs, true_peak_db
        )
    return Normalised(waveform=result, before_lufs=before, lufs=reached, true_peak_db=_true_peak(result, sample_rate))


def _integrated(sound: Tensor, rate: int) -> float:
    energies = _block_energies(sound, rate)
    gated = energies[energies > _energy(ABSOLUTE_GATE)]
    if not len(gated):
        return -math.inf
    relative = _loudness(float(gated.mean())) - 10.0
    return _loudness(float(gated[gated > _energy(relative)].mean()))


def _block_energies(sound: Tensor, rate: int) -> Tensor:
    """Weighted energy of each gating block [blocks], float64."""
    hop = HOP_SECONDS * rate
    block = math.ceil(HOPS * hop)
    if sound.shape[1] < block:
        sound = sound.repeat(1, -(-block // sound.shape[1]))[:, :block]
    blocks = round((sound.shape[1] - HOPS * hop) / hop) + 1
    weights = WEIGHTS.get(sound.shape[0], (1.0,) * sound.shape[0])
    energies = torch.zeros(blocks, dtype=torch.float64)
    step = max(1, int(PIECE_SECONDS / HOP_SECONDS))
    longest = min(sound.shape[1], math.ceil((step + WARM_UP + HOPS) * hop))
    ear = _ear(longest + rate, rate)  # the filters ring into the second behind a piece, so nothing wraps around
    for first in range(0, blocks, step):
        last = min(blocks, first + step)
        begin = int(max(0, first - WARM_UP) * hop)
        end = sound.shape[1] if last == blocks else int((last + HOPS - 1) * hop) + 1
        for channel, weight in zip(sound, weights, strict=True):
            if weight:
                energies[first:last] += weight * _metered(channel[begin:end], rate, ear)[-(last - first) :]
    return energies


def _metered(channel: Tensor, rate: int, ear: Tensor) -> Tensor:
    """Energies of one channel's blocks after the weighting filter, float64."""
    size = 2 * (len(ear) - 1)
    weighted = torch.fft.irfft(torch.fft.rfft(channel.double(), size) * ear, size)[: len(channel)]
    sums = functional.pad(weighted.square().cumsum(0), (1, 0))
    hop = HOP_SECONDS * rate
    starts = torch.arange(round((len(channel) - HOPS * hop) / hop) + 1, dtype=torch.float64) * hop
    first, last = (edges.long().clamp(max=len(channel)) for edges in (starts, starts + HOPS * hop))
    return (sums[last] - sums[first]) / (HOPS * hop)


def _ear(samples: int, rate: int) -> Tensor:
    """Response [F] of the weighting filters (BS.1770-4, figures 2 and 4) over `samples` samples or more, complex128."""
    power = 1 << max(2, (samples - 1).bit_length())
    size = power * 3 // 4 if samples <= power * 3 // 4 else power  # sizes that a Fourier transform is quick with
    angles = torch.arange(size // 2 + 1, dtype=torch.float64) * (-2 * math.pi / size)
    delay = torch.polar(torch.ones_like(angles), angles)
    return _biquad(delay, rate, HIGH_SHELF) * _biquad(delay, rate, HIGH_PASS)


def _biquad(delay: Tensor, rate: int, kind: tuple[float, float, float | None]) -> Tensor:
    """Response [F] of a filter, `delay` being one sample's (R. Bristow-Johnson's cookbook); no gain: a high pass."""
    corner, quality, gain_db = kind
    angle = 2 * math.pi * min(corner / rate, 0.49)
    alpha, cosine = math.sin(angle) / (2 * quality), math.cos(angle)
    if gain_db is None:
        above = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2)
        below = (1 + alpha, -2 * cosine, 1 - alpha)
    else:
        gain = 10 ** (gain_db / 40)
        slope = 2 * math.sqrt(gain) * alpha
        more, less = gain + 1, gain - 1
        above = (
            gain * (more + less * cosine + slope), -2 * gain * (less + more * cosine),
            gain * (more + less * cosine - slope),
        )  # fmt: skip
        below = (more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope)
    numerator, denominator = (part[0] + delay * (part[1] + delay * part[2]) for part in (above, below))
    return numerator / denominator


def _energy(lufs: Any) -> Any:
    return 10 ** ((lufs + 0.691) / 10)


def _loudness(energy: float) -> float:
    return -0.691 + 10 * math.log10(energy)


def _true_peak(sound: Tensor, rate: int) -> float:
    highest = max(float(peaks.max()) for _, _, peaks in _peaks(sound, rate, 0))
    return 20 * math.log10(highest) if highest > 0 else -math.inf


def _peaks(sound: Tensor, rate: int, margin: int) -> Iterator[tuple[int, int, Tensor]]:
    """Pieces (start, end, highest level [margin + samples + margin] over the channels and between the samples)."""
    length, size = sound.shape[1], max(1, int(PEAK_SECONDS * rate))
    for start in range(0, length, size):
        end = min(length, start + size)
        around = margin + HALO
        begin, stop = max(0, start - around), min(length, end + around)
        piece = functional.pad(sound[:, begin:stop], (around - (start - begin), around - (stop - end)))
        finer = resample(piece, rate, OVERSAMPLING * rate)
        peaks = finer.abs().reshape(sound.shape[0], -1, OVERSAMPLING).amax(dim=(0, 2))
        yield start, end, peaks[HALO : len(peaks) - HALO]


def _limited(sound: Tensor, rate: int, ceiling_db: float) -> Tensor:
    """Limits in place: hours of sound are not copied."""
    ceiling = 10 ** (ceiling_db / 20)
    reach = max(1, round(LOOK_SECONDS * rate))
    window = torch.hann_window(2 * reach + 3, periodic=False)[1:-1]
    window = (window / window.sum()).view(1, 1, -1)
    lower: list[tuple[int, int, Tensor]] = []
    lowered = False
    for start, end, peaks in _peaks(sound, rate, 2 * reach):
        _apply(sound, lower)  # not before this piece's margin was read
        if float(peaks.max()) <= ceiling:
            continue
        needed = (ceiling / peaks.clamp(min=ceiling)).view(1, 1, -1)
        # The lowest gain in reach, averaged over the same reach, is never above the gain needed at its middle.
        lowest = -functional.max_pool1d(-needed, 2 * reach + 1, stride=1)
        lower.append((start, end, functional.conv1d(lowest, window).view(1, -1)))
        lowered = True
    _apply(sound, lower)
    if lowered:
        # A moving gain shifts the peaks between samples by a hair.
        excess = _true_peak(sound, rate) - ceiling_db
        if excess > 0:
            sound *= 10 ** (-excess / 20)
    return sound


def _apply(sound: Tensor, gains: list[tuple[int, int, Tensor]]) -> None:
    while gains:
        start, end, gain = gains.pop()
        sound[:, start:end] *= gain


def _finite(waveform: Tensor, rate: int) -> Tensor:
    sound = checked(waveform, rate, clip=False)
    if not sound.shape[1]:
        raise MediaError("the sound is empty (0 samples); give one that lasts longer than 0 seconds")
    return sound
