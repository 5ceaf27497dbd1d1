"""The sounds of the main subject: blows at the exact times of its events, and what its motion sounds like.

A `Voice` gives, for one second of the clip at a time, the grains that begin in it and a continuous stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import camera, motions
from .acoustics import GROUNDS, MATERIALS, RATE, THING_MATERIALS, burst, glide, looped, puff, strike
from .events import Event
from .scenes import Scene, Subject
from .sound_labels import SoundLabels

CONTROL = 50  # points a second at which poses are read; everything between them is interpolated
_STEP = RATE // CONTROL
_RAMP = (np.arange(_STEP, dtype=np.float32) / _STEP)[None]
_ENGINE_HERTZ = {"car": 78.0, "boat": 62.0, "robot": 98.0}
_HUM_HERTZ = {"star": 330.0, "bird": 294.0, "fish": 262.0, "balloon": 220.0, "cube": 196.0, "ball": 247.0}


@dataclass(frozen=True, slots=True)
class Grain:
    """A short sound: its first sample on the clip's clock, mono [S], place from -1 (left) to 1, share of echo."""

    start: int
    wave: np.ndarray
    pan: float = 0.0
    echo: float = 1.0


@dataclass(frozen=True, slots=True)
class Path:
    """The subject over one second, CONTROL + 1 values each: seconds, height, speed in units/s, pan, loudness, turn."""

    time: np.ndarray
    y: np.ndarray
    speed: np.ndarray
    pan: np.ndarray
    level: np.ndarray
    turn: np.ndarray  # cycles of a wheel, a wing or a walk (Pose.phase), or of its angle


def smooth(values: np.ndarray) -> np.ndarray:
    """[CONTROL + 1] -> [RATE], linear between the values."""
    return (values[:-1, None] + (values[1:] - values[:-1])[:, None] * _RAMP).astype(np.float32).ravel()


def pan_of(x: float) -> float:
    """Place in the stereo picture of a point at `x` of the frame's width."""
    return float(np.clip(1.7 * (x - 0.5), -0.85, 0.85))


def loudness(x: float, y: float, zoom: float) -> float:
    """Loudness of a point of the frame: louder when the camera is close, softer outside the frame."""
    beyond = max(abs(x - 0.5), abs(y - 0.5), 0.5) - 0.5
    return zoom**0.8 / (1 + 3 * beyond)


