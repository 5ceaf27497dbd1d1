"""Does what falls in a clip fall as it should, and when does it land? Parabolas are fitted to its track."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from .tracking import track

MIN_FLIGHT_FRAMES = 5  # fewer points fit any parabola
LANDING_FRAMES = 3  # at most, between two flights that are parted by an impact


@dataclass(frozen=True, slots=True)
class Flight:
    """One stretch of free flight and the acceleration that fits it."""

    start: int  # frame
    stop: int  # frame after the last
    gravity: float  # frame heights per second squared, downwards positive
    residual: float  # root mean square distance from the parabola, frame heights


def flights(centres: np.ndarray, fps: float) -> list[Flight]:
    """Splits a track at its impacts (speed turns upwards) and fits each stretch of flight, longest first."""
    height = centres[:, 1]
    speed = np.diff(height)
    breaks = [0]
    for number in range(1, len(speed)):
        jumps = speed[number - 1] > 0.004 and speed[number] < 0.3 * speed[number - 1] - 0.004
        if jumps or np.isnan(speed[number]):
            breaks.append(number + 1)
    breaks.append(len(height))
    found = []
    for start, stop in pairwise(breaks):
        inside = slice(start + (start > 0), stop - (stop < len(height)))  # impact frames belong to no flight
        rows = height[inside]
        if len(rows) < MIN_FLIGHT_FRAMES or np.isnan(rows).any() or np.ptp(rows) < 0.04:
            continue
        seconds = np.arange(len(rows)) / fps
        curve = np.polyfit(seconds, rows, 2)
        residual = float(np.sqrt(np.mean((np.polyval(curve, seconds) - rows) ** 2)))
        found.append(Flight(inside.start, inside.stop, float(2 * curve[0]), residual))
    return sorted(found, key=lambda flight: flight.start - flight.stop)


def fitted_gravity(pixels: Tensor, fps: float) -> float | None:
    """The acceleration that fits all free flights of a clip [3, T, H, W] best; None where nothing is seen to fly."""
    centres = track(pixels)
    found = flights(centres, fps)
    if not found:
        return None
    unknowns = 1 + 2 * len(found)  # gravity, then speed and height at the start of each flight
    rows, heights = [], []
    for number, flight in enumerate(found):
        seconds = np.arange(flight.stop - flight.start) / fps
        part = np.zeros((len(seconds), unknowns))
        part[:, 0], part[:, 1 + 2 * number], part[:, 2 + 2 * number] = seconds**2 / 2, seconds, 1.0
        rows.append(part)
        heights.append(centres[flight.start : flight.stop, 1])
    solution, *_ = np.linalg.lstsq(np.concatenate(rows), np.concatenate(heights), rcond=None)
    return float(solution[0])


def impacts(pixels: Tensor, fps: float) -> list[float]:
    """Seconds at which what moves in a clip [3, T, H, W] lands and leaves again: where two flights' curves meet."""
    centres = track(pixels)
    rows, found = centres[:, 1], []
    for before, after in pairwise(sorted(flights(centres, fps), key=lambda flight: flight.start)):
        if after.start - before.stop > LANDING_FRAMES:
            continue
        middle = (before.stop - 1 + after.start) / 2
        falling, rising = (_curve(rows, flight) for flight in (before, after))
        if falling.deriv()(middle) <= 0 or rising.deriv()(middle) >= 0:
            continue
        meetings = [root.real for root in (falling - rising).roots if abs(root.imag) < 1e-9]
        meeting = min(meetings, key=lambda frame: abs(frame - middle), default=middle)
        found.append((meeting if abs(meeting - middle) < LANDING_FRAMES / 2 else middle) / fps)
    return found


def _curve(rows: np.ndarray, flight: Flight) -> np.poly1d:
    """The parabola, over frames of the clip, that fits a flight."""
    return np.poly1d(np.polyfit(np.arange(flight.start, flight.stop), rows[flight.start : flight.stop], 2))
