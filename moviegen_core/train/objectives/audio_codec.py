"""Losses of the sound codec: spectra at several resolutions, mel bands, waveform, KL, and discriminators.

As DAC trains (Kumar et al., 2023), with a KL term for its quantiser's; weights not stated there are assumptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import spectrum
from .sound_discriminator import SoundAdversary

WINDOWS = (2048, 512, 128)  # samples; hops are a quarter
MEL_BANDS = {2048: 128, 512: 64, 128: 16}
FLOOR = 1e-5  # of magnitudes on which logarithms are taken; a full-scale sine has 0.5
QUIET = 1e-3  # rms added to a sound's own when errors are counted relative to it


@dataclass(frozen=True, kw_only=True)
class AudioCodecLoss:
    """The objective of a sound codec: call it with (module, batch, generator).

    The batch holds "waveform" [B, 1, N] in [-1, 1] at 48 kHz.
    """

    adversary: SoundAdversary | None = None
    windows: tuple[int, ...] = WINDOWS
    spectral_weight: float = 1.0
    mel_weight: float = 0.5
    waveform_weight: float = 4.0
    kl_weight: float = 1e-5  # of DAC-VAE's KL, which sums over the channels

    def __call__(self, module: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss and its parts; also "sdr", the mean signal to error ratio in decibels."""
        target = batch["waveform"]
        posterior = module.posterior(target)  # type: ignore[operator]
        # Spectra know no half precision on a GPU: autocast gives bfloat16 waveforms there.
        rebuilt = module.decode_raw(posterior.sample(generator), target.shape[2]).float()  # type: ignore[operator]
        with torch.autocast(target.device.type, enabled=False):
            convergence, logarithmic, mel = spectral_distances(rebuilt, target, self.windows)
        loudness = target.square().mean(dim=(1, 2)).sqrt() + QUIET
        error = (rebuilt - target).square().mean(dim=(1, 2)).sqrt() / loudness
        parts = {
            "convergence": convergence, "logarithmic": logarithmic, "mel": mel, "waveform": error.mean(),
            "kl": posterior.kl(),
        }  # fmt: skip
        loss = self.spectral_weight * (convergence + logarithmic) + self.mel_weight * mel
        loss = loss + self.waveform_weight * parts["waveform"] + self.kl_weight * parts["kl"]
        if self.adversary is not None and module.training:
            judged, told = self.adversary(rebuilt, target)
            loss, parts = loss + judged, {**parts, **told}
        sdr = -20.0 * error.detach().clamp_min(1e-6).log10().mean()
        return {"loss": loss, "sdr": sdr, **{name: value.detach() for name, value in parts.items()}}


def spectral_distances(made: Tensor, target: Tensor, windows: tuple[int, ...] = WINDOWS) -> tuple[Tensor, ...]:
    """Of waveforms [B, 1, N], means over the windows: spectral convergence, and L1 of log10 magnitudes and mel bands.

    Spectral convergence is |made - target| / |target| over all magnitudes (Arik et al., 2018), per sound.
    """
    totals = []
    for window in windows:
        first, second = magnitudes(made, window), magnitudes(target, window)
        quiet = QUIET * math.sqrt(second.shape[1] * second.shape[2] / window)
        far = torch.linalg.vector_norm((first - second).flatten(1), dim=1)
        size = torch.linalg.vector_norm(second.flatten(1), dim=1) + quiet
        bank = mel_bank(window, MEL_BANDS.get(window, max(8, window // 16))).to(second)
        totals.append(
            torch.stack(((far / size).mean(), _log_distance(first, second), _log_distance(bank @ first, bank @ second)))
        )
    return tuple(torch.stack(totals).mean(dim=0))


def magnitudes(waveform: Tensor, window: int) -> Tensor:
    """[B, 1, N] -> [B, window / 2 + 1, frames]; a full-scale sine has 0.5."""
    padded = F.pad(waveform[:, 0], (window // 2, window // 2))
    return spectrum.magnitudes(padded, window, floor=1e-12)


@spectrum.table
def mel_bank(window: int, bands: int, sample_rate: int = 48_000) -> Tensor:
    """Bands [bands, window / 2 + 1] of unit sum, evenly spaced on the mel scale over the whole spectrum."""
    edges = spectrum.mel_edges(0.0, sample_rate / 2, bands + 2)
    lines = torch.linspace(0.0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    bank = spectrum.triangles(edges, lines, sample_rate / window)
    return (bank / bank.sum(dim=1, keepdim=True)).float()


def _log_distance(first: Tensor, second: Tensor) -> Tensor:
    return (first.clamp_min(FLOOR).log10() - second.clamp_min(FLOOR).log10()).abs().mean()
