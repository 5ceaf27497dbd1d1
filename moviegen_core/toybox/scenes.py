"""The state of one toybox clip: what is there, how it moves, how the camera moves, and when things hit.

World units: 1 is the short side of the frame at zoom 1; x grows to the right, y upwards; (0, 0) is the middle of
the frame of a camera at rest. Time is in seconds from the start of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import config
from . import camera, events, motions
from .camera import Camera
from .events import Event
from .motions import Motion
from .vocabulary import HALF_WIDTHS


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A thing (or "person", whose colour is the shirt's) with its radius in world units."""

    thing: str
    colour: str
    size: str
    radius: float

    @property
    def half_width(self) -> float:
        """Half the width at which it touches what stands beside it, in world units."""
        return HALF_WIDTHS.get(self.thing, 1.0) * self.radius


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody with a face: `identity` holds numbers in [0, 1] (see people.IDENTITY), x is where they stand."""

    identity: tuple[float, ...]
    colour: str
    x: float = 0.0
    waving: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """A signboard with one upper-case word, standing at x."""

    word: str
    x: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that fixes a clip; any frame at any time, size and rate follows from it."""

    seed: int
    split: str
    duration_seconds: float
    subject: Subject
    motion: Motion
    camera: Camera
    place: str
    weather: str = "clear"
    other: Subject | None = None
    person: Person | None = None
    sign: Sign | None = None

    def labels(self) -> dict[str, str]:
        """The names a caption or a judge uses."""
        labels = {
            "thing": self.subject.thing,
            "colour": self.subject.colour,
            "size": self.subject.size,
            "motion": self.motion.kind,
            "place": self.place,
            "camera": self.camera.move,
            "weather": self.weather,
        }
        if self.other is not None:
            labels |= {"other_thing": self.other.thing, "other_colour": self.other.colour}
        if self.sign is not None:
            labels["word"] = self.sign.word
        if self.person is not None:
            labels["person"] = "waving" if self.person.waving else "standing"
        return labels

    @property
    def gravity(self) -> float:
        """Acceleration of falling things in short frame sides (at zoom 1) per second squared."""
        return motions.GRAVITY

    @property
    def events(self) -> list[Event]:
        """What can be heard or felt within the clip, in order of time."""
        return self.events_until(self.duration_seconds)

    def events_until(self, seconds: float) -> list[Event]:
        """Events from 0 to `seconds`, with where they happen in the world and in a square frame (0..1)."""
        return events.events(self, seconds)

    def positions(self, time: float, aspect: float = 1.0) -> tuple[float, float]:
        """Centre of the main subject at `time`, as fractions of the frame's width and height from the top left.

        aspect: frame width over height.
        """
        pose = motions.pose(self, time)
        return camera.view(self, time).to_frame(pose.x, pose.y, aspect)

    def track(self, num_frames: int, fps: float, aspect: float = 1.0) -> np.ndarray:
        """[T, 2] float64: the subject's centre in each frame (see `positions`)."""
        return np.array([self.positions(frame / fps, aspect) for frame in range(num_frames)])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Scene:
        """Inverse of to_dict."""
        return config.from_dict(cls, values)
