"""Kinematics of every motion, exact in time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .vocabulary import CAR_WHEEL

if TYPE_CHECKING:
    from .scenes import Scene

GRAVITY = 1.6  # world units / s^2, the same everywhere: toys fall gently
GROUND = -0.32  # y of the line on which things stand
PIVOT = (0.0, 0.46)  # where a pendulum hangs
ORBIT_CENTRE = (0.0, 0.06)
POSTS = 0.47  # |x| of the inner faces of the two bumpers of "collide"
TURN = 0.3  # seconds a thing takes to turn round at the end of its path
_HORIZON = 1800.0  # seconds for which piecewise paths are laid out; no clip is longer


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """One motion and its constants: speed in units/s, height, reach and length in units, angles in radians."""

    kind: str
    direction: int = 1
    speed: float = 0.0
    height: float = 0.0
    reach: float = 0.0
    period: float = 0.0
    restitution: float = 0.0
    friction: float = 0.0
    amplitude: float = 0.0
    drift: float = 0.0  # steady travel in x under a tracking camera, units/s


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a body is and how it is held: angle counter-clockwise, squash < 1 is flat, facing +1 is right."""

    x: float
    y: float
    angle: float = 0.0
    squash: float = 1.0
    facing: int = 1
    phase: float = 0.0  # of a wing beat or a walk, in cycles; turn of a car's wheels forwards, in radians
    height: float = 0.0  # of the lowest point above the ground


@lru_cache(maxsize=256)
def arcs(height: float, restitution: float) -> tuple[tuple[float, float, float, bool], ...]:
    """Flight arcs of a bouncing body: (start, height at start, upward speed, was tossed), up to the horizon."""
    launch = math.sqrt(2 * GRAVITY * height)
    path, time, speed = [(0.0, height, 0.0, False)], launch / GRAVITY, launch
    while time < _HORIZON:
        speed *= restitution
        tossed = speed * speed / (2 * GRAVITY) < 0.07
        if tossed:
            speed = launch
        path.append((time, 0.0, speed, tossed))
        time += 2 * speed / GRAVITY
    return tuple(path)


@lru_cache(maxsize=64)
def pendulum(amplitude: float, length: float, step: float = 1 / 240) -> tuple[float, ...]:
    """Angle of a released pendulum over one full period, every `step` seconds (Runge-Kutta 4)."""
    angle, speed, path = amplitude, 0.0, [amplitude]

    def pull(value: float) -> float:
        return -GRAVITY / length * math.sin(value)

    while True:
        a1, s1 = speed, pull(angle)
        a2, s2 = speed + step / 2 * s1, pull(angle + step / 2 * a1)
        a3, s3 = speed + step / 2 * s2, pull(angle + step / 2 * a2)
        a4, s4 = speed + step * s3, pull(angle + step * a3)
        angle += step / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        before, speed = speed, speed + step / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
        if before > 0 >= speed:
            return tuple(path)
        path.append(angle)


@lru_cache(maxsize=256)
def encounters(
    radius: float, half: float, other: float, other_half: float, speed: float, restitution: float
) -> tuple[tuple[float, ...], ...]:
    """Pieces of "collide": (start, x1, v1, x2, v2, kind, impact speed); kind 0 start, 1 together, 2 and 3 posts.

    half and other_half are half the widths of the bodies. Masses go with radius squared; the posts give every body
    its full speed back. A second body that would stand within the first stands half-way between
    it and the post.
    """
    m1, m2 = radius**2, other**2
    time, x1, v1, x2, v2 = 0.0, -POSTS + half + 0.01, speed, 0.36 - other_half, 0.0
    if x2 - other_half < x1 + half:
        x2 = (x1 + half + POSTS) / 2
    pieces = [(time, x1, v1, x2, v2, 0.0, 0.0)]
    while time < _HORIZON:
        meet = (x2 - other_half - x1 - half) / (v1 - v2) if v1 > v2 else math.inf
        left = (x1 - half + POSTS) / -v1 if v1 < 0 else math.inf
        right = (POSTS - other_half - x2) / v2 if v2 > 0 else math.inf
        wait = min(meet, left, right)
        if wait is math.inf:
            break
        time, x1, x2 = time + wait, x1 + v1 * wait, x2 + v2 * wait
        if wait == meet:
            kind, impact = 1.0, v1 - v2
            mean = (m1 * v1 + m2 * v2) / (m1 + m2)
            v1, v2 = mean - restitution * m2 * impact / (m1 + m2), mean + restitution * m1 * impact / (m1 + m2)
        elif wait == left:
            kind, impact, v1 = 2.0, -v1, -v1
        else:
            kind, impact, v2 = 3.0, v2, -v2
        pieces.append((time, x1, v1, x2, v2, kind, impact))
    return tuple(pieces)


