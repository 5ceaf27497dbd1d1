"""Does what falls in a clip fall as it should, and when does it land? Tracks the one moving thing and fits parabolas.

Works on pixels alone, for clips with a static camera: what differs from the clip's temporal median
is the thing that moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

MIN_FLIGHT_FRAMES = 5  # fewer points fit any parabola
SHARE_OF_PEAK = 0.35  # of the strongest difference in a frame: what counts as the thing
REFINEMENTS = 2
CLEARANCE = 0.32  # frame heights from the thing's centre at which a pixel shows what is behind it
WINDOW, WINDOW_STEPS = 0.36, 4  # frame heights round the centre in which the thing is weighed
LANDING_FRAMES = 3  # at most, between two flights that are parted by an impact
MIN_DIFFERENCE = 0.12  # of the full range, below which a frame shows nothing that moved


@dataclass(frozen=True, slots=True)
class Flight:
    """One stretch of free flight and the acceleration that fits it."""

    start: int  # frame
    stop: int  # frame after the last
    gravity: float  # frame heights per second squared, downwards positive
    residual: float  # root mean square distance from the parabola, frame heights


def track(pixels: Tensor) -> np.ndarray:
    """Clip [3, T, H, W] in [-1, 1] -> centre of what moves [T, 2] (column, row) in frame heights; NaN where unseen."""
    clip = pixels.float().cpu().add(1).div(2).numpy()
    centres = _centres(clip, np.median(clip, axis=1, keepdims=True))
    for _ in range(REFINEMENTS):
        # A thing that stays about where it is hides in the median; look behind it while it is elsewhere.
        centres = _centres(clip, _background(clip, centres))
    return centres


def _background(clip: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Median [3, 1, H, W] over the frames in which a pixel is far from the thing; over all where it never is."""
    _, _, height, width = clip.shape
    rows, columns = np.mgrid[0:height, 0:width] / height
    known = np.nan_to_num(centres, nan=-9.0)[:, :, None, None]
    far = (columns - known[:, 0]) ** 2 + (rows - known[:, 1]) ** 2 > CLEARANCE**2
    far |= ~far.any(axis=0)
    return np.nanmedian(np.where(far, clip, np.nan), axis=1, keepdims=True)


def _centres(clip: np.ndarray, background: np.ndarray) -> np.ndarray:
    difference = np.abs(clip - background).max(axis=0)
    frames, height, width = difference.shape
    rows, columns = np.mgrid[0:height, 0:width] / height
    centres = np.full((frames, 2), np.nan)
    for number, picture in enumerate(difference):
        peak = picture.max()
        if peak < MIN_DIFFERENCE:
            continue
        # Squared, the thing outweighs its shadow, which also moves; the window then leaves the shadow out.
        weight = np.where(picture > max(SHARE_OF_PEAK * peak, MIN_DIFFERENCE), picture**2, 0.0)
        centre = _densest(weight)
        for _ in range(WINDOW_STEPS):
            near = weight * ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 < WINDOW**2)
            centre = (columns * near).sum() / near.sum(), (rows * near).sum() / near.sum()
        centres[number] = centre
    return centres


def _densest(weight: np.ndarray) -> tuple[float, float]:
    """Middle (column, row) in frame heights of the square window that holds the most weight."""
    height, width = weight.shape
    side = min(max(round(WINDOW * height), 1), height, width)
    total = np.pad(weight.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return (float(column) + side / 2) / height, (float(row) + side / 2) / height


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
