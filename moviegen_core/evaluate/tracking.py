"""Where the one thing that moves in a clip is, frame by frame, from pixels alone, for clips with a static camera.

What differs from the clip's temporal median is the thing that moves. A thing that bounces where it stands hides part
of what is behind it in every frame, though; so what is found is then laid over itself, frame upon frame, until it fits
(after the layers of Wang and Adelson 1994: one moves over another that stays).
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SHARE_OF_PEAK = 0.35  # of the strongest difference in a frame: what counts as the thing
REFINEMENTS = 2
CLEARANCE = 0.32  # frame heights from the thing's centre at which a pixel shows what is behind it
WINDOW, WINDOW_STEPS = 0.36, 4  # frame heights round the centre in which the thing is weighed
MIN_DIFFERENCE = 0.12  # of the full range, below which a frame shows nothing that moved
MIN_FRAMES = 5  # in which the thing is seen: fewer tell nothing of how it looks
REACH = 0.22  # frame heights to each side of the centre that are laid over each other
STEPS = (0.03, 0.03, 0.03, 0.01, 0.01, 0.01, 0.0035, 0.0035)  # frame heights, of the rounds of fitting
SHIFTS = (0, -1, 1, -2, 2)  # in those steps, both ways; where none fits better it stays
LEAST_SPREAD = 0.02  # of the full range: no pixel is more certain than that
LEAST_PART = 3e-3  # of the full range, of what is no part of the thing: it counts a little


def track(pixels: Tensor) -> np.ndarray:
    """Clip [3, T, H, W] in [-1, 1] -> centre of what moves [T, 2] (column, row) in frame heights; NaN where unseen."""
    clip = pixels.float().cpu().add(1).div(2).numpy()
    centres = _centres(clip, np.median(clip, axis=1, keepdims=True))
    for _ in range(REFINEMENTS):
        # A thing that stays about where it is hides in the median; look behind it while it is elsewhere.
        centres = _centres(clip, _background(clip, centres))
    return _registered(clip, centres)


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


def _registered(clip: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The track along which the thing looks most alike in all frames; where it is unseen it stays so.

    Pixels count by how much they differ from what is behind them, and how little from frame to frame: neither the
    background nor a shadow moves with the thing.
    """
    seen = np.flatnonzero(~np.isnan(centres[:, 0]))
    if len(seen) < MIN_FRAMES:
        return centres
    frames = torch.from_numpy(np.ascontiguousarray(clip[:, seen].swapaxes(0, 1)))
    places = torch.from_numpy(centres[seen]).float()
    for step in STEPS:
        found = _patches(frames, places)
        thing = found.median(dim=0).values
        spread = (found - thing).abs().mean(dim=1).median(dim=0).values
        behind = torch.from_numpy(_background(clip[:, seen], places.double().numpy())[:, 0]).to(frames)
        part = (found - _patches(behind.expand_as(frames), places)).abs().mean(dim=1).median(dim=0).values
        weights = (part.square() + LEAST_PART**2) / (spread.square() + LEAST_SPREAD**2)
        shifts = step * torch.tensor(list(itertools.product(SHIFTS, SHIFTS)), dtype=torch.float32)
        unlike = [
            ((_patches(frames, places + shift) - thing).square().mean(dim=1) * weights).sum(dim=(1, 2))
            for shift in shifts
        ]
        places = places + shifts[torch.stack(unlike).argmin(dim=0)]
    registered = np.full_like(centres, np.nan)
    registered[seen] = places.double().numpy()
    return registered


def _patches(frames: Tensor, places: Tensor) -> Tensor:
    """Frames [T, 3, H, W] -> the squares about `places` [T, 2], [T, 3, S, S]; the border goes on beyond the frame."""
    _, _, height, width = frames.shape
    offsets = torch.linspace(-REACH, REACH, 2 * round(REACH * height) + 1)
    rows, columns = torch.meshgrid(offsets, offsets, indexing="ij")
    points = torch.stack([columns, rows], dim=-1) + places[:, None, None]
    points = 2 * points * points.new_tensor([height / width, 1.0]) - 1
    return F.grid_sample(frames, points, mode="bilinear", padding_mode="border", align_corners=False)