def _at(pieces: tuple[tuple, ...], time: float) -> tuple:
    """The piece that holds at `time` (pieces start with their time)."""
    low, high = 0, len(pieces)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if pieces[middle][0] <= time else (low, middle)
    return pieces[low]


def patrol(time: float, reach: float, speed: float) -> tuple[float, int]:
    """(x, facing) of steady travel between -reach and reach that turns round smoothly in TURN seconds."""
    # A turn brakes and speeds up at constant rate, so it overshoots the point where cruising ends.
    overshoot = speed * TURN / 4
    cruise = 2 * (reach - overshoot) / speed
    leg = cruise + TURN
    index, local = divmod(max(time, 0.0), leg)
    sign = 1 if index % 2 == 0 else -1
    if local < cruise:
        return sign * (-(reach - overshoot) + speed * local), sign
    into = local - cruise
    return sign * (reach - overshoot + speed * into * (1 - into / TURN)), sign if into < TURN / 2 else -sign


def anchor(scene: Scene, time: float) -> float:
    """x that a tracking camera follows: the steady part of the subject's travel."""
    return scene.motion.direction * scene.motion.drift * time


def pose(scene: Scene, time: float) -> Pose:
    """The main subject at `time` seconds."""
    motion = scene.motion
    here = _MOTIONS[motion.kind](motion, scene.subject.radius, scene, max(time, 0.0))
    if motion.direction == 1:
        return here
    return Pose(-here.x, here.y, -here.angle, here.squash, -here.facing, here.phase, here.height)


def other_pose(scene: Scene, time: float) -> Pose:
    """The second thing of "collide" at `time` seconds."""
    assert scene.other is not None
    motion, radius = scene.motion, scene.other.radius
    piece = _at(meeting(scene), max(time, 0.0))
    x = piece[3] + piece[4] * (max(time, 0.0) - piece[0])
    phase = _wheels(-x, radius) if scene.other.thing == "car" else _strides(x, radius)
    return Pose(motion.direction * x, GROUND + radius, facing=-motion.direction, phase=phase)


def meeting(scene: Scene) -> tuple[tuple[float, ...], ...]:
    """The pieces of a collision scene's motion (see `encounters`)."""
    assert scene.other is not None
    motion = scene.motion
    first, second = scene.subject, scene.other
    return encounters(
        first.radius, first.half_width, second.radius, second.half_width, motion.speed, motion.restitution
    )


def _wheels(ahead: float, radius: float) -> float:
    """Radians that the wheels of a car of `radius` have turned when it is `ahead` of the middle, as it faces."""
    return ahead / (CAR_WHEEL * radius)


def _strides(ahead: float, radius: float) -> float:
    """Cycles of the limbs of a thing of `radius` that has come `ahead` of the middle: one for its circumference."""
    return ahead / (math.tau * radius)


