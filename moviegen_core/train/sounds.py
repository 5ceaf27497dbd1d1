"""Toybox sounds on disk: 16-bit .npy [channels, N] at 48 kHz.

Sound `number` belongs to the scene that train/clips.py draws under the same number, first seed and split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

from .. import toybox
from ..toybox.sound import Mixer
from ..toybox.vocabulary import OUTDOORS, motions_of
from .clips import ClipConfig, facts_of
from .ranges import above, at_least
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

    def __post_init__(self) -> None:
        at_least(self, 1, "channels")
        above(self, 0, "seconds")
        _ = self.clips  # which checks what is told of them

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

    def waveform(self, number: int) -> np.ndarray:
        """Sound `number`, float32 [channels, N] in [-1, 1]."""
        return np.array(self.stored(number), dtype=np.float32) / np.float32(FULL_SCALE)

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
    """Fingerprint of the toybox's sound: a hash of all that `samples` hear, so that a change is noticed.

    One of them is heard in its room and at its level, the others for a second as they are.
    """
    digest = hashlib.sha256()
    for number, (scene, mood) in enumerate(samples()):
        mixer = Mixer(scene, toybox.sound_labels(scene, music=mood))
        heard = mixer.sources(0) if number else mixer.finished(0)
        digest.update(heard_coarsely(heard).tobytes())
    return digest.hexdigest()[:16]


def samples() -> list[tuple[toybox.Scene, str]]:
    """Scenes, always the same, and moods of their music, in which everything is heard that the toybox sounds of."""
    places = [
        (place, weather)
        for place in toybox.PLACES
        for weather in (toybox.WEATHERS if place in OUTDOORS else ("clear",))
    ]
    acts = [(thing, motion) for thing in (*toybox.THINGS, "person") for motion in motions_of(thing)]
    known: set[str] = set()
    found = []
    for number, (thing, motion) in enumerate(acts):
        place, weather = places[number % len(places)]
        scene = toybox.sample_scene(number, thing=thing, motion=motion, place=place, weather=weather)
        labels = toybox.sound_labels(scene, music=toybox.MOODS[number % len(toybox.MOODS)])
        if labels.kind != "silence" and not {labels.kind, labels.ambience, labels.mood} <= known:
            known |= {labels.kind, labels.ambience, labels.mood}
            found.append((scene, labels.mood))
    return found


def heard_coarsely(waveform: np.ndarray) -> np.ndarray:
    """int16 [C, 100]: loudness of the fiftieth parts of a second [C, 48000], and of 50 bands up to 5 kHz."""
    spectrum = np.abs(np.fft.rfft(waveform, norm="forward"))[:, :5000]
    parts = np.mean(waveform.reshape(len(waveform), 50, -1) ** 2, axis=2)
    bands = 2 * np.sum(spectrum.reshape(len(waveform), 50, -1) ** 2, axis=2)
    # Coarse steps: another processor's last digits are no change.
    return np.round(200 * np.sqrt(np.concatenate([parts, bands], axis=1))).astype(np.int16)
