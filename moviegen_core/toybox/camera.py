"""Camera paths: where the middle of the frame is and how large the world appears, as functions of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import motions

if TYPE_CHECKING:
    from .scenes import Scene


ZOOM = 1.04  # magnification half-way through a zoom


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """One camera move: `speed` in world units a second (for zooms: log2 of the scale a second) over `travel`."""

    move: str = "static"
    speed: float = 0.0
    travel: float = 0.0

    @property
    def seconds(self) -> float:
        """How long the move takes; the camera then rests (a tracking shot never ends)."""
        return self.travel / self.speed if self.speed else 0.0


@dataclass(frozen=True, slots=True)
class View:
    """The camera at one moment: centre in the world and magnification."""

    x: float
    y: float
    zoom: float

    def to_frame(self, x: float, y: float, aspect: float = 1.0) -> tuple[float, float]:
        """World point -> (fraction of width from the left, fraction of height from the top)."""
        width, height = max(aspect, 1.0), max(1 / aspect, 1.0)
        return 0.5 + (x - self.x) * self.zoom / width, 0.5 - (y - self.y) * self.zoom / height


def view(scene: Scene, time: float) -> View:
    """The camera of `scene` at `time` seconds."""
    move = scene.camera.move
    if move == "tracking shot":
        return View(motions.anchor(scene, time), 0.0, 1.0)
    done = _progress(time, scene.camera) - 0.5
    offset = scene.camera.travel * done
    if move.startswith("pan"):
        return View(offset if move == "pan right" else -offset, 0.0, 1.0)
    if move.startswith("tilt"):
        return View(0.0, offset if move == "tilt up" else -offset, 1.0)
    if move.startswith("zoom"):
        return View(0.0, -0.06, ZOOM * 2.0 ** (offset if move == "zoom in" else -offset))
    return View(0.0, 0.0, 1.0)


def _progress(time: float, camera: Camera) -> float:
    """0 -> 1 at constant speed, with a soft stop over the last third of a second."""
    if camera.seconds == 0:
        return 0.5
    soft = 0.35
    stop = camera.seconds + soft / 2
    time = max(time, 0.0)
    if time <= stop - soft:
        return time / camera.seconds
    remaining = max(stop - time, 0.0)
    return 1.0 - remaining * remaining / (2 * soft) / camera.seconds


def extent(scene: Scene, start: float, stop: float) -> tuple[float, float]:
    """Smallest and largest x of the camera's centre between two times; every path runs one way."""
    ends = view(scene, start).x, view(scene, stop).x
    return min(ends), max(ends)
