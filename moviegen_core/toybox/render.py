"""Draws a scene: layers and sprites are made once, then every frame is a crop and a few stamps."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..errors import ShapeError
from . import camera, motions, people, places, signs, things, weather
from .motions import GROUND, Pose
from .raster import Layer, Pen, Sprite, dark
from .scenes import Person, Scene, Subject
from .vocabulary import COLOURS

_PHASES = 12  # pictures per cycle of an animated thing
_POST = 0.035


def render(
    scene: Scene, *, num_frames: int, fps: float, height: int, width: int, start_seconds: float = 0.0
) -> np.ndarray:
    """`scene` as uint8 [T, H, W, 3]; frame k shows time start_seconds + k / fps.

    The same time gives the same picture at any frame rate; any size and aspect ratio from 8 pixels up works. ShapeError
    for smaller ones, no frames or no rate.
    """
    if num_frames < 1 or height < 8 or width < 8 or fps <= 0:
        raise ShapeError(
            f"{num_frames} frames of {height} x {width} at {fps} frames a second cannot be drawn; "
            "ask for at least 1 frame, 8 x 8 pixels and a positive rate"
        )
    stage = Stage(scene, height, width, start_seconds, start_seconds + (num_frames - 1) / fps)
    return np.stack([stage.frame(start_seconds + index / fps) for index in range(num_frames)])


class Stage:
    """A scene made ready to draw at one size: layers for the time from `start` to `stop`, sprites as they come up."""

    def __init__(self, scene: Scene, height: int, width: int, start: float, stop: float) -> None:
        self.scene, self.height, self.width = scene, height, width
        self.unit = float(min(height, width))
        self.sprites: dict[tuple, Sprite] = {}
        self.backdrop: tuple[camera.View, Image.Image] | None = None
        self.far, self.near = self._layers(start, stop)

    def _layers(self, start: float, stop: float) -> tuple[Layer, Layer]:
        scene = self.scene
        ends = [camera.view(scene, time) for time in (start, stop)]
        zoom = min(view.zoom for view in ends)
        # The crop's filter looks a few pixels past the edge of the frame.
        edge = 4 / self.unit
        edge += 3 * places.FAR_BLUR
        half_x, half_y = 0.5 * self.width / self.unit / zoom + edge, 0.5 * self.height / self.unit / zoom + edge
        low, high = camera.extent(scene, start, stop)
        y_range = (min(view.y for view in ends) - half_y, max(view.y for view in ends) + half_y)
        scale = self.unit * camera.ZOOM if scene.camera.move.startswith("zoom") else self.unit
        shift = places.FAR_SHIFT
        far = Layer((low * shift - half_x, high * shift + half_x), y_range, scale)
        near = Layer((low - half_x, high + half_x), y_range, scale)
        places.PAINTERS[scene.place](scene.seed, far, near)
        if scene.weather != "clear":
            weather.veil(far, scene.weather)
        far.blur(places.FAR_BLUR)
        near.blur(places.NEAR_BLUR)
        if scene.sign is not None:
            self._sign(near)
        far.finish()
        near.finish()
        return far, near

    def _sign(self, near: Layer) -> None:
        sign, pen = self.scene.sign, near.pen
        assert sign is not None
        x0, y0 = pen.origin
        standing = Pen(near.image, (x0 + sign.x * pen.scale, y0 - (GROUND + 0.05) * pen.scale), pen.scale)
        signs.board(standing, sign.word)

    def frame(self, time: float) -> np.ndarray:
        """[H, W, 3] uint8 at `time` seconds."""
        scene = self.scene
        view = camera.view(scene, time)
        if self.backdrop is None or self.backdrop[0] != view:
            self.backdrop = view, self._backdrop(view)
        frame = self.backdrop[1].copy()
        if scene.person is not None:
            self._person(frame, view, scene.person, time)
        pose = motions.pose(scene, time)
        self._props(frame, view, pose)
        if scene.other is not None:
            other = motions.other_pose(scene, time)
            self._shadow(frame, view, other, scene.other.radius)
            self._thing(frame, view, other, scene.other)
        self._shadow(frame, view, pose, scene.subject.radius)
        self._thing(frame, view, pose, scene.subject)
        if scene.weather != "clear":
            weather.draw(frame, scene.weather, scene.seed, time, self.unit, (view.x, view.y))
        return np.asarray(frame)

    def _backdrop(self, view: camera.View) -> Image.Image:
        size = (self.width, self.height)
        far = self.far.crop(view.x * places.FAR_SHIFT, view.y, view.zoom, size, self.unit).convert("RGB")
        near = self.near.crop(view.x, view.y, view.zoom, size, self.unit)
        far.paste(near, mask=near)
        return far

    def _pixel(self, view: camera.View, x: float, y: float) -> tuple[float, float]:
        across, down = view.to_frame(x, y, self.width / self.height)
        return across * self.width, down * self.height

    def _rims(self, colour: tuple[int, int, int]) -> list[tuple]:
        """The outline: a darker shade of the thing, with a pale edge where the place is dark."""
        outline = (0.06, dark(colour, 0.62))
        return [(0.11, (112, 118, 160)), outline] if self.scene.place in places.DARK else [outline]

    def _sprite(self, key: tuple, radius_px: float, extent: float, paint, rims: list[tuple]) -> Sprite:
        # Sizes in steps of 2^(1/4): a zoom reuses sprites and never shrinks one enough to alias.
        level = 2.0 ** (math.ceil(4 * math.log2(radius_px)) / 4)
        key = (*key, level)
        if key not in self.sprites:
            self.sprites[key] = Sprite(level, extent, paint, rims)
        return self.sprites[key]

    def _thing(self, frame: Image.Image, view: camera.View, pose: Pose, subject: Subject) -> None:
        radius_px = subject.radius * self.unit * view.zoom
        colour = COLOURS[subject.colour]
        x, y = self._pixel(view, pose.x, pose.y - subject.radius * (1 - pose.squash))
        if subject.thing == "person":
            identity = self.scene.person.identity if self.scene.person else (0.5,) * len(people.IDENTITY)
            kind = self.scene.motion.kind
            step = round(pose.phase * _PHASES) % _PHASES

            def paint(pen: Pen) -> None:
                people.person(pen, identity, colour, step / _PHASES, kind == "walk", kind == "wave")

            sprite = self._sprite(("person", step), radius_px, things.EXTENT, paint, self._rims(colour))
            sprite.stamp(frame, x, y, radius_px, facing=pose.facing)
            return
        step, phase = 0, 0.0
        if subject.thing in things.ANIMATED:
            cycle = pose.phase / math.tau if subject.thing == "car" else pose.phase
            step = round(cycle * _PHASES) % _PHASES
            phase = step / _PHASES * (math.tau if subject.thing == "car" else 1.0)
        painter = things.PAINTERS[subject.thing]
        key = (subject.thing, subject.colour, step)
        rims = self._rims(colour)
        sprite = self._sprite(key, radius_px, things.EXTENT, lambda pen: painter(pen, colour, phase), rims)
        sprite.stamp(frame, x, y, radius_px, pose.angle, pose.squash, pose.facing)
        if subject.thing == "ball":
            gloss = self._sprite(("gloss",), radius_px, 1.1, lambda pen: things.ball_light(pen, colour, 0.0), [])
            gloss.stamp(frame, x, y, radius_px, 0.0, pose.squash)

    def _shadow(self, frame: Image.Image, view: camera.View, pose: Pose, radius: float) -> None:
        """A soft ellipse on the ground, wider and fainter the higher the thing is."""
        if pose.height > 0.9:
            return
        strength = places.SHADOWS.get(self.scene.place, 0.34) / (1 + 3 * pose.height)
        spread = radius * (0.95 + 0.5 * pose.height)
        cx, cy = self._pixel(view, pose.x, GROUND + 0.005)
        rx, ry = spread * self.unit * view.zoom, 0.2 * radius * self.unit * view.zoom + 0.5
        left, right = max(math.floor(cx - rx) - 1, 0), min(math.ceil(cx + rx) + 2, self.width)
        top, bottom = max(math.floor(cy - ry) - 1, 0), min(math.ceil(cy + ry) + 2, self.height)
        if left >= right or top >= bottom:
            return
        xs = (np.arange(left, right, dtype=np.float32) + 0.5 - cx) / rx
        ys = (np.arange(top, bottom, dtype=np.float32) + 0.5 - cy) / ry
        falloff = np.clip(1.15 - (xs * xs)[None] - (ys * ys)[:, None], 0, 1) * strength
        mask = Image.fromarray((falloff * 255 + 0.5).astype(np.uint8))
        frame.paste((12, 10, 30), (left, top), mask)

    def _person(self, frame: Image.Image, view: camera.View, person: Person, time: float) -> None:
        if self.scene.subject.thing == "person":
            return
        radius = 0.19
        radius_px = radius * self.unit * view.zoom
        pose = Pose(person.x, GROUND + 0.05 + radius, height=0.05)
        step = round(time * 1.2 * _PHASES) % _PHASES if person.waving else 0

        def paint(pen: Pen) -> None:
            people.person(pen, person.identity, COLOURS[person.colour], step / _PHASES, False, person.waving)

        self._shadow(frame, view, Pose(person.x, GROUND + radius), radius * 0.8)
        x, y = self._pixel(view, pose.x, pose.y)
        rims = self._rims(COLOURS[person.colour])
        self._sprite(("bystander", step), radius_px, 1.3, paint, rims).stamp(frame, x, y, radius_px)

    def _props(self, frame: Image.Image, view: camera.View, pose: Pose) -> None:
        """What a motion needs besides the thing: a pendulum's string, the lamp of an orbit, bumpers."""
        kind = self.scene.motion.kind
        scale = self.unit * view.zoom
        if kind == "swing":
            length = self.scene.motion.reach

            def string(pen: Pen) -> None:
                pen.line([(0, 0), (0, -1)], 0.03, (236, 232, 220))
                pen.circle(0, 0, 0.05, (250, 236, 200))

            sprite = self._sprite(("string",), length * scale, 1.1, string, [(0.012, (70, 60, 70))])
            sprite.stamp(frame, *self._pixel(view, *motions.PIVOT), length * scale, pose.angle)
        elif kind == "orbit":
            sprite = self._sprite(("lamp",), 0.05 * scale, 2.6, _lamp, [])
            sprite.stamp(frame, *self._pixel(view, *motions.ORBIT_CENTRE), 0.05 * scale)
        elif kind == "collide":
            for side in (-1, 1):
                sprite = self._sprite(("post",), 0.1 * scale, 1.2, _post, [(0.1, (60, 40, 50))])
                x, y = self._pixel(view, side * (motions.POSTS + _POST), GROUND + 0.1)
                sprite.stamp(frame, x, y, 0.1 * scale)


def _lamp(pen: Pen) -> None:
    for step in range(6):
        pen.circle(0, 0, 2.4 - 0.25 * step, (255, 226, 130, 18 + 26 * step))
    pen.circle(0, 0, 1, (255, 244, 190))
    pen.circle(0, 0, 0.6, (255, 255, 240))


def _post(pen: Pen) -> None:
    pen.box(-0.35, -1, 0.35, 1, (232, 70, 60), 0.2)
    if pen.rim is None:
        pen.box(-0.35, -0.4, 0.35, 0.05, (250, 250, 250))
        pen.box(-0.35, 0.5, 0.35, 0.85, (250, 250, 250))
