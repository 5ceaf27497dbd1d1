"""A procedural world of toys: scenes from seeds, pictures at any size and rate, sound, captions, events, physics."""

from .acoustics import RATE as SOUND_RATE
from .captions import Captions, captions
from .events import Event
from .render import render
from .sampling import sample_scene
from .scenes import Scene
from .sound import sound
from .sound_captions import SoundCaptions, sound_captions
from .sound_labels import AMBIENCES, MOODS, SOUND_KINDS, SoundLabels, sound_labels
from .vocabulary import CAMERAS, COLOURS, MOTIONS, PLACES, SIZES, THINGS, WEATHERS, is_held_out

__all__ = [
    "AMBIENCES",
    "CAMERAS",
    "COLOURS",
    "MOODS",
    "MOTIONS",
    "PLACES",
    "SIZES",
    "SOUND_KINDS",
    "SOUND_RATE",
    "THINGS",
    "WEATHERS",
    "Captions",
    "Event",
    "Scene",
    "SoundCaptions",
    "SoundLabels",
    "captions",
    "is_held_out",
    "render",
    "sample_scene",
    "sound",
    "sound_captions",
    "sound_labels",
]
