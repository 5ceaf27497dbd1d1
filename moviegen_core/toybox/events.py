"""What can be heard or felt in a scene: impacts, jumps, pushes and steps, each with its time, place and speed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import camera, motions

if TYPE_CHECKING:
    from .scenes import Scene


@dataclass(frozen=True, slots=True)
class Event:
    """Something that can be heard or felt: when, what, where (world and square frame), how fast, who, on what."""

    time_seconds: float
    kind: str
    world: tuple[float, float]
    frame: tuple[float, float]
    speed: float
    things: tuple[str, ...]
    material: str


MATERIALS = {
    "meadow": "grass",
    "beach": "sand",
    "night sky": "grass",
    "city": "stone",
    "room": "wood",
    "space": "dust",
    "under water": "sand",
}


def events(scene: Scene, until: float) -> list[Event]:
    """Events of `scene` from 0 to `until` seconds, in order."""
    motion, thing, radius = scene.motion, scene.subject.thing, scene.subject.radius
    ground = MATERIALS[scene.place]
    found: list[tuple[float, str, float, tuple[str, ...], str, float]] = []  # ..., height of the contact above centre
    if motion.kind == "bounce":
        for start, _, speed, tossed in motions.arcs(motion.height, motion.restitution)[1:]:
            impact = math.sqrt(2 * motions.GRAVITY * motion.height) if tossed else speed / motion.restitution
            found.append((start, "toss" if tossed else "bounce", impact, (thing,), ground, -radius))
    elif motion.kind == "hop":
        launch = math.sqrt(2 * motions.GRAVITY * motion.height)
        cycle = 2 * launch / motions.GRAVITY + motion.period
        for index in range(int(until / cycle) + 1):
            found.append((index * cycle + motion.period, "jump", launch, (thing,), ground, -radius))
            found.append(((index + 1) * cycle, "land", launch, (thing,), ground, -radius))
    elif motion.kind == "slide":
        moving = motion.speed / (motion.friction * motions.GRAVITY)
        for index in range(int(until / (moving + motion.period)) + 1):
            start = index * (moving + motion.period)
            found.append((start, "push", motion.speed, (thing,), ground, 0.0))
            found.append((start + moving, "stop", 0.0, (thing,), ground, -radius))
    elif motion.kind == "roll" and thing == "cube":
        pace = motion.drift or motion.speed
        found += [(time, "tumble", pace, (thing,), ground, -radius) for time in _tumbles(scene, until)]
    elif motion.kind == "walk":
        pace = motion.drift or motion.speed
        for index in range(int(2 * until / motion.period) + 1):
            found.append(((index + 0.5) * motion.period / 2, "step", pace, (thing,), ground, -radius))
    elif motion.kind == "collide":
        assert scene.other is not None
        for start, _, _, _, _, kind, impact in motions.meeting(scene)[1:]:
            things = {1.0: (thing, scene.other.thing), 2.0: (thing,), 3.0: (scene.other.thing,)}[kind]
            name = "collision" if kind == 1.0 else "bump"
            found.append((start, name, impact, things, "solid" if kind == 1.0 else "rubber", 0.0))
    return [_event(scene, *item) for item in sorted(found) if item[0] <= until]


def _tumbles(scene: Scene, until: float) -> list[float]:
    """Times at which a rolling cube has turned over an edge and a side comes down flat."""
    motion, side = scene.motion, 2 * scene.subject.radius

    def along(time: float) -> float:
        return (motion.drift * time if motion.drift else motions.patrol(time, motion.reach, motion.speed)[0]) / side

    found, step = [], 0.01
    for index in range(int(until / step) + 1):
        low, high = index * step, (index + 1) * step
        before, after = math.floor(along(low)), math.floor(along(high))
        if before == after:
            continue
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if math.floor(along(middle)) == before else (low, middle)
        found.append(high)
    return found


def _event(
    scene: Scene, time: float, kind: str, speed: float, things: tuple[str, ...], material: str, below: float
) -> Event:
    second = scene.other is not None and things == (scene.other.thing,) and kind == "bump"
    here = motions.other_pose(scene, time) if second else motions.pose(scene, time)
    x, y = here.x, here.y + below
    return Event(time, kind, (x, y), camera.view(scene, time).to_frame(x, y), speed, things, material)
