"""When something is struck in a sound, and how well those moments agree with known ones.

Onsets are peaks of the spectral flux: the rise of a compressed spectrum from frame to frame, summed over bands
(Bello et al. 2005, "A tutorial on onset detection in music signals"; Böck and Widmer 2013 for the lagged maximum).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ShapeError
from ..ops.spectrum import mel_edges, spectrum, table
from ..shapes import SOUND_SAMPLE_RATE

RATE = SOUND_SAMPLE_RATE
WINDOW, STEP = 1024, 120  # samples: 21 ms, moved by 2.5 ms
LAG = 4  # frames between which a rise is measured
COMPRESSION = 300.0  # of log(1 + c * amplitude): soft sounds count, noise far below them does not
BANDS = 40
MERGE_SECONDS = 0.03  # peaks closer than this are one onset
AROUND_SECONDS = 0.12  # on each side, over which a peak is compared with its surroundings
SENSITIVITY = 1.6  # times the local mean that a peak must exceed, above THRESHOLD
THRESHOLD = 0.045  # of the flux, which is a mean over bands
LEAD_SECONDS = 0.0047  # by which the rise of the window runs ahead of the blow itself
HIT_KINDS = ("bounce", "toss", "land", "push", "collision", "bump", "step", "tumble")
EDGE_SECONDS = 0.08  # at both ends of a clip, where no onset can be told
REACH_SECONDS = 0.1  # an onset farther than this from every hit belongs to none
TURNS = 7  # of a clip's onsets, for what is heard on time by chance


def flux(waveform: Tensor) -> Tensor:
    """waveform [channels, S] at 48 kHz -> rise of loudness [T], one value every 2.5 ms, 0 where nothing begins.

    ShapeError for other shapes.
    """
    if waveform.ndim != 2:
        raise ShapeError(f"a waveform of shape {tuple(waveform.shape)} was given; one clip needs [channels, samples]")
    mono = waveform.float().mean(dim=0)
    padded = F.pad(mono, (WINDOW // 2, WINDOW // 2))
    amplitude = spectrum(padded, WINDOW, STEP).abs() * (2 / WINDOW)
    loud = torch.log1p(COMPRESSION * (_bands() @ amplitude))
    # The maximum over the neighbouring bands of the earlier frame keeps gliding tones from looking like onsets.
    before = F.max_pool1d(F.pad(loud, (LAG, 0))[:, : loud.shape[1]].T.unsqueeze(0), 3, 1, 1)[0].T
    return (loud - before).clamp(min=0).mean(dim=0)


def onsets(waveform: Tensor) -> list[float]:
    """Moments in seconds at which something is struck, in order; waveform [channels, S] at 48 kHz."""
    if waveform.shape[-1] < WINDOW:
        return []
    rise = flux(waveform)
    reach = round(AROUND_SECONDS * RATE / STEP)
    padded = F.pad(rise[None, None], (reach, reach), mode="replicate")
    around = F.avg_pool1d(padded, 2 * reach + 1, 1)[0, 0]
    merge = round(MERGE_SECONDS * RATE / STEP)
    highest = F.max_pool1d(rise[None, None], 2 * merge + 1, 1, merge)[0, 0]
    peaks = torch.nonzero((rise == highest) & (rise > THRESHOLD + SENSITIVITY * around))[:, 0]
    found: list[float] = []
    for peak in peaks.tolist():
        moment = (peak - LAG / 2) * STEP / RATE + LEAD_SECONDS
        if not found or moment - found[-1] > MERGE_SECONDS:
            found.append(moment)
    return found


@table
def _bands() -> Tensor:
    """[BANDS, WINDOW / 2 + 1]: sums over bands evenly spaced on the mel scale from 50 Hz to 8 kHz.

    Each is divided by the square root of how many bins it holds, so that noise is as loud in a wide band.
    """
    edges = (mel_edges(50.0, 8000.0, BANDS + 1, torch.float32) * WINDOW / RATE).round().long()
    rows = torch.zeros(BANDS, WINDOW // 2 + 1)
    for row, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        rows[row, low : max(high, low + 1)] = 1.0
    return rows / rows.sum(dim=1, keepdim=True).sqrt()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Hits of one or more clips: how many there are, the errors in seconds of those that were heard, onsets in all."""

    hits: int
    errors: tuple[float, ...]
    onsets: int

    @property
    def recall(self) -> float:
        """Share of the hits that have an onset; nan without hits."""
        return len(self.errors) / self.hits if self.hits else float("nan")

    @property
    def median_error(self) -> float:
        """Seconds by which a heard hit is early or late; nan when none was heard."""
        return float(np.median(np.abs(self.errors))) if self.errors else float("nan")

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.hits + other.hits, self.errors + other.errors, self.onsets + other.onsets)


def true_hits(scene: object, seconds: float) -> list[float]:
    """Moments of the scene's hits well within its first `seconds`; hits closer than MERGE_SECONDS count once."""
    hits: list[float] = []
    for event in scene.events_until(seconds):  # type: ignore[attr-defined]
        inside = EDGE_SECONDS < event.time_seconds < seconds - EDGE_SECONDS
        if event.kind in HIT_KINDS and inside and (not hits or event.time_seconds - hits[-1] > MERGE_SECONDS):
            hits.append(event.time_seconds)
    return hits


def agreement(hits: Sequence[float], heard: Sequence[float], reach: float = REACH_SECONDS) -> Agreement:
    """Pairs each hit with at most one onset, nearest pairs first, no farther apart than `reach` seconds."""
    pairs = sorted((abs(onset - hit), i, j) for i, hit in enumerate(hits) for j, onset in enumerate(heard))
    used_hits: set[int] = set()
    used_onsets: set[int] = set()
    errors = []
    for distance, i, j in pairs:
        if distance > reach:
            break
        if i not in used_hits and j not in used_onsets:
            used_hits.add(i)
            used_onsets.add(j)
            errors.append(heard[j] - hits[i])
    return Agreement(len(hits), tuple(errors), len(heard))


def by_chance(hits: Sequence[float], heard: Sequence[float], seconds: float) -> Agreement:
    """What as many onsets in the same rhythm agree with: those that are heard, turned round in a clip of `seconds`.

    All of TURNS shifts, evenly spaced, count: the sound as it is, but not when it is. Hits that keep a steady beat of
    such a shift meet themselves, which makes chance look better than it is.
    """
    shifts = [seconds * turn / (TURNS + 1) for turn in range(1, TURNS + 1)]
    turned = [[(onset + shift) % seconds for onset in heard] for shift in shifts]
    return sum((agreement(hits, onsets) for onsets in turned), Agreement(0, (), 0))
