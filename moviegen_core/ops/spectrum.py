"""Spectra of sounds, and bands on the mel scale (O'Shaughnessy's formula, 2595 log10(1 + f / 700)).

Shape letters: B batch, S samples, K bands, N lines of a spectrum (window / 2 + 1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor


def spectrum(waveform: Tensor, window: int, step: int) -> Tensor:
    """[B, S] or [S] -> complex [B, N, frames] of Hann windows that lie within; a full-scale sine has window / 4."""
    shape = torch.hann_window(window, dtype=waveform.dtype, device=waveform.device)
    return torch.stft(waveform, window, step, window=shape, center=False, return_complex=True)


def magnitudes(waveform: Tensor, window: int, floor: float = 0.0) -> Tensor:
    """[B, S] -> [B, N, frames], a quarter of a window apart; a full-scale sine has 0.5.

    `floor` is a power: the root of a tiny number keeps the gradient finite where a line is silent.
    """
    lines = spectrum(waveform, window, window // 4)
    return (lines.real.square() + lines.imag.square() + floor).sqrt() / (window / 2)


def table(build: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Computes a function of plain numbers once for each of them."""
    # A tensor first asked for under inference_mode could never be trained with.
    return functools.cache(torch.inference_mode(False)(build))


def mel(hertz: Tensor) -> Tensor:
    """Frequencies in hertz -> places on the mel scale."""
    return 2595 * torch.log10(1 + hertz / 700)


def hertz(mel: Tensor) -> Tensor:
    """The inverse of `mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_edges(lowest: float, highest: float, count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """So many frequencies in hertz, both ends among them, evenly spaced on the mel scale."""
    first, last = mel(torch.tensor([lowest, highest], dtype=torch.float64)).tolist()
    return hertz(torch.linspace(first, last, count, dtype=dtype))


def triangles(edges: Tensor, lines: Tensor, narrowest: float = 0.0) -> Tensor:
    """Bands [K, N] over `lines` [N]: band k rises from edges k to k + 1 of [K + 2], where it is 1, and falls to k + 2.

    Either side is at least `narrowest` wide: a line's distance from the next lets no band fall between two of them.
    """
    centres, widths = edges[1:-1, None], edges.diff().clamp(min=narrowest)[:, None]
    rising = 1 - (centres - lines) / widths[:-1]
    falling = 1 - (lines - centres) / widths[1:]
    return torch.minimum(rising, falling).clamp(0, 1)
