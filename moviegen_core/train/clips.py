"""Rendered toybox clips on disk: uint8 .npy [T, H, W, 3], each with its scene as .json beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np

from .. import toybox
from ..config import to_dict
from ..errors import ConfigError
from ..files import replacing
from ..toybox import motions
from ..toybox.vocabulary import OUTDOORS, cameras_of, motions_of
from .ranges import at_least
from .rendered import Rendered

STILL_SECONDS = 2.0  # of the scene that a still is taken from
# What a short training is slowest to learn to draw (assumption, from what the judge tells of samples): things that
# cross the picture at any height, as they do aloft or where the camera pans.
ALOFT, PANNED = ("float", "fly", "orbit", "swing"), ("pan left", "pan right")
FALLING = ("bounce",)  # motions by which it is told whether things fall as they should


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """What the clips of a folder show; `kinds` are (frames, fps, how many of each round).

    `motions` are what the subjects do in turn; without, whatever the toybox has them do.
    """

    count: int
    size: int = 128
    kinds: tuple[tuple[int, int, int], ...] = ((32, 16, 1),)
    first_seed: int = 1_000_000
    split: str = "train"
    motions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least(self, 1, "count", "size")
        at_least(self, 0, "first_seed")
        if not self.kinds or min(min(kind) for kind in self.kinds) < 1:
            raise ConfigError(
                f"kinds are {list(self.kinds)}; give one or more (frames, fps, how many of each round), all at least 1"
            )

    @property
    def round(self) -> list[tuple[int, int]]:
        """(frames, fps) of the first clips, repeated for all that follow."""
        slots = [((k + 0.5) / share, kind) for kind, (*_, share) in enumerate(self.kinds) for k in range(share)]
        return [self.kinds[kind][:2] for _, kind in sorted(slots)]

    def kind(self, number: int) -> tuple[int, int]:
        """(frames, fps) of clip `number`."""
        order = self.round
        return order[number % len(order)]

    def scene(self, number: int) -> toybox.Scene:
        """Scene of clip `number`."""
        frames, fps = self.kind(number)
        seconds = max(frames / fps, STILL_SECONDS if frames == 1 else 0.0)
        told = {"motion": self.motions[number % len(self.motions)]} if self.motions else {}
        return toybox.sample_scene(self.first_seed + number, split=self.split, duration_seconds=seconds, **told)

    def start(self, number: int) -> float:
        """Moment in seconds at which clip `number` begins: 0, but stills (of one frame) spread over the scene."""
        if self.kind(number)[0] > 1:
            return 0.0
        return STILL_SECONDS * float(np.random.default_rng((self.first_seed, number)).random())


class Clips(Rendered[ClipConfig]):
    """The first `config.count` clips of a folder."""

    name, one = "clips", "clip"

    @staticmethod
    def describe(config: ClipConfig) -> dict[str, object]:
        """All but the count, and the drawing itself."""
        return {**facts_of(config), "drawing": drawing()}

    def pixels(self, number: int) -> np.ndarray:
        """uint8 [T, H, W, 3], mapped: only what is read is loaded."""
        return self.stored(number)

    def scene(self, number: int) -> toybox.Scene:
        """The scene that clip `number` shows, as it was when drawn."""
        return toybox.Scene.from_dict(json.loads(self.path(number).with_suffix(".json").read_text()))

    def make(self, number: int) -> np.ndarray:
        """Draw clip `number`, and write its scene."""
        config, scene = self.config, self.config.scene(number)
        frames, fps = config.kind(number)
        pixels = toybox.render(
            scene, num_frames=frames, fps=fps, height=config.size, width=config.size, start_seconds=config.start(number)
        )
        # The scene first: a clip counts as drawn as soon as its pixels are there.
        with replacing(self.path(number).with_suffix(".json")) as partial:
            partial.write_text(json.dumps(scene.to_dict()))
        return np.ascontiguousarray(pixels)


def facts_of(config: object) -> dict[str, object]:
    """A configuration as a folder's manifest tells it: without the count, and without what is as usual."""
    facts = json.loads(json.dumps(to_dict(config)))
    usual = {"count": facts["count"], "motions": [], "subject": True}
    return {name: value for name, value in facts.items() if name not in usual or value != usual[name]}


