"""Plain English for what is heard: the pieces of the paper's caption template (Movie Gen, Table 27)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .acoustics import THING_MATERIALS
from .captions import THING_NAMES, captions
from .events import MATERIALS as GROUNDS
from .scenes import Scene
from .sound_labels import sound_labels

# {noun} is the thing, {body} what it is made of, {ground} what it stands on, {other} the second thing of a collision.
KIND_PHRASES: dict[str, tuple[str, ...]] = {
    "bouncing": (
        "a {body} {noun} bouncing on {ground}",
        "the bounces of a {noun} hitting {ground}",
        "a {noun} hitting {ground} again and again",
        "repeated {body} thuds of a {noun} on {ground}",
        "a bouncing {noun}",
    ),
    "hopping": (
        "a {noun} hopping over {ground}",
        "the springy jumps and landings of a {noun} on {ground}",
        "a {noun} making small hops and landing on {ground}",
        "a hopping {noun}",
    ),
    "sliding": (
        "a {noun} sliding over {ground} and stopping",
        "the scrape of a {noun} pushed over {ground}",
        "a {noun} pushed over {ground} and scraping to a stop",
        "a sliding {noun}",
    ),
    "rolling": (
        "a {noun} rolling over {ground}",
        "the steady rumble of a rolling {noun} on {ground}",
        "a {body} {noun} rumbling along {ground}",
        "a rolling {noun}",
    ),
    "tumbling": (
        "a {noun} tumbling over {ground}",
        "{body} clunks of a {noun} turning over on {ground}",
        "a {noun} tumbling along {ground} edge over edge",
        "a tumbling {noun}",
    ),
    "swinging": (
        "a {noun} swinging on a creaking string",
        "a creaking string with a {noun} swinging through the air",
        "whooshes and creaks of a {noun} swinging back and forth",
        "a swinging {noun}",
    ),
    "rocking": (
        "a {noun} rocking from side to side with soft knocks",
        "{body} knocks of a {noun} wobbling left and right",
        "a {noun} rocking back and forth and tapping the ground",
        "a rocking {noun}",
    ),
    "humming": (
        "a {noun} humming as it circles around",
        "a soft hum of a {noun} going round and round",
        "a {noun} circling with a warm humming tone",
        "a humming {noun}",
    ),
    "floating": (
        "a {noun} floating up and down with a gliding tone",
        "a soft tone that rises and falls with a floating {noun}",
        "a {noun} hovering with a gentle gliding whistle",
        "a floating {noun}",
    ),
    "whirring": (
        "a {noun} whirring as it spins",
        "the rhythmic whir of a spinning {noun}",
        "a {noun} spinning round with a whirring sound",
        "a spinning {noun}",
    ),
    "wings": (
        "a {noun} flapping its wings",
        "soft wing beats of a {noun} in the air",
        "the flapping wings of a flying {noun}",
        "flapping wings",
    ),
    "rocket": (
        "a rocket engine roaring",
        "the deep roar of a rocket",
        "a rocket roaring and crackling in flight",
        "a rocket",
    ),
    "engine": (
        "a {noun} with a purring engine",
        "the engine of a {noun} humming and revving",
        "a small engine driving a {noun} along",
        "a {noun} driving by",
    ),
    "balloon": (
        "a balloon squeaking as it floats",
        "air leaking from a balloon with little squeaks",
        "a rubbery balloon squeaking and fluttering in the air",
        "a squeaking balloon",
    ),
    "splashing": (
        "a {noun} splashing in water",
        "water splashing and gurgling around a {noun}",
        "little splashes of a {noun} moving through water",
        "splashing water",
    ),
    "whooshing": (
        "a {noun} whooshing past",
        "the whoosh of a {noun} flying by",
        "a {noun} rushing past through the air",
        "a {noun} flying by",
    ),
    "collision": (
        "a {noun} bumping into a {other}",
        "knocks of a {noun} and a {other} hitting each other",
        "a {noun} colliding with a {other} and knocks against posts",
        "a {noun} hitting a {other}",
    ),
    "steps": (
        "footsteps of a person walking on {ground}",
        "somebody walking on {ground}",
        "a person's steady steps on {ground}",
        "footsteps on {ground}",
    ),
    "rustling": (
        "the rustling clothes of a person waving",
        "a sleeve rustling on a waving arm",
        "soft rustling of a waving arm",
        "rustling clothes",
    ),
}
AMBIENCE_PHRASES: dict[str, tuple[str, ...]] = {
    "breeze": ("in a light breeze with birds chirping", "with a soft breeze and some birds", "on a breezy meadow"),
    "waves": ("with waves washing ashore", "by the sea with gentle waves", "while ocean waves roll in"),
    "insects": ("with crickets at night", "while night insects chirp", "on a quiet night with crickets"),
    "city hum": ("with the hum of a city", "in a city with distant traffic", "over a low hum of traffic"),
    "room tone": ("in a quiet room with a ticking clock", "indoors while a clock ticks", "in a room with a clock"),
    "space hum": ("over a deep space hum", "with a low hum of space", "above a deep, slow drone"),
    "bubbles": ("under water with bubbles", "among bubbles under water", "muffled by water, with rising bubbles"),
    "rain": ("in the rain", "while rain is falling", "with raindrops pattering"),
    "hush": ("in the hush of snow", "on a quiet, snowy day", "in muffled, snowy silence"),
}
# The place alone, as somebody asks for it who wants nothing else.
PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "breeze": ("wind", "birds", "a light breeze and birds chirping", "wind in the grass", "birds in the field"),
    "waves": ("the sea", "waves", "waves on a beach", "ocean waves washing ashore", "the sound of waves at the sea"),
    "insects": ("crickets", "insects at night", "crickets at night", "a quiet night with chirping insects"),
    "city hum": ("traffic", "a city", "the hum of a city", "distant traffic in a city", "a street in the city"),
    "room tone": ("a clock", "a ticking clock", "a clock ticking in a quiet room", "a quiet room", "an office"),
    "space hum": ("a drone", "a deep hum", "the low hum of space", "a deep, slow drone in space"),
    "bubbles": ("bubbles", "water", "bubbles under water", "water bubbling", "rising bubbles in the water"),
    "rain": ("rain", "rain on a roof", "heavy rain", "rain falling outside", "raindrops pattering on a window"),
    "hush": ("snow", "falling snow", "the hush of snow", "a quiet winter day", "a snowy forest"),
}
_DAYS = ("on a quiet, snowy day", "a quiet winter day")  # at night a night
MUSIC_PHRASES: dict[str, tuple[str, ...]] = {
    "calm": (
        "Calm music with slow chords and a soft music box melody.",
        "A gentle, relaxing piece with warm pads and sparse bells.",
        "Slow and peaceful ambient music.",
        "Quiet, dreamy music with long chords.",
        "Calm music.",
        "Soft piano.",
    ),
    "cheerful": (
        "Cheerful music with a bouncy marimba and light drums.",
        "A happy, upbeat tune in a major key.",
        "Playful and fast music with plucked bass and marimba.",
        "Bright, lively music with a catchy melody.",
        "Happy music.",
        "A cheerful song.",
    ),
    "tense": (
        "Tense music with a low pulse and trembling strings.",
        "Dark, suspenseful music in a minor key.",
        "An uneasy, dramatic piece with a beating heart of a drum.",
        "Nervous music with low notes and tremolo chords.",
        "Tense music.",
        "Dark and scary strings.",
    ),
}
# As long as all others now and then, so that few words do not mean silence.
_SILENCE = (
    "Silence.",
    "Complete silence.",
    "There is nothing to hear.",
    "Nothing can be heard at all.",
    "A silent place without any sound.",
    "We hear nothing, for there is no sound here at all.",
)
_FRAMES = ("{what} {where}.", "The sound of {what} {where}.", "We hear {what} {where}.", "{what}, {where}.")
_BRIEF_FRAMES = ("{what}.", "The sound of {what}.", "We hear {what}.", "{what}")
_BRIEF, _SEEN = 0.2, 0.4  # shares of the captions that name the subject alone; up to which they say what is seen
_BODIES = {"skin": "hollow", "fur": "soft", "scales": "wet", "feathers": "feathery", "metal": "metallic"}
_GROUNDS = {"grass": "grass", "sand": "sand", "stone": "the pavement", "wood": "a wooden floor", "dust": "dusty ground"}


@dataclass(frozen=True, slots=True)
class SoundCaptions:
    """Pieces of the template: descriptions in plain English ("" where there is no music), quality 1 to 10 and the
    likelihood of music, 0 to 1."""

    description: str
    music_description: str
    quality: float
    music: float


def sound_captions(scene: Scene, seed: int, *, music: bool | str = True, subject: bool = True) -> SoundCaptions:
    """Captions of `sound(scene, music=music, subject=subject)`; `seed` (0 or more) picks the wording and nothing else.

    Three in five tell subject and place, the others are brief, or say what is seen, as people ask for sounds.
    """
    rng = np.random.default_rng((seed, scene.seed, 4848))
    labels = sound_labels(scene, music=music, subject=subject)

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(rng.integers(len(choices)))]

    likelihood = float(rng.uniform(0.0, 0.08))
    music_text, quality = "", 7.0
    if labels.mood != "none":
        music_text, quality, likelihood = pick(MUSIC_PHRASES[labels.mood]), 8.0, 1.0 - likelihood
    way = float(rng.random())
    if not labels.kinds:
        text = pick(_SILENCE)
    elif labels.kind == "silence":
        frame = pick(_BRIEF_FRAMES)
        text = frame.format(what=_hour(scene, pick(PLACE_PHRASES[labels.ambience])))
    elif _BRIEF <= way < _SEEN:
        text = captions(scene, seed).short
    else:
        what = _kind(pick(KIND_PHRASES[labels.kind]), _words(scene, rng))
        where = _hour(scene, pick(AMBIENCE_PHRASES[labels.ambience]))
        text = pick(_BRIEF_FRAMES if way < _BRIEF else _FRAMES).format(what=what, where=where)
    return SoundCaptions(text[0].upper() + text[1:], music_text, quality, round(likelihood, 2))


def _kind(phrase: str, words: dict[str, str]) -> str:
    """A phrase with its words; what is called a rubber duck already is not told to be of rubber again."""
    return phrase.format(**words).replace(f"{words['body']} {words['body']} ", f"{words['body']} ")


def _hour(scene: Scene, phrase: str) -> str:
    return phrase.replace(" day", " night") if phrase in _DAYS and scene.place == "night sky" else phrase


def _words(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    thing, material = scene.subject.thing, THING_MATERIALS[scene.subject.thing]
    names = THING_NAMES.get(thing, ("person",))
    return {
        "noun": names[int(rng.integers(len(names)))],
        "body": {"wood": "wooden"}.get(material, _BODIES.get(material, material)),
        "ground": _GROUNDS[GROUNDS[scene.place]],
        "other": scene.other.thing if scene.other is not None else "",
    }