class Voice:
    """The subject of a scene, heard second by second."""

    def __init__(self, scene: Scene, labels: SoundLabels) -> None:
        self.scene, self.kind = scene, labels.kind
        self.wet = scene.place == "under water" or labels.ambience == "rain"
        self.seed = (scene.seed, len(scene.split))
        self.turns = [0.0]  # cycles of the stream's tone at the start of each second
        self._events: list[Event] = []
        self._known = 0.0

    def events(self, block: int) -> list[tuple[int, Event]]:
        """Numbered events that happen within second `block`."""
        if self._known < block + 1:
            self._known = max(2.0 * block, 8.0)
            self._events = self.scene.events_until(self._known)
        return [(n, event) for n, event in enumerate(self._events) if block <= event.time_seconds < block + 1]

    def path(self, block: int) -> Path:
        """Poses and camera over second `block`."""
        scene, half = self.scene, 0.004
        time = block + np.arange(CONTROL + 1) / CONTROL
        rows = []
        for moment in time.tolist():
            pose = motions.pose(scene, moment)
            after = motions.pose(scene, moment + half)
            seen = camera.view(scene, moment)
            x, y = seen.to_frame(pose.x, pose.y)
            speed = math.hypot(after.x - pose.x, after.y - pose.y) / half
            turn = pose.phase or pose.angle / math.tau
            rows.append((pose.y, speed, pan_of(x), loudness(x, y, seen.zoom), turn))
        y, speed, pan, level, turn = np.array(rows).T
        return Path(time, y, speed, pan, level, turn)

    def grains(self, block: int) -> list[Grain]:
        """Sounds that begin within second `block`."""
        if self.kind == "silence":
            return []
        found = [grain for number, event in self.events(block) for grain in self._blow(number, event)]
        for moment, side in self._beats(block):
            found += self._beat(moment, side)
        return found

    def stream(self, block: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Mono [RATE] and pan [RATE] of second `block`; call in order of time from 0."""
        make = _STREAMS.get(self.kind)
        if make is None:
            return None
        path = self.path(block)
        return make(self, path, block) * smooth(path.level), smooth(path.pan)

    def tone(self, hertz: np.ndarray, block: int, harmonics: tuple[float, ...]) -> np.ndarray:
        """[RATE]: harmonics of a tone whose pitch follows `hertz` [CONTROL + 1], without a jump between seconds."""
        turn = np.cumsum(smooth(hertz).astype(np.float64)) / RATE
        before = self.turns[block]
        if len(self.turns) == block + 1:
            self.turns.append((before + float(turn[-1])) % 1.0)
        angle = (math.tau * ((before + turn) % 1.0)).astype(np.float32)
        return np.asarray(sum(level * np.sin((n + 1) * angle) for n, level in enumerate(harmonics)))

    def _blow(self, number: int, event: Event) -> list[Grain]:
        scene, seed = self.scene, (*self.seed, number)
        ground, start = GROUNDS[event.material], round(event.time_seconds * RATE)
        pan, near = pan_of(event.frame[0]), loudness(*event.frame, camera.view(scene, event.time_seconds).zoom)
        bodies: list[Subject] = [body for body in (scene.subject, scene.other) if body and body.thing in event.things]
        found = []
        for body in bodies:
            material = MATERIALS[THING_MATERIALS[body.thing]]
            if event.kind in ("jump", "stop"):
                wave = 0.12 * puff(260.0, 1.2, 0.16, seed)
                if event.kind == "jump":
                    wave = wave + 0.13 * glide(180.0, 420.0, 0.16, 0.8, (1.0, 0.3))[: wave.size]
            elif event.kind == "step":
                wave = 0.8 * strike(material, ground, body.radius, 0.5, seed)
                toe = round(0.09 * RATE)
                found.append(Grain(start + toe, 0.3 * near * wave, pan))
            else:
                speed = event.speed * (1.6 if event.kind in ("collision", "bump", "push", "tumble") else 1.0)
                wave = strike(material, ground, body.radius, speed, seed) / math.sqrt(len(bodies))
            found.append(Grain(start, (near * wave).astype(np.float32), pan))
        if self.wet and event.kind not in ("jump", "stop"):
            found.append(Grain(start, 0.09 * near * splash(seed), pan))
        if scene.subject.thing == "duck" and event.kind in ("bounce", "land", "collision"):
            squeak = 0.07 * near * glide(620.0, 880.0, 0.14, 0.6, (1.0, 0.25))
            found.append(Grain(start + round(0.02 * RATE), squeak, pan))
        return found

    def _beats(self, block: int) -> list[tuple[float, int]]:
        """Moments within second `block` at which a repeating motion is heard, with their number."""
        motion = self.scene.motion
        if self.kind == "swinging":
            gap = len(motions.pendulum(motion.amplitude, motion.reach)) / 480
            offset = gap
        elif self.kind == "rocking":
            gap = motion.period / 2
            offset = gap / 2
        elif self.kind == "wings":
            gap, offset = 1 / 3.2, 0.1
        elif self.kind == "rolling":
            gap = math.tau * self.scene.subject.radius / (6 * (motion.drift or motion.speed))
            offset = 0.5 * gap
        elif self.kind == "rustling":
            gap, offset = motion.period / 2, 0.0
        elif self.kind == "splashing":
            gap, offset = 0.55, 0.1
        elif self.kind == "balloon":
            gap, offset = 0.8, 0.25
        else:
            return []
        first = max(math.ceil((block - offset) / gap), 0)
        return [(offset + n * gap, n) for n in range(first, first + 40) if block <= offset + n * gap < block + 1]

    def _beat(self, moment: float, number: int) -> list[Grain]:
        scene, seed = self.scene, (*self.seed, number, 5)
        pose, seen = motions.pose(scene, moment), camera.view(scene, moment)
        x, y = seen.to_frame(pose.x, pose.y)
        chance = np.random.default_rng(seed).uniform(0.85, 1.15, 3)
        odd = number % 2
        material, ground = THING_MATERIALS[scene.subject.thing], GROUNDS["wood"]
        if self.kind == "swinging":
            wave = 0.14 * glide(150.0 + 60 * odd, 235.0 - 45 * odd, 0.34, 1.0, (1.0, 0.6, 0.4, 0.25))
            wave = wave * (1 + 0.5 * np.sin(math.tau * 23 * chance[0] * np.arange(wave.size, dtype=np.float32) / RATE))
        elif self.kind == "rocking":
            wave = 0.55 * strike(MATERIALS[material], ground, scene.subject.radius * (1.0 if odd else 0.75), 0.5, seed)
            creak = glide(300.0 - 60 * odd, 215.0 + 30 * odd, 0.3, 0.7, (1.0, 0.7, 0.5, 0.3))
            wave = np.pad(wave, (0, max(creak.size - wave.size, 0)))
            wave[: creak.size] += 0.09 * creak
        elif self.kind == "wings":
            wave = 0.2 * chance[1] * puff(210.0 if odd else 290.0, 1.2, 0.21, seed)
        elif self.kind == "rolling":
            wave = 0.45 * chance[1] * strike(MATERIALS[material], GROUNDS["stone"], scene.subject.radius, 0.7, seed)
        elif self.kind == "rustling":
            wave = 0.16 * puff(520.0 if odd else 420.0, 0.9, 0.24, seed)
        elif self.kind == "splashing":
            wave = 0.3 * chance[1] * splash(seed)
        else:
            wave = 0.16 * glide(330.0 * chance[0], 410.0 * chance[1], 0.22, 0.7, (1.0, 0.5, 0.3))
        near = loudness(x, y, seen.zoom)
        return [Grain(round(moment * RATE), (near * wave).astype(np.float32), pan_of(x))]


def splash(seed: tuple[int, ...]) -> np.ndarray:
    """[S]: a little splash: a soft rush of water and some bubbles, whose pitch rises as they come up."""
    rng = np.random.default_rng((*seed, 33))
    rush = burst(420.0, 0.09, seed, 0.012)
    sound = np.zeros(round(0.6 * RATE), np.float32)
    sound[: rush.size] += 0.55 * rush[: sound.size]
    for _ in range(5):
        low, length = rng.uniform(330, 760), rng.uniform(0.05, 0.11)
        bubble = glide(low, low * rng.uniform(1.3, 1.8), length)
        at = int(rng.uniform(0.01, 0.4) * RATE)
        sound[at : at + bubble.size] += rng.uniform(0.4, 0.9) * bubble
    return sound


def _roll(voice: Voice, path: Path, block: int) -> np.ndarray:
    ground = GROUNDS[_ground(voice.scene)]
    rumble = looped(150.0 + 60 * ground.hardness, 1.2, block * RATE, RATE)
    wobble = 1 + 0.35 * np.cos(math.tau * path.turn)
    return 0.12 * rumble * smooth(wobble * np.minimum(path.speed / 0.4, 1.2))


def _slide(voice: Voice, path: Path, block: int) -> np.ndarray:
    pace = np.minimum(path.speed / 0.75, 1.2)
    scrape = looped(430.0, 0.8, block * RATE, RATE) + 0.5 * looped(210.0, 0.8, block * RATE, RATE)
    return 0.13 * scrape * smooth(pace**1.3)


def _swing(voice: Voice, path: Path, block: int) -> np.ndarray:
    return 0.13 * looped(300.0, 0.9, block * RATE, RATE) * smooth(np.minimum(path.speed / 1.1, 1.2) ** 2)


def _hum(voice: Voice, path: Path, block: int) -> np.ndarray:
    low = _HUM_HERTZ.get(voice.scene.subject.thing, 233.0)
    circle = math.tau * path.time / voice.scene.motion.period
    return (
        0.1 * voice.tone(low * (1 + 0.05 * np.sin(circle)), block, (1.0, 0.4, 0.2)) * smooth(0.8 + 0.3 * np.cos(circle))
    )


def _float(voice: Voice, path: Path, block: int) -> np.ndarray:
    motion = voice.scene.motion
    above = (path.y - motion.height) / motion.reach
    tone = voice.tone(290.0 * 2 ** (0.45 * above), block, (1.0, 0.12))
    air = looped(320.0, 1.0, block * RATE, RATE)
    return 0.085 * tone * smooth(0.75 + 0.25 * above) + 0.04 * air * smooth(np.minimum(path.speed / 0.3, 1.0))


def _whir(voice: Voice, path: Path, block: int) -> np.ndarray:
    turn = path.time / voice.scene.motion.period
    beat = (0.5 + 0.5 * np.cos(math.tau * 2 * turn)) ** 2
    tone = voice.tone(110.0 + 26 * beat, block, (1.0, 0.5, 0.4, 0.2))
    return smooth(0.25 + 0.75 * beat) * (0.07 * tone + 0.1 * looped(380.0, 0.7, block * RATE, RATE))


def _rocket(voice: Voice, path: Path, block: int) -> np.ndarray:
    roar = looped(115.0, 1.5, block * RATE, RATE)
    crackle = np.maximum(looped(22.0, 1.0, block * RATE + 777, RATE), 0.0)
    return 0.09 * roar * (0.6 + 0.5 * crackle) * smooth(0.8 + 0.3 * np.minimum(path.speed / 0.5, 1.5))


def _engine(voice: Voice, path: Path, block: int) -> np.ndarray:
    idle = _ENGINE_HERTZ.get(voice.scene.subject.thing, 74.0)
    hertz = idle * (1 + 0.9 * np.minimum(path.speed / 0.45, 1.5))
    tone = voice.tone(hertz, block, (0.7, 1.0, 0.5, 0.55, 0.22, 0.15))
    putter = 1 + 0.25 * looped(14.0, 0.8, block * RATE, RATE)
    return 0.06 * tone * putter * smooth(0.6 + 0.5 * np.minimum(path.speed / 0.45, 1.2))


def _whoosh(voice: Voice, path: Path, block: int) -> np.ndarray:
    near = np.exp(-((path.pan / 0.4) ** 2))
    high, low = looped(560.0, 0.8, block * RATE, RATE), looped(260.0, 0.9, block * RATE, RATE)
    return (
        0.13
        * (high * smooth(near**2) + 0.6 * low * smooth(0.25 + 0.75 * near))
        * smooth(np.minimum(path.speed, 1.0) + 0.4)
    )


def _balloon(voice: Voice, path: Path, block: int) -> np.ndarray:
    air = looped(620.0, 0.5, block * RATE, RATE)
    flutter = voice.tone(np.full(CONTROL + 1, 31.0), block, (1.0, 0.4))
    return 0.05 * air * (1 + 0.6 * flutter) * smooth(0.5 + np.minimum(path.speed / 0.4, 1.0))


def _water(voice: Voice, path: Path, block: int) -> np.ndarray:
    lap = 0.6 + 0.4 * np.sin(math.tau * path.time * 0.9)
    return 0.06 * looped(300.0, 0.8, block * RATE, RATE) * smooth(lap)


def _ground(scene: Scene) -> str:
    from .events import MATERIALS as PLACE_GROUNDS

    return PLACE_GROUNDS[scene.place]


_STREAMS = {
    "rolling": _roll,
    "sliding": _slide,
    "swinging": _swing,
    "humming": _hum,
    "floating": _float,
    "whirring": _whir,
    "rocket": _rocket,
    "engine": _engine,
    "whooshing": _whoosh,
    "balloon": _balloon,
    "splashing": _water,
}
