"""Draws scenes from a seed, evenly over what fits together, and keeps the held-out combinations apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ConfigError
from . import vocabulary as words
from .camera import Camera
from .motions import GRAVITY, GROUND, Motion
from .people import IDENTITY
from .scenes import Person, Scene, Sign, Subject

SPLITS = ("train", "test", "heldout")
_LOW = ("roll", "slide", "hop", "rock", "collide", "walk", "wave")  # motions that leave a sign readable
_REST, _CROUCH = 0.3, 0.2  # seconds a slider rests before the next push, and a hopper crouches
FIXABLE = ("thing", "colour", "size", "motion", "place", "camera", "weather", "word", "person")


def sample_scene(seed: int, *, split: str = "train", duration_seconds: float = 4.0, **fixed: Any) -> Scene:
    """The scene of `seed` in `split` ("train", "test" or "heldout"), with any label fixed.

    fixed: thing, colour, size, motion, place, camera, weather (names of the vocabulary), word (a sign's text, or None
    for no sign) and person ("standing", "waving" or None). ConfigError says what would fit where they exclude each
    other. "train" and "test" draw from the same combinations with unrelated random numbers.
    """
    words.check("split", split, SPLITS)
    fixed = {kind: value for kind, value in fixed.items() if value is not None or kind in ("word", "person")}
    unknown = sorted(set(fixed) - set(FIXABLE))
    if unknown:
        raise ConfigError(f"a scene has no {', '.join(unknown)} to fix; it has {', '.join(FIXABLE)}")
    if seed < 0:
        raise ConfigError(f"seed {seed} is below zero; give a whole number from 0 up")
    if not duration_seconds > 0:
        raise ConfigError(f"a scene of {duration_seconds} seconds is impossible; give a positive duration_seconds")
    rng = np.random.default_rng((seed, SPLITS.index(split), 20_26))
    thing, colour, motion = _combination(rng, split, fixed)
    moves = words.cameras_of(motion)
    if "camera" in fixed:
        words.check(f"camera for {motion!r}", fixed["camera"], moves)
    static = rng.random() < 0.3
    follow = rng.random() < 0.36 and moves[-1] == "tracking shot"
    other_move = _one(rng, words.CAMERAS[1:-1])
    move = fixed.get("camera") or ("static" if static else "tracking shot" if follow else other_move)
    fair = fixed.get("weather", "clear") == "clear"
    place = fixed.get("place") or _one(rng, words.PLACES if fair else words.OUTDOORS)
    words.check("place", place, words.PLACES)
    skies = words.WEATHERS if place in words.OUTDOORS else ("clear",)
    falling = rng.random() < 0.25
    weather = fixed.get("weather") or (_one(rng, skies[1:]) if falling and len(skies) > 1 else "clear")
    words.check(f"weather for {place!r}", weather, skies)
    # Two things and two posts share the frame in a collision, so the first is not large unless asked for.
    sizes = tuple(words.SIZES)[:2] if motion == "collide" else tuple(words.SIZES)
    size = fixed.get("size") or _one(rng, sizes)
    words.check("size", size, tuple(words.SIZES))
    radius = words.SIZES[size] * (1.12 if thing == "person" else 1.0)
    subject = Subject(thing=thing, colour=colour, size=size, radius=round(radius, 4))
    other = _other(rng, subject, split) if motion == "collide" else None
    return Scene(
        seed=seed,
        split=split,
        duration_seconds=duration_seconds,
        subject=subject,
        motion=_motion(rng, motion, subject, move, other),
        camera=_camera(rng, move),
        place=place,
        weather=weather,
        other=other,
        **_company(rng, subject, motion, move, fixed),
    )


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _combination(rng: np.random.Generator, split: str, fixed: dict[str, Any]) -> tuple[str, str, str]:
    for kind, known in (
        ("thing", (*words.THINGS, "person")),
        ("colour", tuple(words.COLOURS)),
        ("motion", (*words.MOTIONS, *words.PERSON_MOTIONS)),
    ):
        if kind in fixed:
            words.check(kind, fixed[kind], known)
    if "thing" in fixed and "motion" in fixed:
        words.check(f"motion for {fixed['thing']!r}", fixed["motion"], words.motions_of(fixed["thing"]))
    wants_person = fixed.get("thing") == "person" or fixed.get("motion") in words.PERSON_MOTIONS
    may_be_person = split != "heldout" and not {"thing", "motion"} & set(fixed) and fixed.get("person") is None
    # Drawn where nobody is wanted, too, so that all that follows stays the same.
    drawn = may_be_person and rng.random() < 0.04
    if split != "heldout" and (wants_person or (drawn and "person" not in fixed)):
        colour = fixed.get("colour") or _one(rng, tuple(words.COLOURS))
        walks = fixed.get("camera") == "tracking shot"
        return "person", colour, fixed.get("motion") or ("walk" if walks else _one(rng, words.PERSON_MOTIONS))
    fitting = words.combinations(split)
    if fixed.get("camera") == "tracking shot" and "motion" not in fixed:
        fitting = tuple(combination for combination in fitting if combination[2] in words.TRACKABLE)
    for index, kind in enumerate(("thing", "colour", "motion")):
        if kind in fixed:
            fitting = tuple(combination for combination in fitting if combination[index] == fixed[kind])
    if not fitting:
        given = " ".join(str(fixed[kind]) for kind in ("thing", "colour", "motion") if kind in fixed)
        elsewhere = "train or test" if split == "heldout" else "heldout"
        raise ConfigError(
            f"{given!r} never appears in split {split!r}; use split {elsewhere!r} or leave one of them open"
        )
    # Thing first or motion first: both come out as even as the table of what fits allows.
    for index in (0, 2, 1) if rng.random() < 0.5 else (2, 0, 1):
        choice = _one(rng, tuple(dict.fromkeys(combination[index] for combination in fitting)))
        fitting = tuple(combination for combination in fitting if combination[index] == choice)
    return fitting[0]


def _other(rng: np.random.Generator, subject: Subject, split: str) -> Subject:
    choices = tuple(thing for thing in ("ball", "cube", "car", "duck", "robot") if thing != subject.thing)
    colours = tuple(colour for colour in words.COLOURS if colour != subject.colour)
    thing, colour = _one(rng, choices), _one(rng, colours)
    if split != "heldout" and words.is_held_out(thing, colour, "collide"):
        # Not drawn again: that would shift all that is drawn after it.
        known = tuple(colour for colour in colours if not words.is_held_out(thing, colour, "collide"))
        colour = known[colours.index(colour) % len(known)]
    return Subject(thing=thing, colour=colour, size="small", radius=words.SIZES["small"])


def _camera(rng: np.random.Generator, move: str) -> Camera:
    pace = float(rng.uniform(0.0, 1.0))
    if move.startswith("pan"):
        return Camera(move=move, speed=round(0.13 + 0.05 * pace, 4), travel=0.5)
    if move.startswith("tilt"):
        return Camera(move=move, speed=round(0.11 + 0.04 * pace, 4), travel=0.4)
    if move.startswith("zoom"):
        return Camera(move=move, speed=round(0.22 + 0.07 * pace, 4), travel=0.7)
    return Camera(move=move)


def _motion(rng: np.random.Generator, kind: str, subject: Subject, move: str, other: Subject | None) -> Motion:
    """The constants of one motion, such that it is told from the first two seconds and stays in the frame."""

    def draw(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    radius = subject.radius
    direction = 1 if rng.random() < 0.5 else -1
    drift = draw(0.28, 0.38) if move == "tracking shot" else 0.0
    reach = min(0.36, 0.49 - radius) if move in ("static", "tilt up", "tilt down") else 0.22
    if kind == "bounce":
        height = 0.47 - radius - (GROUND + radius)
        return Motion(
            kind=kind,
            direction=direction,
            height=round(height - draw(0, 0.05), 4),
            restitution=draw(0.78, 0.88),
            drift=drift,
        )
    if kind == "roll":
        return Motion(kind=kind, direction=direction, speed=draw(0.32, 0.44), reach=reach, drift=drift)
    if kind == "slide":
        speed, length = draw(0.64, 0.8), draw(0.42, 0.54) if reach > 0.25 else draw(0.36, 0.42)
        if drift:
            drift = length / (2 * length / speed + _REST)
        friction = speed**2 / (2 * length * GRAVITY)
        return Motion(kind=kind, direction=direction, speed=speed, friction=friction, period=_REST, drift=drift)
    if kind == "swing":
        amplitude = draw(0.6, 0.7) if reach < 0.25 else draw(0.7, 0.9)
        return Motion(
            kind=kind,
            direction=direction,
            reach=draw(0.4, 0.46),
            amplitude=amplitude,
        )
    if kind == "orbit":
        return Motion(
            kind=kind, direction=direction, reach=draw(0.23, 0.25), period=draw(2.6, 3.2), amplitude=draw(0, math.tau)
        )
    if kind == "hop":
        length = draw(0.17, 0.21) if reach > 0.25 else draw(0.13, 0.16)
        height = draw(0.12, 0.18)
        if drift:
            length = drift * (2 * math.sqrt(2 * height / GRAVITY) + _CROUCH)
        return Motion(kind=kind, direction=direction, height=height, reach=length, period=_CROUCH, drift=drift)
    if kind == "float":
        return Motion(
            kind=kind, direction=direction, height=draw(0.04, 0.1), reach=draw(0.12, 0.15), period=draw(2.6, 3.2)
        )
    if kind == "fly":
        return Motion(
            kind=kind,
            direction=direction,
            speed=draw(0.4, 0.52),
            reach=reach,
            height=draw(0.08, 0.2),
            period=draw(1.2, 1.6),
            drift=drift,
        )
    if kind == "spin":
        return Motion(kind=kind, direction=direction, height=draw(-0.04, 0.04), period=draw(2.0, 2.6))
    if kind == "rock":
        return Motion(kind=kind, direction=direction, amplitude=draw(0.36, 0.48), period=draw(1.3, 1.7))
    if kind == "collide":
        return Motion(kind=kind, direction=direction, speed=draw(0.42, 0.55), restitution=draw(0.85, 1.0))
    if kind == "walk":
        return Motion(
            kind=kind,
            direction=direction,
            speed=draw(0.22, 0.3),
            reach=reach,
            period=draw(0.8, 1.0),
            drift=draw(0.24, 0.3) if drift else 0.0,
        )
    return Motion(kind=kind, direction=direction, period=draw(0.7, 0.9))


def _person(rng: np.random.Generator, x: float, waving: bool) -> Person:
    identity = tuple(round(float(value), 3) for value in rng.uniform(0, 1, len(IDENTITY)))
    return Person(identity=identity, colour=_one(rng, tuple(words.COLOURS)), x=x, waving=waving)


def _company(
    rng: np.random.Generator, subject: Subject, motion: str, move: str, fixed: dict[str, Any]
) -> dict[str, Any]:
    """A bystander or a sign now and then; a main person's identity always."""
    chance, word = float(rng.random()), _one(rng, tuple(words.WORDS))
    x = round(float(rng.uniform(0.24, 0.32)) * (1 if rng.random() < 0.5 else -1), 4)
    waving = rng.random() < 0.5
    stays = move != "tracking shot"  # a camera that travels would soon leave them behind
    found: dict[str, Any] = {}
    if subject.thing == "person":
        found["person"] = _person(rng, 0.0, motion == "wave")
    elif fixed["person"] is not None if "person" in fixed else stays and 0.17 <= chance < 0.23:
        kind = fixed.get("person") or ("waving" if waving else "standing")
        words.check("person", kind, ("standing", "waving"))
        found["person"] = _person(rng, x, kind == "waving")
    if fixed["word"] is not None if "word" in fixed else stays and motion in _LOW and chance < 0.17:
        word = fixed.get("word") or word
        if not (2 <= len(word) <= 6 and word.isalpha() and word.isupper() and word.isascii()):
            raise ConfigError(f"a sign cannot carry {word!r}; give one word of 2 to 6 capital letters, such as HELLO")
        found["sign"] = Sign(word=word, x=0.0)
    return found
