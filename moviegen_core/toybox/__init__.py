"""A procedural world of toys: scenes from seeds, pictures at any size and rate, captions, events, physics."""

from .captions import Captions, captions
from .events import Event
from .render import render
from .sampling import sample_scene
from .scenes import Scene
from .vocabulary import CAMERAS, COLOURS, MOTIONS, PLACES, SIZES, THINGS, WEATHERS, is_held_out

__all__ = [
    "CAMERAS",
    "COLOURS",
    "MOTIONS",
    "PLACES",
    "SIZES",
    "THINGS",
    "WEATHERS",
    "Captions",
    "Event",
    "Scene",
    "captions",
    "is_held_out",
    "render",
    "sample_scene",
]
