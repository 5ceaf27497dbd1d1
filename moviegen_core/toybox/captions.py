"""Plain English for a scene: a short and a long caption, from many sentence skeletons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from .scenes import Scene

THING_NAMES: dict[str, tuple[str, ...]] = {
    "ball": ("ball",),
    "cube": ("cube", "cube", "toy block"),
    "star": ("star",),
    "fish": ("fish",),
    "bird": ("bird",),
    "car": ("car", "car", "toy car"),
    "boat": ("boat", "boat", "sailing boat"),
    "balloon": ("balloon",),
    "cat": ("cat",),
    "robot": ("robot", "robot", "toy robot"),
    "rocket": ("rocket",),
    "duck": ("duck", "duck", "rubber duck"),
}
# Finite form, form with -ing, each as a whole phrase; {other} is the second thing of a collision.
MOTION_PHRASES: dict[str, tuple[tuple[str, str], ...]] = {
    "bounce": (
        ("bounces up and down", "bouncing up and down"),
        ("falls and bounces", "falling and bouncing"),
        ("bounces on the ground", "bouncing on the ground"),
        ("drops and bounces back up", "dropping and bouncing back up"),
    ),
    "roll": (
        ("rolls along", "rolling along"),
        ("rolls over the ground", "rolling over the ground"),
        ("rolls steadily", "rolling steadily"),
        ("rolls across the ground", "rolling across the ground"),
    ),
    "slide": (
        ("slides to a stop", "sliding to a stop"),
        ("slides over the ground and stops", "sliding over the ground and stopping"),
        ("slides and slows down", "sliding and slowing down"),
        ("skids to a stop", "skidding to a stop"),
    ),
    "swing": (
        ("swings on a string", "swinging on a string"),
        ("swings back and forth on a string", "swinging back and forth on a string"),
        ("swings like a pendulum", "swinging like a pendulum"),
        ("hangs on a string and swings", "hanging on a string and swinging"),
    ),
    "orbit": (
        ("circles around a light", "circling around a light"),
        ("orbits a small light", "orbiting a small light"),
        ("goes around a glowing light", "going around a glowing light"),
        ("moves in a circle around a light", "moving in a circle around a light"),
    ),
    "hop": (
        ("hops along", "hopping along"),
        ("hops over the ground", "hopping over the ground"),
        ("jumps along in little hops", "jumping along in little hops"),
        ("makes small hops", "making small hops"),
    ),
    "float": (
        ("floats up and down", "floating up and down"),
        ("floats gently in place", "floating gently in place"),
        ("hovers and bobs softly", "hovering and bobbing softly"),
        ("floats slowly", "floating slowly"),
    ),
    "fly": (
        ("flies by", "flying by"),
        ("flies past", "flying past"),
        ("flies quickly across", "flying quickly across"),
        ("glides past", "gliding past"),
    ),
    "spin": (
        ("spins in place", "spinning in place"),
        ("spins around", "spinning around"),
        ("turns round and round", "turning round and round"),
        ("spins on the spot", "spinning on the spot"),
    ),
    "rock": (
        ("rocks from side to side", "rocking from side to side"),
        ("rocks left and right", "rocking left and right"),
        ("wobbles from side to side", "wobbling from side to side"),
        ("rocks back and forth on the ground", "rocking back and forth on the ground"),
    ),
    "collide": (
        ("collides with {other}", "colliding with {other}"),
        ("bumps into {other}", "bumping into {other}"),
        ("crashes into {other}", "crashing into {other}"),
        ("hits {other}", "hitting {other}"),
    ),
    "walk": (
        ("walks along", "walking along"),
        ("goes for a walk", "going for a walk"),
        ("walks by", "walking by"),
    ),
    "wave": (
        ("waves", "waving"),
        ("waves a hand", "waving a hand"),
        ("stands and waves hello", "standing and waving hello"),
    ),
}
PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "on a green meadow", "in a sunny meadow"),
    "beach": ("on a beach", "at the beach", "on a sandy beach"),
    "night sky": ("under the night sky", "under a starry night sky", "at night under the stars"),
    "city": ("in the city", "on a city street", "in a busy city"),
    "room": ("in a room", "inside a cozy room", "on the floor of a room"),
    "space": ("in space", "in outer space", "on the moon in space"),
    "under water": ("under water", "deep under water", "under water in the sea"),
}
PLACE_DETAILS: dict[str, tuple[str, ...]] = {
    "meadow": ("Trees, flowers and soft hills fill the background.", "The grass is bright and the hills are green."),
    "beach": ("Palm trees stand by the blue sea.", "There are palm trees, warm sand and calm water."),
    "night sky": ("The moon and many stars shine above dark trees.", "A bright moon hangs over the dark hills."),
    "city": ("Tall buildings with lit windows line the street.", "A skyline with glowing windows stands behind."),
    "room": (
        "Pictures and windows hang on the wall above a wooden floor.",
        "The room has a wooden floor and a striped wall.",
    ),
    "space": ("Planets and stars glow in the dark sky.", "Grey craters lie below colorful planets and stars."),
    "under water": ("Seaweed, corals and bubbles surround it.", "Rays of light fall through the clear blue water."),
}
CAMERA_PHRASES: dict[str, tuple[str, ...]] = {
    "static": ("The camera is static.", "Static camera.", "The camera stays still in a static shot."),
    "pan left": ("The camera pans left.", "Pan left.", "The camera makes a slow pan left."),
    "pan right": ("The camera pans right.", "Pan right.", "The camera makes a slow pan right."),
    "tilt up": ("The camera tilts up.", "Tilt up.", "The camera makes a slow tilt up."),
    "tilt down": ("The camera tilts down.", "Tilt down.", "The camera makes a slow tilt down."),
    "zoom in": ("The camera zooms in.", "Zoom in.", "The camera makes a slow zoom in."),
    "zoom out": ("The camera zooms out.", "Zoom out.", "The camera makes a slow zoom out."),
    "tracking shot": ("Tracking shot.", "A tracking shot follows it.", "The camera follows in a tracking shot."),
}
WEATHER_PHRASES: dict[str, tuple[str, ...]] = {
    "rain": ("in the rain", "while it rains", "on a rainy day"),
    "snow": ("in the snow", "while it snows", "on a snowy day"),
}
_SHORT = (
    "{A} {noun} {moves} {place}{weather}.",
    "{Place}, {a} {noun} {moves}{weather}.",
    "{A} {noun} is {moving} {place}{weather}.",
    "{Place}{weather}, {a} {noun} is {moving}.",
    "A video of {a} {noun} {moving} {place}{weather}.",
    "There is {a} {noun} {moving} {place}{weather}.",
    "{A} {noun} {place}{weather}, {moving}.",
)
_LONG = (
    "The video shows {a} {size} {noun} that {moves} {place}{weather}. {detail}",
    "{Place}{weather}, {a} {size} {noun} is {moving}. {detail}",
    "{A} {size} {noun} {moves} {place}{weather}, and {keeps} {moving} as the clip goes on. {detail}",
    "In this cheerful cartoon clip, {a} {size} {noun} is {moving} {place}{weather}. {detail}",
    "{detail} In the middle of the scene, {a} {size} {noun} {moves} {place}{weather}.",
    "A short animation of {a} {size} {noun} {moving} {place}{weather}. {detail}",
    "We see {a} {size} {noun} {place}{weather}. The {noun} is {moving}. {detail}",
)
_SIGNS = ('A sign says "{word}".', 'A sign reads "{word}".', 'There is a sign with the word "{word}".')
_ALOFT = ("swing", "orbit", "float", "fly", "spin")  # motions on no floor
_SIZES = {"small": ("small", "little"), "medium": ("medium-sized", "medium"), "large": ("large", "big")}

Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Captions:
    """A short caption (mostly 12 to 22 words) and a long one (mostly 24 to 40)."""

    short: str
    long: str


def captions(scene: Scene, rng_seed: int) -> Captions:
    """Short and long caption of `scene`; `rng_seed` (0 or more) picks the wording and nothing else."""
    rng = np.random.default_rng((rng_seed, scene.seed, 4242))
    return Captions(_caption(scene, rng, _SHORT, long=False), _caption(scene, rng, _LONG, long=True))


def _article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeio' else 'a'} {phrase}"


def _about(human: bool, sentence: str) -> str:
    """`sentence`, whose "it" at the end is the subject, of a person or a thing."""
    return f"{sentence.removesuffix(' it.')} them." if human and sentence.endswith(" it.") else sentence


def _caption(scene: Scene, rng: np.random.Generator, skeletons: tuple[str, ...], *, long: bool) -> str:
    def pick(choices: tuple[Choice, ...]) -> Choice:
        return choices[int(rng.integers(len(choices)))]

    subject = scene.subject
    other = _article(f"{scene.other.colour} {scene.other.thing}") if scene.other is not None else ""
    moves, moving = pick(MOTION_PHRASES[scene.motion.kind])
    place, human = pick(PLACE_PHRASES[scene.place]), subject.thing == "person"
    # What contradicts the scene gives way to the plainest phrase, and no draw shifts.
    if ("sunny" in place and scene.weather != "clear") or ("floor" in place and scene.motion.kind in _ALOFT):
        place = PLACE_PHRASES[scene.place][0]
    size = pick(_SIZES[subject.size])
    if human:
        noun, size = f"person in {_article(subject.colour)} shirt", pick(("happy", "smiling", "friendly"))
    else:
        noun = f"{subject.colour} {pick(THING_NAMES[subject.thing])}"
    weather = ""
    if scene.weather != "clear":
        falls = pick(WEATHER_PHRASES[scene.weather])
        by_day = falls.endswith("day") and scene.place == "night sky"
        weather = f" {WEATHER_PHRASES[scene.weather][0] if by_day else falls}"
    article = _article(size if long else noun).split()[0]
    text = pick(skeletons).format(
        a=article,
        A=article.capitalize(),
        noun=noun,
        size=size,
        keeps="they keep" if human else "it keeps",
        moves=moves.format(other=other),
        moving=moving.format(other=other),
        place=place,
        Place=place[0].upper() + place[1:],
        weather=weather,
        detail=_about(human, pick(PLACE_DETAILS[scene.place])),
    )
    extras = [text]
    if scene.sign is not None:
        extras.append(pick(_SIGNS).format(word=scene.sign.word))
    if scene.person is not None and not human:
        does = "waves" if scene.person.waving else "watches"
        extras.append(f"A person in {_article(scene.person.colour)} shirt {does}.")
    phrase = _about(human, pick(CAMERA_PHRASES[scene.camera.move]))
    if scene.camera.move != "static" or rng.random() < 0.5:
        # Prompts put the camera anywhere, so it comes first now and then.
        named = phrase.endswith((" it.", " them."))
        extras.insert(0 if rng.random() < 0.25 and not named else len(extras), phrase)
    return " ".join(extras)
