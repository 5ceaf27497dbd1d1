"""What sounds are made of: vibrating materials, gliding tones, filtered noise and rooms, at 48 kHz.

Most energy lies below 1.5 kHz: things are toys struck with soft mallets, noise is wind rather than hiss. All arrays
are float32; the letter S counts samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..shapes import SOUND_SAMPLE_RATE

RATE = SOUND_SAMPLE_RATE
FASTEST = 1.6  # an impact speed in world units / s that counts as hard; nothing in the toybox is much faster
_NOISE_PERIOD = 1 << 17  # samples of looping noise from which bursts are cut: 2.7 s


@dataclass(frozen=True, slots=True)
class Material:
    """How a body rings when struck: mode frequencies over the lowest, their levels, ring time, hardness 0..1.

    `hertz` is the lowest mode of a body of radius 0.17; smaller bodies ring higher. `seconds` is the time constant
    of the lowest mode. Ratios follow bars, membranes and shells (Fletcher and Rossing, "The Physics of Musical
    Instruments"); the rest is chosen by ear.
    """

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    hertz: float
    seconds: float
    hardness: float
    noise: float = 0.1  # share of dull noise in the blow


MATERIALS = {
    "rubber": Material((1.0, 1.59, 2.3, 3.6), (1.0, 0.5, 0.3, 0.15), 175.0, 0.11, 0.45, 0.2),
    "wood": Material((1.0, 2.57, 4.3), (1.0, 0.5, 0.2), 330.0, 0.07, 0.75, 0.12),
    "metal": Material((1.0, 1.52, 2.76, 4.1), (1.0, 0.6, 0.4, 0.12), 392.0, 0.42, 0.9, 0.04),
    "glass": Material((1.0, 2.32, 3.1), (1.0, 0.35, 0.12), 587.0, 0.36, 0.95, 0.03),
    "skin": Material((1.0, 1.59, 2.14, 2.65), (1.0, 0.7, 0.45, 0.25), 110.0, 0.16, 0.25, 0.1),
    "fur": Material((1.0, 1.45), (1.0, 0.3), 130.0, 0.05, 0.1, 0.45),
    "scales": Material((1.0, 1.8), (1.0, 0.4), 205.0, 0.06, 0.2, 0.4),
    "feathers": Material((1.0, 1.5), (1.0, 0.3), 185.0, 0.045, 0.08, 0.6),
    "leather": Material((1.0, 2.1), (1.0, 0.4), 145.0, 0.05, 0.4, 0.35),
}
THING_MATERIALS = {
    "ball": "rubber",
    "cube": "wood",
    "star": "glass",
    "fish": "scales",
    "bird": "feathers",
    "car": "metal",
    "boat": "wood",
    "balloon": "skin",
    "cat": "fur",
    "robot": "metal",
    "rocket": "metal",
    "duck": "rubber",
    "person": "leather",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What is struck: its thump (Hz, seconds, level), its crunch (upper edge in Hz, level) and its hardness 0..1."""

    hertz: float
    seconds: float
    thump: float
    edge: float
    crunch: float
    hardness: float


GROUNDS = {
    "grass": Ground(78.0, 0.05, 0.45, 700.0, 0.3, 0.3),
    "sand": Ground(70.0, 0.04, 0.4, 900.0, 0.42, 0.2),
    "stone": Ground(120.0, 0.03, 0.3, 1200.0, 0.12, 0.95),
    "wood": Ground(98.0, 0.09, 0.55, 600.0, 0.1, 0.7),
    "dust": Ground(62.0, 0.06, 0.4, 500.0, 0.25, 0.2),
    "solid": Ground(140.0, 0.03, 0.15, 900.0, 0.06, 0.9),
    "rubber": Ground(110.0, 0.06, 0.4, 500.0, 0.08, 0.4),
}


def ring(hertz: float, seconds: float, samples: int) -> np.ndarray:
    """[S]: exp(-t / seconds) sin(2 pi hertz t)."""
    # Powers of one complex number by an outer product: two short tables instead of S exponentials.
    width = 256
    pole = complex(-1 / (seconds * RATE), math.tau * hertz / RATE)
    fine = np.exp(pole * np.arange(width)).astype(np.complex64)
    coarse = np.exp(pole * width * np.arange(-(-samples // width))).astype(np.complex64)
    return np.multiply.outer(coarse, fine).ravel()[:samples].imag


def strike(material: Material, ground: Ground, radius: float, speed: float, seed: tuple[int, ...]) -> np.ndarray:
    """[S]: a body struck at `speed` world units / s; louder and brighter when faster, peak near 0.7 at most.

    The blow is a half-sine force whose duration falls with hardness and, as in Hertz's contact, with speed to the
    power of 1/5; its spectrum weighs the modes.
    """
    pace = min(max(speed, 0.05), FASTEST) / FASTEST
    hardness = 0.5 * (material.hardness + ground.hardness)
    contact = (0.0045 - 0.0037 * hardness) * pace**-0.2 * (1.5 - 0.5 * pace)
    lowest = material.hertz * (0.17 / radius) ** 0.8
    samples = int(RATE * min(7 * max(material.seconds, ground.seconds), 1.9))
    sound = np.zeros(samples, np.float32)
    for number, (ratio, level) in enumerate(zip(material.ratios, material.levels, strict=True)):
        hertz = lowest * ratio
        sound += level * math.exp(-((0.8 * hertz * contact) ** 2)) * ring(hertz, material.seconds / ratio**0.7, samples)
        if number == 0:  # the lowest mode falls a little in pitch: a struck toy gives way
            sound += 0.25 * level * ring(1.04 * hertz, 0.35 * material.seconds, samples)
    thump = ground.thump * ring(ground.hertz * (0.17 / radius) ** 0.4, ground.seconds, samples)
    crunch = burst(ground.edge * (0.5 + 0.5 * pace), 0.01 + 0.05 * (1 - hardness), seed)
    sound += thump * (0.6 + 0.4 * pace)
    size = min(samples, crunch.size)
    sound[:size] += (ground.crunch + material.noise) * crunch[:size]
    sound[-2400:] *= np.linspace(1, 0, 2400, dtype=np.float32)
    return (0.13 + 0.42 * pace) * sound


def burst(edge: float, seconds: float, seed: tuple[int, ...], attack: float = 0.002) -> np.ndarray:
    """[S]: noise below `edge` Hz that swells in `attack` and dies away with the time constant `seconds`; RMS near 1."""
    samples = int(RATE * (attack + 6 * seconds))
    time = np.arange(samples, dtype=np.float32) / RATE
    return cut(edge * 0.45, 1.1, seed, samples) * (1 - np.exp(-time / attack)) * np.exp(-time / seconds)


def puff(centre: float, octaves: float, seconds: float, seed: tuple[int, ...]) -> np.ndarray:
    """[S]: noise around `centre` Hz, `octaves` wide, under one smooth hump of `seconds`; RMS near 1 at its middle."""
    samples = int(RATE * seconds)
    return cut(centre, octaves, seed, samples) * np.hanning(samples).astype(np.float32)


def glide(
    first: float, last: float, seconds: float, bend: float = 1.0, harmonics: tuple[float, ...] = (1.0,)
) -> np.ndarray:
    """[S]: a tone from `first` to `last` Hz under a soft hump that falls slowly; `harmonics` are levels."""
    samples = int(RATE * seconds)
    place = np.arange(samples, dtype=np.float64) / samples
    hertz = first * (last / first) ** (place**bend)
    turn = (math.tau * np.cumsum(hertz) / RATE).astype(np.float32)
    tone = sum(level * np.sin((number + 1) * turn) for number, level in enumerate(harmonics))
    shape = np.minimum(place / 0.08, 1.0) * np.cos(0.5 * math.pi * place) ** 1.5
    return (np.asarray(tone) * shape).astype(np.float32)


def cut(centre: float, octaves: float, seed: tuple[int, ...], samples: int) -> np.ndarray:
    """[S]: a piece of looping noise of RMS 1 around `centre` Hz; `seed` says where the loop is entered."""
    loop = _loop(round(centre), octaves)
    start = int(np.random.default_rng((*seed, 91)).integers(loop.size))
    return looped(centre, octaves, start, samples) if samples else loop[:0]


def looped(centre: float, octaves: float, start: int, samples: int) -> np.ndarray:
    """[S]: the looping noise of `cut` from sample `start` on."""
    loop = _loop(round(centre), octaves)
    start %= loop.size
    if start + samples <= loop.size:
        return loop[start : start + samples]
    return np.take(loop, np.arange(start, start + samples), mode="wrap")


@lru_cache(maxsize=64)
def _loop(centre: int, octaves: float) -> np.ndarray:
    return _noise(np.random.default_rng((centre, round(100 * octaves), 5)), _NOISE_PERIOD, centre, octaves)


@lru_cache(maxsize=128)
def _bell(step: float, centre: float, octaves: float) -> np.ndarray:
    """Level of the bins 1, 2, ... (`step` Hz apart) under a bell on the logarithmic frequency axis."""
    top = int(min(centre * 2 ** (3 * octaves), RATE / 2) / step)
    hertz = np.arange(1, top) * step
    return np.exp(-0.5 * (np.log2(hertz / centre) / (0.5 * octaves)) ** 2).astype(np.float32)


def _noise(rng: np.random.Generator, samples: int, centre: float, octaves: float) -> np.ndarray:
    bell = _bell(RATE / samples, centre, octaves)
    spectrum = np.zeros(samples // 2 + 1, np.complex64)
    real, imaginary = rng.standard_normal((2, bell.size), dtype=np.float32)
    spectrum[1 : bell.size + 1] = bell * (real + 1j * imaginary)
    noise = np.fft.irfft(spectrum, n=samples)
    return (noise * (samples / (2 * math.sqrt(float(np.sum(bell**2)))))).astype(np.float32)


@lru_cache(maxsize=24)
def _piece(seed: tuple[int, ...], index: int, centre: float, octaves: float) -> np.ndarray:
    """[2 s] of fresh noise under half a sine, so that overlapping pieces keep one loudness."""
    noise = _noise(np.random.default_rng((*seed, index + 1, 17)), 2 * RATE, centre, octaves)
    return noise * np.sin(math.pi * (np.arange(2 * RATE, dtype=np.float32) + 0.5) / (2 * RATE))


def breath(seed: tuple[int, ...], block: int, centre: float, octaves: float) -> np.ndarray:
    """[1 s]: second number `block` of endless noise of RMS 1 around `centre` Hz that never repeats."""
    return _piece(seed, block - 1, centre, octaves)[RATE:] + _piece(seed, block, centre, octaves)[:RATE]


@dataclass(frozen=True, slots=True)
class Room:
    """Reverberation: seconds to fall by 60 dB, upper edge in Hz, gain below it, delay of the first reflection."""

    seconds: float
    edge: float
    level: float
    delay: float


ROOMS = {
    "meadow": Room(0.35, 900.0, 0.22, 0.03),
    "beach": Room(0.3, 900.0, 0.18, 0.03),
    "night sky": Room(0.5, 800.0, 0.28, 0.04),
    "city": Room(0.8, 1100.0, 0.35, 0.05),
    "room": Room(0.45, 1500.0, 0.45, 0.008),
    "space": Room(1.0, 700.0, 0.5, 0.06),
    "under water": Room(0.9, 500.0, 0.55, 0.015),
}


@lru_cache(maxsize=8)
def room_spectrum(place: str) -> np.ndarray:
    """[2, F]: spectra of the left and right reflections of a place, for blocks of one second and their tails."""
    room = ROOMS[place]
    time = np.arange(RATE) / RATE
    decay = np.where(time >= room.delay, 10 ** (-3 * (time - room.delay) / room.seconds), 0.0)
    left, right = (cut(room.edge * 0.5, 1.6, (number, 3), RATE) * decay for number in range(2))
    middle, side = left + right, 0.6 * (left - right)
    both = np.stack([middle + side, middle - side])
    spectrum = np.fft.rfft(both, n=2 * RATE)
    heard = np.abs(spectrum[:, 200 : 2 * round(room.edge)]) ** 2
    return (room.level / np.sqrt(np.mean(heard)) * spectrum).astype(np.complex64)
