"""Toybox sounds on disk: rendered once, read by every training of sound.

Sound `number` belongs to the scene that train/clips.py draws under the same number, first seed and split. Each is one
16-bit .npy [channels, N] at 48 kHz, read through memory mapping; the folder can be filled by any number of processes,
stopped at any time, and filled on later.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import uuid
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np

from .. import toybox
from ..config import to_dict
from ..errors import ConfigError
from .clips import RENDER_NICENESS, ClipConfig
from .origin import claim
from .progress import Countdown

FULL_SCALE = 32767.0


@dataclass(frozen=True, kw_only=True)
class SoundConfig:
    """What the sounds of a folder are; `kinds` are (frames, fps, how many of each round), as in ClipConfig."""

    count: int
    kinds: tuple[tuple[int, int, int], ...] = ((32, 16, 1),)
    first_seed: int = 1_000_000
    split: str = "train"
    channels: int = 2
    seconds: float | None = None  # default: as long as the clip; stills are heard for the whole of their scene
    music: bool = True  # by each scene's own choice, or none at all

    @classmethod
    def beside(cls, clips: ClipConfig, **settings: object) -> SoundConfig:
        """The sounds of the same scenes as `clips`."""
        shared = {"count": clips.count, "kinds": clips.kinds, "first_seed": clips.first_seed, "split": clips.split}
        return cls(**{**shared, **settings})  # type: ignore[arg-type]

    @property
    def clips(self) -> ClipConfig:
        """The clips to which these sounds belong."""
        return ClipConfig(count=self.count, kinds=self.kinds, first_seed=self.first_seed, split=self.split)

    def scene(self, number: int) -> toybox.Scene:
        """Scene of sound `number`."""
        return self.clips.scene(number)

    def duration(self, number: int) -> float:
        """Seconds of sound `number`."""
        return self.seconds if self.seconds is not None else self.scene(number).duration_seconds


class Sounds:
    """The first `config.count` sounds of a folder."""

    def __init__(self, folder: Path, config: SoundConfig) -> None:
        """Refuses a folder whose sounds another configuration or another synthesis made."""
        self.folder, self.config = folder, config
        claim(
            folder,
            describe(config),
            "the sounds in {folder} were made with other {changed}; delete the folder to make them again, or name "
            "another one",
        )

    def first(self, count: int) -> Sounds:
        """The same folder, of which only the first `count` sounds are wanted."""
        return Sounds(self.folder, replace(self.config, count=count))

    def __len__(self) -> int:
        return self.config.count

    def path(self, number: int) -> Path:
        """File of one sound; a thousand to a folder."""
        return self.folder / f"{number // 1000:03d}" / f"{number:06d}.npy"

    def waveform(self, number: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """float32 [channels, N] in [-1, 1]: sound `number`, or `count` samples of it from sample `first` on."""
        if not 0 <= number < len(self):
            raise ConfigError(f"sound {number} was asked for; the folder is to hold {len(self)}")
        stored = np.load(self.path(number), mmap_mode="r")
        part = stored[:, first : None if count is None else first + count]
        return np.array(part, dtype=np.float32) / np.float32(FULL_SCALE)

    def samples(self, number: int) -> int:
        """Length of sound `number` at 48 kHz."""
        return round(self.config.duration(number) * toybox.SOUND_RATE)

    def scene(self, number: int) -> toybox.Scene:
        """The scene in which sound `number` is heard."""
        return self.config.scene(number)

    def missing(self) -> list[int]:
        """Numbers that are not rendered yet."""
        return [number for number in range(len(self)) if not self.path(number).is_file()]

    def render(self, number: int) -> None:
        """Render one sound into its file, atomically."""
        config = self.config
        waveform = toybox.sound(
            self.scene(number), seconds=config.duration(number), channels=config.channels, music=config.music
        )
        path = self.path(number)
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with partial.open("wb") as stream:
                np.save(stream, np.round(waveform * FULL_SCALE).astype(np.int16))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def fill(self, workers: int = 1, out: TextIO = sys.stderr) -> None:
        """Render what is missing, in `workers` background processes (0: in this one)."""
        missing = self.missing()
        countdown = Countdown("sounds", len(self), len(self) - len(missing), out)
        if workers == 0 or len(missing) < 2:
            for number in missing:
                self.render(number)
                countdown.tick()
            return
        with multiprocessing.get_context("spawn").Pool(workers, _start, (self.folder, self.config)) as pool:
            for _ in pool.imap_unordered(_render, missing, chunksize=8):
                countdown.tick()


def describe(config: SoundConfig) -> dict[str, object]:
    """What must be equal for two configurations to share sounds: all but the count, and the synthesis itself."""
    facts = json.loads(json.dumps(to_dict(config)))
    del facts["count"]
    return {**facts, "synthesis": synthesis()}


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


_sounds: Sounds | None = None


def _start(folder: Path, config: SoundConfig) -> None:
    global _sounds
    os.nice(RENDER_NICENESS)
    _sounds = Sounds(folder, config)


def _render(number: int) -> None:
    if _sounds is not None:
        _sounds.render(number)
