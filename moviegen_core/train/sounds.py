"""Toybox sounds on disk: 16-bit .npy [channels, N] at 48 kHz.

Sound `number` belongs to the scene that train/clips.py draws under the same number, first seed and split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from .. import toybox
from .clips import ClipConfig, facts_of
from .rendered import Rendered

FULL_SCALE = 32767.0
SHARED = ("count", "kinds", "first_seed", "split", "motions")  # that sounds have of their clips


@dataclass(frozen=True, kw_only=True)
class SoundConfig:
    """What the sounds of a folder are; `kinds` (frames, fps, how many of each round) and `motions` as in ClipConfig."""

    count: int
    kinds: tuple[tuple[int, int, int], ...] = ((32, 16, 1),)
    first_seed: int = 1_000_000
    split: str = "train"
    motions: tuple[str, ...] = ()
    channels: int = 2
    seconds: float | None = None  # default: as long as the clip; stills are heard for the whole of their scene
    music: bool = True  # by each scene's own choice, or none at all
    subject: bool = True  # False: only the place is heard

    @classmethod
    def beside(cls, clips: ClipConfig, **settings: object) -> SoundConfig:
        """The sounds of the same scenes as `clips`."""
        return cls(**{**{name: getattr(clips, name) for name in SHARED}, **settings})

    @property
    def clips(self) -> ClipConfig:
        """The clips to which these sounds belong."""
        return ClipConfig(**{name: getattr(self, name) for name in SHARED})

    def scene(self, number: int) -> toybox.Scene:
        """Scene of sound `number`."""
        return self.clips.scene(number)

    def duration(self, number: int) -> float:
        """Seconds of sound `number`."""
        return self.seconds if self.seconds is not None else self.scene(number).duration_seconds


class Sounds(Rendered[SoundConfig]):
    """The first `config.count` sounds of a folder."""

    name, one = "sounds", "sound"

    @staticmethod
    def describe(config: SoundConfig) -> dict[str, object]:
        """All but the count, and the synthesis itself."""
        return {**facts_of(config), "synthesis": synthesis()}

    def waveform(self, number: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """float32 [channels, N] in [-1, 1]: sound `number`, or `count` samples of it from sample `first` on."""
        part = self.stored(number)[:, first : None if count is None else first + count]
        return np.array(part, dtype=np.float32) / np.float32(FULL_SCALE)

    def samples(self, number: int) -> int:
        """Length of sound `number` at 48 kHz."""
        return round(self.config.duration(number) * toybox.SOUND_RATE)

    def scene(self, number: int) -> toybox.Scene:
        """The scene in which sound `number` is heard."""
        return self.config.scene(number)

    def make(self, number: int) -> np.ndarray:
        """Synthesise sound `number`."""
        config = self.config
        waveform = toybox.sound(
            self.scene(number), seconds=config.duration(number), channels=config.channels, music=config.music,
            subject=config.subject,
        )  # fmt: skip
        return np.round(waveform * FULL_SCALE).astype(np.int16)


@cache
def synthesis() -> str:
    """Fingerprint of the toybox's sound: a hash of a few clips rounded to 8 bits, so that a change is noticed."""
    digest = hashlib.sha256()
    for seed in range(8):
        waveform = toybox.sound(toybox.sample_scene(seed), seconds=1.0, channels=1)
        loudness = np.sqrt(np.mean(waveform.reshape(50, -1) ** 2, axis=1))
        # Coarse steps: another processor's last digits are no change.
        digest.update(np.round(200 * loudness).astype(np.int16).tobytes())
    return digest.hexdigest()[:16]
