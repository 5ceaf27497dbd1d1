"""Everything the toybox can show, what may do what, and which combinations training never sees."""

from __future__ import annotations

from functools import lru_cache

from ..errors import ConfigError

THINGS = ("ball", "cube", "star", "fish", "bird", "car", "boat", "balloon", "cat", "robot", "rocket", "duck")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (226, 38, 44),
    "orange": (255, 136, 12),
    "yellow": (255, 222, 36),
    "green": (22, 158, 62),
    "blue": (34, 84, 228),
    "purple": (138, 46, 200),
    "pink": (255, 126, 190),
    "white": (248, 248, 252),
}
SIZES: dict[str, float] = {"small": 0.13, "medium": 0.17, "large": 0.215}  # radius, in the frame's short side
PLACES = ("meadow", "beach", "night sky", "city", "room", "space", "under water")
OUTDOORS = ("meadow", "beach", "night sky", "city")  # the only places with rain and snow
WEATHERS = ("clear", "rain", "snow")
CAMERAS = ("static", "pan left", "pan right", "tilt up", "tilt down", "zoom in", "zoom out", "tracking shot")
MOTIONS = ("bounce", "roll", "slide", "swing", "orbit", "hop", "float", "fly", "spin", "collide", "rock")
PERSON_MOTIONS = ("walk", "wave")
TRACKABLE = ("bounce", "roll", "slide", "hop", "fly", "walk")  # motions that travel, so a camera can follow
WORDS = (
    "HI",
    "HELLO",
    "GO",
    "STOP",
    "OPEN",
    "YES",
    "NO",
    "WOW",
    "CAFE",
    "ZOO",
    "PARK",
    "SHOP",
    "HOME",
    "TAXI",
    "EXIT",
    "FUN",
    "PLAY",
    "STAR",
    "MOON",
    "SUN",
    "SEA",
    "FISH",
    "CAT",
    "DOG",
    "BIRD",
    "TOY",
    "BOOK",
    "TEA",
    "ICE",
    "PIE",
    "CAKE",
    "LOVE",
    "JOY",
    "SPACE",
    "OCEAN",
    "BEACH",
    "CITY",
    "ROBOT",
    "MOVIE",
    "MUSIC",
    "DANCE",
    "SMILE",
    "LUCKY",
    "MAGIC",
    "HAPPY",
    "SUNNY",
)

_CANNOT: dict[str, tuple[str, ...]] = {
    "ball": ("fly", "rock"),
    "cube": ("fly",),
    "star": ("rock",),
    "fish": ("roll", "slide", "rock", "collide"),
    "bird": ("roll", "slide", "collide"),
    "car": ("swing", "orbit", "float"),
    "boat": ("roll", "hop", "orbit"),
    "balloon": ("roll", "slide", "hop", "collide"),
    "cat": ("orbit",),
    "robot": ("orbit",),
    "rocket": ("roll", "slide", "collide"),
    "duck": ("orbit",),
}
# Half the width of each thing where it touches its neighbour, in radii.
HALF_WIDTHS = {"fish": 1.1, "bird": 1.25, "car": 1.24, "boat": 1.16, "cat": 1.0, "robot": 1.05, "duck": 1.22}
CAR_WHEEL = 0.36  # radius of a car's wheels, in radii of the car
_HELD_OUT_MODULUS = 11


def motions_of(thing: str) -> tuple[str, ...]:
    """The motions that `thing` may do, in the vocabulary's order."""
    if thing == "person":
        return PERSON_MOTIONS
    return tuple(motion for motion in MOTIONS if motion not in _CANNOT[thing])


def cameras_of(motion: str) -> tuple[str, ...]:
    """The camera moves that make sense with `motion`: only what travels can be tracked."""
    return CAMERAS if motion in TRACKABLE else CAMERAS[:-1]


def is_held_out(thing: str, colour: str, motion: str) -> bool:
    """True for the combinations (about one in eleven) that no training clip ever shows."""
    if thing == "person":
        return False
    key = 3 * THINGS.index(thing) + 5 * tuple(COLOURS).index(colour) + 7 * MOTIONS.index(motion)
    return key % _HELD_OUT_MODULUS == 0


@lru_cache(maxsize=8)
def combinations(split: str) -> tuple[tuple[str, str, str], ...]:
    """All (thing, colour, motion) of "train" and "test" (the same ones) or of "heldout"."""
    held_out = split == "heldout"
    return tuple(
        (thing, colour, motion)
        for thing in THINGS
        for colour in COLOURS
        for motion in motions_of(thing)
        if is_held_out(thing, colour, motion) == held_out
    )


def check(kind: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{kind} {value!r} does not fit here; choose one of {', '.join(allowed)}")
