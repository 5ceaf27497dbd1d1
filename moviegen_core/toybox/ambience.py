"""The sound of a place: wind, waves, insects, a city, a room, space, water, rain and the hush of snow, always soft."""

from __future__ import annotations

import math

import numpy as np

from .acoustics import RATE, breath, glide, ring
from .actions import CONTROL, Grain, smooth

_SIDE = 0.35  # level of what differs between left and right


def _bed(seed: tuple[int, ...], block: int, centre: float, octaves: float, level: np.ndarray | float) -> np.ndarray:
    """[2, RATE]: soft noise, mostly in the middle."""
    middle = breath((*seed, 1), block, centre, octaves)
    side = _SIDE * breath((*seed, 2), block, centre, octaves)
    return level * np.stack([middle + side, middle - side])


def _swell(seed: tuple[int, ...], block: int, period: float, low: float) -> np.ndarray:
    """[RATE]: a slow rise and fall between `low` and 1 of two incommensurate periods."""
    time = block + np.arange(CONTROL + 1) / CONTROL
    first, second = np.random.default_rng((*seed, 8)).uniform(0, math.tau, 2)
    wave = 0.6 * np.sin(math.tau * time / period + first) + 0.4 * np.sin(math.tau * time / (1.618 * period) + second)
    return smooth(low + (1 - low) * (0.5 + 0.5 * wave))


def bed(name: str, seed: tuple[int, ...], block: int) -> np.ndarray | None:
    """Stereo [2, RATE] of second `block` of ambience `name`; None where there is none."""
    if name == "breeze":
        return _bed(seed, block, 260.0, 0.9, 0.02 * _swell(seed, block, 5.0, 0.35))
    if name == "waves":
        swell = _swell(seed, block, 4.4, 0.0) ** 2
        return _bed(seed, block, 330.0, 1.3, 0.045 * (0.12 + 0.88 * swell))
    if name == "insects":
        return _bed(seed, block, 220.0, 1.0, 0.007)
    if name == "city hum":
        return _bed(seed, block, 105.0, 1.2, 0.026 * _swell(seed, block, 7.0, 0.6))
    if name == "room tone":
        return _bed(seed, block, 120.0, 0.8, 0.009)
    if name == "space hum":
        time = block + np.arange(CONTROL + 1) / CONTROL
        hum = np.zeros(RATE, np.float32)
        for number, (hertz, level) in enumerate(((55.0, 1.0), (82.5, 0.7), (110.0, 0.4), (138.5, 0.25))):
            slow = smooth(level * (0.6 + 0.4 * np.sin(math.tau * time / (3.1 + 1.7 * number) + number)))
            # Every tone makes a whole number of turns in two seconds.
            hum += slow * ring(hertz, 1e9, 2 * RATE)[block % 2 * RATE :][:RATE]
        return np.float32(0.026) * np.stack([hum, hum])
    if name == "bubbles":
        return _bed(seed, block, 130.0, 1.0, 0.02 * _swell(seed, block, 6.0, 0.6))
    if name == "rain":
        return _bed(seed, block, 470.0, 0.9, 0.018)
    if name == "hush":
        return _bed(seed, block, 180.0, 0.9, 0.005 * _swell(seed, block, 6.0, 0.4))
    return None


def grains(name: str, seed: tuple[int, ...], block: int) -> list[Grain]:
    """Single sounds of the place that begin within second `block`: chirps, drops, bubbles, a far horn, a clock."""
    rng = np.random.default_rng((*seed, block, 21))
    found: list[Grain] = []

    def add(at: float, wave: np.ndarray, width: float = 0.7) -> None:
        found.append(Grain(round((block + at) * RATE), wave.astype(np.float32), float(rng.uniform(-width, width)), 0.6))

    if name == "breeze" and rng.random() < 0.75:
        pitch, at = rng.uniform(950, 1250), rng.uniform(0, 0.5)
        for number in range(int(rng.integers(2, 4))):
            add(at + 0.13 * number, 0.05 * glide(pitch * 1.12, pitch, 0.09), 0.6)
    elif name == "insects":
        # Two chirps a second, each of four pulses: slow, low crickets.
        for chirp in range(2):
            pulse = np.concatenate([glide(1180.0, 1160.0, 0.028) for _ in range(4)])
            add(0.5 * chirp + rng.uniform(0, 0.05), 0.045 * pulse * (1.0 if chirp else 0.7), 0.7)
    elif name == "city hum" and rng.random() < 0.25:
        low = rng.uniform(270, 330)
        horn = glide(low, low * 0.99, 0.5, 1.0, (1.0, 0.5, 0.3)) + glide(low * 1.26, low * 1.25, 0.5, 1.0, (0.8, 0.3))
        add(rng.uniform(0, 0.8), 0.03 * horn)
    elif name == "room tone":
        for half in range(2):
            tick = 0.06 * ring(760.0 if half else 640.0, 0.012, 4800)
            found.append(Grain(block * RATE + half * RATE // 2, tick.astype(np.float32), 0.45, 0.8))
    elif name == "bubbles":
        for _ in range(int(rng.poisson(3.5))):
            low = rng.uniform(300, 800)
            add(rng.uniform(0, 0.99), rng.uniform(0.035, 0.07) * glide(low, low * 1.5, rng.uniform(0.06, 0.12)))
    elif name == "rain":
        for _ in range(14):
            drop = glide(rng.uniform(700, 1150), rng.uniform(600, 900), rng.uniform(0.015, 0.035))
            add(rng.uniform(0, 0.99), rng.uniform(0.02, 0.05) * drop, 0.9)
    return found
