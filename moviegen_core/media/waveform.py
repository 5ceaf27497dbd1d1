"""Sound as tensors: checks, channel layouts and sample rates.

Shape letters: C channels (1 mono, 2 stereo), S samples. A waveform is float [C, S] in [-1, 1].
"""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import MediaError, ShapeError

logger = logging.getLogger(__name__)

CHECK_SAMPLES = 1 << 20  # at a time, so that hours are checked without a copy
FILTER_ZEROS = 16  # zero crossings of the resampling filter on each side
MOST_TAPS = 1 << 22  # of the resampling filter, in all its phases, that are made at once
PHASES = 64  # that are made at a time where there are more taps

# Share of the left side by channel, in the order of WAV files: front left, right, centre, bass, back, side pairs.
SIDES = {
    3: (1.0, 0.0, 0.707),
    4: (1.0, 0.0, 0.707, 0.0),
    5: (1.0, 0.0, 0.707, 0.707, 0.0),
    6: (1.0, 0.0, 0.707, 0.0, 0.707, 0.0),
    8: (1.0, 0.0, 0.707, 0.0, 0.707, 0.0, 0.707, 0.0),
}
# The channel that each one becomes when left and right change places.
MIRRORED = {
    3: (1, 0, 2),
    4: (1, 0, 3, 2),
    5: (1, 0, 2, 4, 3),
    6: (1, 0, 2, 3, 5, 4),
    8: (1, 0, 2, 3, 5, 4, 7, 6),
}


def checked(waveform: Tensor, sample_rate: int, *, clip: bool = True) -> Tensor:
    """Any of [S], [C, S], [1, C, S] -> float32 [C, S] on the CPU; invalid samples become silence.

    Samples beyond 1 are clipped unless `clip` is off, as it is where a gain or a limiter follows. ShapeError for other
    shapes, MediaError for no sample rate.
    """
    if sample_rate < 1:
        raise MediaError(f"a sample rate of {sample_rate} Hz was given; it must be positive, such as 48000")
    sound = waveform.detach()
    if sound.ndim == 3 and sound.shape[0] == 1:
        sound = sound[0]
    if sound.ndim == 1:
        sound = sound.unsqueeze(0)
    if sound.ndim != 2 or sound.shape[0] < 1:
        raise ShapeError(f"a waveform of shape {tuple(waveform.shape)} was given; one clip needs [channels, samples]")
    sound = sound.float().cpu()
    bad = sum(int((~piece.isfinite()).sum()) for piece in sound.split(CHECK_SAMPLES, dim=1))
    if bad:
        logger.warning("replaced %d invalid samples (NaN or infinite) with silence", bad)
        sound = sound.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    return sound.clamp(-1.0, 1.0) if clip else sound


def to_mono(waveform: Tensor) -> Tensor:
    """[..., C, S] -> [..., 1, S], the mean of the channels."""
    return waveform.mean(dim=-2, keepdim=True)


def to_stereo(waveform: Tensor) -> Tensor:
    """[..., C, S] -> [..., 2, S]: mono is doubled; film layouts keep their sides, others are mixed to mono first.

    Centre, surrounds and backs enter at -3 dB and the bass channel not at all (ITU-R BS.775-3, Annex 4); the weights
    of each side add up to 1, so that nothing clips.
    """
    channels = waveform.shape[-2]
    if channels == 2:
        return waveform
    if channels not in SIDES:
        return to_mono(waveform).expand(*waveform.shape[:-2], 2, waveform.shape[-1]).contiguous()
    weights = torch.tensor([SIDES[channels], [SIDES[channels][place] for place in MIRRORED[channels]]])
    weights = (weights / weights.sum(1, keepdim=True)).to(waveform)
    return weights @ waveform


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """[..., S] at `from_rate` Hz -> [..., ceil(S * to_rate / from_rate)] at `to_rate` Hz.

    Windowed-sinc interpolation (J. O. Smith, "Digital Audio Resampling"), as one strided convolution over the
    rates' common period; the pass band ends at 97 % of the lower Nyquist frequency. MediaError for rates below 1 Hz.
    """
    if from_rate < 1 or to_rate < 1:
        raise MediaError(f"cannot resample from {from_rate} to {to_rate} Hz; both rates must be positive")
    if from_rate == to_rate or not waveform.shape[-1]:
        return waveform
    common = math.gcd(from_rate, to_rate)
    up, down = to_rate // common, from_rate // common
    reach = _reach(up, down)
    length = math.ceil(waveform.shape[-1] * up / down)
    flat = functional.pad(waveform.reshape(-1, 1, waveform.shape[-1]), (reach, down + reach))
    if up * down <= MOST_TAPS:
        kernel = _filters(0, up, up, down).to(waveform).unsqueeze(1)
        phases = functional.conv1d(flat, kernel, stride=down).transpose(1, 2)
    else:
        phases = _phases(flat[:, 0], up, down, waveform.shape[-1] // down + 1)
    return phases.reshape(*waveform.shape[:-1], -1)[..., :length].contiguous()


def _cutoff(up: int, down: int) -> float:
    return 0.97 * min(1.0, up / down)


def _reach(up: int, down: int) -> int:
    """Samples on each side that the filter reads."""
    return math.ceil(FILTER_ZEROS / _cutoff(up, down))


def _filters(first: int, last: int, up: int, down: int) -> Tensor:
    """Filters [last - first, taps] of the phases `first` to `last` of `up`, from the first one's reach on."""
    cutoff, reach = _cutoff(up, down), _reach(up, down)
    taps = torch.arange(first * down // up - reach, -(-last * down // up) + reach, dtype=torch.float64)
    offset = taps - torch.arange(first, last, dtype=torch.float64).unsqueeze(1) * down / up
    window = torch.cos(offset * cutoff * math.pi / (2 * FILTER_ZEROS)).square() * (
        offset.abs() * cutoff <= FILTER_ZEROS
    )
    return cutoff * torch.sinc(offset * cutoff) * window


def _phases(flat: Tensor, up: int, down: int, periods: int) -> Tensor:
    """The same convolution, some phases at a time: padded [B, S] -> [B, periods, up].

    Nearly all of the taps of rates without a common divisor are zero.
    """
    blocks = []
    for first in range(0, up, PHASES):
        kernel = _filters(first, min(up, first + PHASES), up, down).to(flat)
        windows = flat[:, first * down // up :].unfold(1, kernel.shape[1], down)[:, :periods]
        blocks.append(windows @ kernel.T)
    return torch.cat(blocks, dim=2)