def _bounce(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    path = arcs(motion.height, motion.restitution)
    start, height, speed, _ = _at(path, time)
    since = time - start
    above = max(height + speed * since - GRAVITY / 2 * since * since, 0.0)
    squash = 1.0 - 0.28 * math.exp(-((above / 0.035) ** 2)) if start > 0 or since > 0.2 else 1.0
    return Pose(motion.drift * time, GROUND + radius + above, squash=squash, height=above, phase=time)


def _roll(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    x, facing = (motion.drift * time, 1) if motion.drift else patrol(time, motion.reach, motion.speed)
    turned = -x / radius
    if scene.subject.thing == "car":
        return Pose(x, GROUND + radius, facing=facing, phase=_wheels(facing * x, radius))
    if scene.subject.thing != "cube":
        return Pose(x, GROUND + radius, angle=turned)
    # A cube turns over its leading edge: each quarter turn carries it one side length along.
    side = 2 * radius
    quarter, part = divmod(x / side, 1.0)
    tilt = part * math.pi / 2
    diagonal = radius * math.sqrt(2)
    x = (quarter + 0.5) * side - diagonal * math.cos(math.pi / 4 + tilt)
    return Pose(x, GROUND + diagonal * math.sin(math.pi / 4 + tilt), angle=-(quarter * math.pi / 2 + tilt))


def _slide(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    brake = motion.friction * GRAVITY
    moving = motion.speed / brake
    leg = moving + motion.period
    index, local = divmod(time, leg)
    length = motion.speed**2 / (2 * brake)
    local = min(local, moving)
    gone = motion.speed * local - brake / 2 * local * local
    if motion.drift:
        return Pose(index * length + gone, GROUND + radius)
    facing = 1 if index % 2 == 0 else -1
    return Pose(facing * (gone - length / 2), GROUND + radius, facing=facing)


def _swing(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    path = pendulum(motion.amplitude, motion.reach)
    place = time * 240
    index = int(place)
    first, second = path[index % len(path)], path[(index + 1) % len(path)]
    angle = first + (second - first) * (place - index)
    x, y = PIVOT[0] + motion.reach * math.sin(angle), PIVOT[1] - motion.reach * math.cos(angle)
    return Pose(x, y, angle=angle, phase=time, height=y - radius - GROUND)


def _orbit(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    turn = math.tau * time / motion.period + motion.amplitude
    x, y = ORBIT_CENTRE[0] + motion.reach * math.cos(turn), ORBIT_CENTRE[1] + motion.reach * math.sin(turn)
    return Pose(x, y, facing=-1 if math.sin(turn) > 0 else 1, phase=2 * time, height=1.0)


def _hop(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    launch = math.sqrt(2 * GRAVITY * motion.height)
    air = 2 * launch / GRAVITY
    cycle = air + motion.period
    index, local = divmod(time, cycle)
    fly = min(max(local - motion.period, 0.0), air)
    above = launch * fly - GRAVITY / 2 * fly * fly
    step, length = int(index), motion.reach
    if motion.drift:
        x, facing = length * (step + fly / air), 1
    else:
        facing = 1 if step % 4 < 2 else -1
        x = length * ((-1, 0, 1, 0)[step % 4] + facing * fly / air)
    crouch = math.sin(math.pi * min(local / motion.period, 1.0))
    return Pose(x, GROUND + radius + above, squash=1.0 - 0.22 * crouch, facing=facing, height=above)


def _float(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    turn = math.tau * time / motion.period
    y = motion.height - motion.reach * math.cos(turn)
    x = 0.05 * math.sin(turn / 2)
    return Pose(x, y, angle=0.09 * math.sin(turn / 2 + 1.0), phase=time * 0.6, height=y - radius - GROUND)


def _fly(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    x, facing = (motion.drift * time, 1) if motion.drift else patrol(time, motion.reach, motion.speed)
    y = motion.height + 0.035 * math.sin(math.tau * time / motion.period)
    return Pose(x, y, facing=facing, phase=2.2 * time, height=y - radius - GROUND)


def _spin(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    return Pose(0.0, motion.height, angle=-math.tau * time / motion.period, height=motion.height - radius - GROUND)


def _rock(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    angle = -motion.amplitude * math.sin(math.tau * time / motion.period)
    # Rocking on a round underside: rolling without slipping over a small angle.
    return Pose(-angle * radius, GROUND + radius, angle=angle)


def _collide(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    piece = _at(meeting(scene), time)
    x = piece[1] + piece[2] * (time - piece[0])
    return Pose(x, GROUND + radius, phase=_wheels(x, radius) if scene.subject.thing == "car" else _strides(x, radius))


def _walk(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    x, facing = (motion.drift * time, 1) if motion.drift else patrol(time, motion.reach, motion.speed)
    return Pose(x, GROUND + radius, facing=facing, phase=time / motion.period)


def _wave(motion: Motion, radius: float, scene: Scene, time: float) -> Pose:
    return Pose(0.0, GROUND + radius, phase=time / motion.period)


_MOTIONS = {
    "bounce": _bounce,
    "roll": _roll,
    "slide": _slide,
    "swing": _swing,
    "orbit": _orbit,
    "hop": _hop,
    "float": _float,
    "fly": _fly,
    "spin": _spin,
    "rock": _rock,
    "collide": _collide,
    "walk": _walk,
    "wave": _wave,
}
