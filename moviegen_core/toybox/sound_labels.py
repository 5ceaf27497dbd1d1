"""What is heard in a scene, by name: the action of its subject, the place around it, and the mood of its music."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenes import Scene
from .vocabulary import check

SOUND_KINDS = (
    "bouncing",
    "hopping",
    "sliding",
    "rolling",
    "tumbling",
    "swinging",
    "rocking",
    "humming",
    "floating",
    "whirring",
    "wings",
    "rocket",
    "engine",
    "balloon",
    "splashing",
    "whooshing",
    "collision",
    "steps",
    "rustling",
    "silence",
)
AMBIENCES = (
    "breeze",
    "waves",
    "insects",
    "city hum",
    "room tone",
    "space hum",
    "bubbles",
    "rain",
    "hush",
    "silence",
)
MOODS = ("none", "calm", "cheerful", "tense")

_BY_MOTION = {
    "bounce": "bouncing",
    "hop": "hopping",
    "slide": "sliding",
    "roll": "rolling",
    "swing": "swinging",
    "rock": "rocking",
    "orbit": "humming",
    "float": "floating",
    "spin": "whirring",
    "fly": "whooshing",
    "collide": "collision",
    "walk": "steps",
    "wave": "rustling",
}
# Things that have a sound of their own for some motions.
_BY_THING: dict[str, dict[str, str]] = {
    "bird": {"fly": "wings", "float": "wings", "orbit": "wings"},
    "duck": {"fly": "wings"},
    "rocket": {"fly": "rocket", "float": "rocket", "orbit": "rocket"},
    "car": {"roll": "engine", "fly": "engine"},
    "boat": {"fly": "engine", "float": "splashing"},
    "robot": {"fly": "engine"},
    "fish": {"fly": "splashing", "float": "splashing"},
    "balloon": {"fly": "balloon", "float": "balloon"},
    "cube": {"roll": "tumbling"},
}
_BY_PLACE = {
    "meadow": "breeze",
    "beach": "waves",
    "night sky": "insects",
    "city": "city hum",
    "room": "room tone",
    "space": "space hum",
    "under water": "bubbles",
}
_MUSIC_SHARE = 0.55  # of the scenes
_VACUUM_SHARE = 0.5  # of the scenes in space without music, where nothing can be heard
# How often each place has calm, cheerful and tense music.
_MOOD_SHARES = {
    "meadow": (0.3, 0.55, 0.15),
    "beach": (0.4, 0.45, 0.15),
    "night sky": (0.4, 0.15, 0.45),
    "city": (0.2, 0.45, 0.35),
    "room": (0.35, 0.45, 0.2),
    "space": (0.35, 0.15, 0.5),
    "under water": (0.45, 0.15, 0.4),
}


@dataclass(frozen=True, slots=True)
class SoundLabels:
    """Names out of SOUND_KINDS, AMBIENCES and MOODS."""

    kind: str
    ambience: str
    mood: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is heard apart from music; empty in silence."""
        return tuple(name for name in (self.kind, self.ambience) if name != "silence")

    @property
    def silent(self) -> bool:
        """True when there is nothing to hear at all."""
        return not self.kinds and self.mood == "none"


def sound_labels(scene: Scene, *, music: bool | str = True, subject: bool = True) -> SoundLabels:
    """Labels of `scene` with its own choice of music (True), none (False), or a mood of MOODS.

    Without its `subject` only the place is heard. Half of the scenes in space that have no music of their own are
    silent, with nothing but what music is asked for.
    """
    chance = np.random.default_rng((scene.seed, 48, len(scene.split))).uniform(0, 1, 3)
    shares = np.cumsum(_MOOD_SHARES[scene.place])
    own = MOODS[1 + int(np.searchsorted(shares, chance[1] * shares[-1]))] if chance[0] < _MUSIC_SHARE else "none"
    if isinstance(music, str):
        check("mood", music, MOODS)
    mood = music if isinstance(music, str) else own if music else "none"
    if scene.place == "space" and own == "none" and chance[2] < _VACUUM_SHARE:
        return SoundLabels("silence", "silence", mood)
    falling = {"rain": "rain", "snow": "hush"}
    kind = _kind(scene) if subject else "silence"
    return SoundLabels(kind, falling.get(scene.weather, _BY_PLACE[scene.place]), mood)


def _kind(scene: Scene) -> str:
    return _BY_THING.get(scene.subject.thing, {}).get(scene.motion.kind, _BY_MOTION[scene.motion.kind])
