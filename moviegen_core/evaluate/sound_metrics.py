"""How near two sounds are: waveforms [..., N] in [-1, 1] in, plain numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from ..errors import ShapeError
from ..ops.spectrum import magnitudes

LOG_FLOOR = 1e-5  # -100 dB re full scale; smaller magnitudes count as this


def si_sdr(given: Tensor, wanted: Tensor) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, all channels together; infinite for equal sounds.

    The part of `given` along `wanted` against the rest, both without their means (Le Roux et al., 2019).
    """
    made, real = _flat(given, wanted)
    along = (made @ real) / (real @ real).clamp_min(1e-30) * real
    rest = float((made - along).square().sum())
    power = float(along.square().sum())
    if power == 0:
        return -math.inf
    return 10 * math.log10(power / rest) if rest else math.inf


def spectral_distance(given: Tensor, wanted: Tensor, windows: Sequence[int]) -> tuple[float, float]:
    """Means over several resolutions: spectral convergence, and mean difference of magnitudes in dB.

    Spectral convergence is |given - wanted| / |wanted| over all magnitudes of a spectrogram (Arik et al., 2018).
    Hann windows of so many samples, hops of a quarter; magnitudes are scaled so that a full-scale sine has 0.5.
    ShapeError for sounds of unlike shapes, or shorter than a window.
    """
    if given.shape != wanted.shape or given.shape[-1] < max(windows):
        raise ShapeError(
            f"sounds of {list(given.shape)} and {list(wanted.shape)} were given; they must be equally long, with at "
            f"least {max(windows)} samples"
        )
    convergence, decibels = 0.0, 0.0
    for window in windows:
        first, second = (magnitudes(sound.double().reshape(-1, sound.shape[-1]), window) for sound in (given, wanted))
        convergence += float((first - second).norm() / second.norm().clamp_min(1e-30)) / len(windows)
        levels = (first.clamp_min(LOG_FLOOR).log10() - second.clamp_min(LOG_FLOOR).log10()).abs()
        decibels += 20 * float(levels.mean()) / len(windows)
    return convergence, decibels


def _flat(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    if given.shape != wanted.shape or given.shape[-1] < 1:
        raise ShapeError(f"sounds of {list(given.shape)} and {list(wanted.shape)} were given; they must be alike")
    parts = [sound.double() - sound.double().mean(dim=-1, keepdim=True) for sound in (given, wanted)]
    return parts[0].flatten(), parts[1].flatten()
