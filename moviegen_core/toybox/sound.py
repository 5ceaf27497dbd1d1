"""The sound of a scene at 48 kHz: its subject, its place and its music in one room, second by second.

Every second is a function of the scene and its number alone, so a long clip begins with the short one, sample for
sample, and any part can be rendered by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..errors import ConfigError
from . import actions, ambience
from . import music as composer
from .acoustics import RATE, room_spectrum
from .actions import Grain
from .scenes import Scene
from .sound_labels import SoundLabels, sound_labels

LONGEST_GRAIN = 5  # seconds
LEVELLED = 4  # seconds at the start by which the level of the whole clip is set
_TARGET = 0.105  # RMS of the loud parts, left and right together
_GAIN = (0.3, 2.2)  # limits of the level's correction: what is quiet stays quieter
_KNEE, _CEILING = 0.7, 0.95  # amplitudes between which peaks are rounded


def sound(
    scene: Scene,
    *,
    seconds: float | None = None,
    channels: int = 2,
    music: bool | str = True,
    subject: bool = True,
    start_seconds: float = 0.0,
) -> np.ndarray:
    """float32 [channels, N] at 48 kHz in [-1, 1] of `scene`, N = round(seconds * 48000), from `start_seconds` on.

    seconds: default the scene's own duration; any length works. music: True for the scene's own choice, False for none,
    or a mood. subject: False leaves its sounds out, so that only the place is heard. One channel is the mean of the
    two. ConfigError for lengths, channels or moods that there are not.
    """
    seconds = scene.duration_seconds if seconds is None else seconds
    if channels not in (1, 2):
        raise ConfigError(f"{channels} channels were asked for; the toybox sounds in 1 or 2")
    if not (math.isfinite(seconds) and seconds >= 0 and math.isfinite(start_seconds) and start_seconds >= 0):
        raise ConfigError(f"{seconds} s from {start_seconds} s on is no part of a clip; give numbers from 0 up")
    first = round(start_seconds * RATE)
    last = first + round(seconds * RATE)
    out = np.zeros((channels, last - first), np.float32)
    for at, part in stream(scene, music=music, subject=subject, first=first, last=last):
        out[:, at - first : at - first + part.shape[1]] = part if channels == 2 else part.mean(axis=0)
    return out


def stream(
    scene: Scene, *, music: bool | str, first: int, last: int, subject: bool = True
) -> Iterator[tuple[int, np.ndarray]]:
    """(sample, stereo [2, <= 48000]) of the clip from sample `first` to `last`, a second at a time."""
    labels = sound_labels(scene, music=music, subject=subject)
    if labels.silent:
        return
    mixer = Mixer(scene, labels)
    for block in range(first // RATE, -(-last // RATE)):
        begin, end = max(first, block * RATE), min(last, (block + 1) * RATE)
        yield begin, mixer.finished(block)[:, begin - block * RATE : end - block * RATE]


class Mixer:
    """Renders seconds of one scene; keeps the few that later ones build on."""

    def __init__(self, scene: Scene, labels: SoundLabels) -> None:
        self.scene, self.labels = scene, labels
        self.seed = (scene.seed, len(scene.split))
        self.voice = actions.Voice(scene, labels)
        self.piece = composer.piece(labels.mood, self.seed) if labels.mood != "none" else None
        self.rooms = room_spectrum(scene.place)
        self._struck: dict[int, np.ndarray] = {}
        self._mixed: dict[int, np.ndarray] = {}
        self._echoes: dict[int, np.ndarray] = {}
        self._summed: dict[int, np.ndarray] = {}
        self._streamed = 0
        self._level: float | None = None

    def finished(self, block: int) -> np.ndarray:
        """Stereo [2, RATE] of second `block`, at its final level, peaks rounded."""
        if self._level is None:
            self._level = self._measure()
        sound = self._level * self.mixed(block)
        over = np.abs(sound) - _KNEE
        if over.max() <= 0:
            return sound
        width = _CEILING - _KNEE
        return np.where(over > 0, np.sign(sound) * (_KNEE + width * np.tanh(over / width)), sound).astype(np.float32)

    def mixed(self, block: int) -> np.ndarray:
        """Stereo [2, RATE] of second `block` with its echoes."""
        if block not in self._mixed:
            dry = self.sources(block)[:2]
            echo = self._echo(block)[:, :RATE]
            if block:
                echo = echo + self._echo(block - 1)[:, RATE:]
            self._mixed[block] = dry + echo
            self._forget(block)
        return self._mixed[block]

    def _measure(self) -> float:
        """Gain that brings the loud parts of the first seconds near the target."""
        loud = []
        for block in range(LEVELLED):
            power = np.sum(self.mixed(block).astype(np.float64) ** 2, axis=0).reshape(5, -1).mean(axis=1)
            loud += power.tolist()
        powers = np.array(loud)
        # As in ITU-R BS.1770, what is 10 dB below the mean does not count.
        kept = powers[powers >= 0.1 * powers.mean()]
        rms = math.sqrt(float(kept.mean())) if powers.max() > 0 else _TARGET
        return float(np.clip(_TARGET / rms, *_GAIN))

    def _echo(self, block: int) -> np.ndarray:
        """[2, 2 * RATE]: the room's answer to second `block` and its tail."""
        if block not in self._echoes:
            spectrum = np.fft.rfft(self.sources(block)[2], n=2 * RATE)
            self._echoes[block] = np.fft.irfft(spectrum * self.rooms, n=2 * RATE).astype(np.float32)
        return self._echoes[block]

    def sources(self, block: int) -> np.ndarray:
        """[3, RATE]: left, right and what goes to the room, of all sources."""
        if block not in self._summed:
            self._summed[block] = self._sum(block)
        return self._summed[block]

    def _sum(self, block: int) -> np.ndarray:
        total = np.zeros((3, RATE), np.float32)
        for begun in range(max(block - LONGEST_GRAIN + 1, 0), block + 1):
            part = self._grains(begun)[:, (block - begun) * RATE :][:, :RATE]
            total[:, : part.shape[1]] += part
        # A stream's tones count their turns from the start of the clip.
        for earlier in range(min(self._streamed, block), block):
            self.voice.stream(earlier)
        self._streamed = max(self._streamed, block)
        found = self.voice.stream(block)
        if found is not None:
            wave, pan = found
            left, right = gains(pan)
            total += np.stack([left * wave, right * wave, wave])
        bed = ambience.bed(self.labels.ambience, self.seed, block)
        if bed is not None:
            total[:2] += bed
        return total

    def _grains(self, block: int) -> np.ndarray:
        """[3, S]: all grains that begin in second `block`, with their tails."""
        if block not in self._struck:
            found = self.voice.grains(block) + ambience.grains(self.labels.ambience, self.seed, block)
            if self.piece is not None:
                found += composer.grains(self.piece, block)
            self._struck[block] = _laid(found, block)
        return self._struck[block]

    def _forget(self, block: int) -> None:
        for kept, age in ((self._struck, LONGEST_GRAIN), (self._mixed, LEVELLED), (self._echoes, 2), (self._summed, 2)):
            for old in [number for number in kept if abs(number - block) > age]:
                del kept[old]


def _laid(found: list[Grain], block: int) -> np.ndarray:
    end = max((grain.start + grain.wave.size - block * RATE for grain in found), default=0)
    total = np.zeros((3, min(end, LONGEST_GRAIN * RATE)), np.float32)
    for grain in found:
        at = grain.start - block * RATE
        wave = grain.wave[: total.shape[1] - at]
        left, right = gains(np.float32(grain.pan))
        for row, gain in zip(total, (left, right, np.float32(grain.echo)), strict=True):
            row[at : at + wave.size] += gain * wave
    return total


def gains(pan: np.ndarray | np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Levels of left and right at constant power for places from -1 to 1; 1 and 1 in the middle."""
    angle = np.float32(0.25 * math.pi) * (pan + np.float32(1))
    return np.float32(math.sqrt(2)) * np.cos(angle), np.float32(math.sqrt(2)) * np.sin(angle)