def folder_of(cache: str, kind: str, *parts: int) -> str:
    """Name of a cache's folder: that of the clips goes without its kind."""
    return "-".join([cache, *([] if kind == "clips" else [kind]), *map(str, parts)])


@cache
def drawing() -> str:
    """Fingerprint of the toybox: a hash of what it draws, how things move and what seeds give, so that a change shows.

    Drawn are `portraits`, in small frames; poses are those of every thing at everything it does.
    """
    digest = hashlib.sha256()
    for scene in portraits():
        frames = toybox.render(scene, num_frames=2, fps=1.7, height=32, width=32, start_seconds=0.4)
        digest.update(np.ascontiguousarray(frames).tobytes())
    for thing in (*toybox.THINGS, "person"):
        for motion in motions_of(thing):
            digest.update(poses(toybox.sample_scene(0, thing=thing, motion=motion)).tobytes())
    for seed in range(50):
        digest.update(json.dumps(toybox.sample_scene(seed).to_dict()).encode())
    return digest.hexdigest()[:16]


def portraits() -> list[toybox.Scene]:
    """Scenes, always the same, that show every thing, colour, motion, place, weather and camera of the toybox.

    Now and then a sign and somebody beside it.
    """
    found: list[toybox.Scene] = []
    for number, thing in enumerate((*toybox.THINGS, "person", "person")):
        shown = {value for scene in found for value in scene.labels().values()}
        motion = next((name for name in motions_of(thing) if name not in shown), "bounce")
        camera = next((name for name in cameras_of(motion) if name not in shown), "static")
        place = toybox.PLACES[number % len(toybox.PLACES)]
        weather = toybox.WEATHERS[number % len(toybox.WEATHERS)] if place in OUTDOORS else "clear"
        word, person = ("HELLO", None)[number % 2], ("standing", None, "waving", None)[number % 4]
        found.append(
            toybox.sample_scene(
                number + 8, thing=thing, motion=motion, place=place, weather=weather, camera=camera, word=word,
                person=person,
            )
        )  # fmt: skip
    return found


def poses(scene: toybox.Scene) -> np.ndarray:
    """int64 [moments, 7]: the subject, or in a collision both things, at some moments of a clip, in thousandths."""
    bodies = [motions.pose] if scene.other is None else [motions.pose, motions.other_pose]
    held = [astuple(body(scene, moment)) for body in bodies for moment in (0.3, 1.7, 3.1)]
    return np.rint(1e3 * np.array(held)).astype(np.int64)


def looks(scene: toybox.Scene, num_frames: int, fps: float) -> float:
    """How good a clip looks, from its scene alone: 0 (skip it) to about 1, for choosing what to fine-tune on.

    Half of it is how long the subject is well inside the frame, a quarter its size, an eighth each clear weather
    and a lively camera; other people or things that may hide it cost a little.
    """
    track = scene.track(num_frames, fps)
    inside = float(np.mean(np.all((track > 0.08) & (track < 0.92), axis=1)))
    size = {"small": 0.3, "medium": 0.7, "large": 1.0}.get(scene.subject.size, 0.7)
    clear = 1.0 if scene.weather == "clear" else 0.4
    camera = 0.8 if scene.camera.move == "static" else 1.0
    bystander = scene.person is not None and scene.subject.thing != "person"
    crowd = 0.9 if scene.other is not None or bystander else 1.0
    return crowd * (0.5 * inside + 0.25 * size + 0.125 * clear + 0.125 * camera)


def best_looking(clips: Clips, numbers: Sequence[int], share: float) -> list[int]:
    """The `share` of the clips with the highest `looks`, in rising order; ties go to the lower number."""
    scored = sorted((-looks(clips.scene(number), *clips.config.kind(number)), number) for number in numbers)
    return sorted(number for _, number in scored[: max(1, round(share * len(scored)))])


def hard(scene: toybox.Scene) -> bool:
    """Whether the subject is aloft, or the camera pans."""
    return scene.motion.kind in ALOFT or scene.camera.move in PANNED


def falls(scene: toybox.Scene) -> bool:
    """Whether the subject falls freely."""
    return scene.motion.kind in FALLING
