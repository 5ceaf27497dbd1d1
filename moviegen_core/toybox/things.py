"""How each thing looks, drawn in a box of one radius to each side: y upwards, facing right, standing on y = -1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .raster import Pen, arc_points, dark, light
from .vocabulary import CAR_WHEEL

Rgb = Sequence[float]
Paint = Callable[[Pen, Rgb, float], None]
INK = (38, 34, 56)
WHITE = (255, 255, 255)


def _eye(pen: Pen, x: float, y: float, radius: float, look: float = 0.25) -> None:
    pen.circle(x, y, radius, WHITE)
    pen.circle(x + look * radius, y, 0.58 * radius, INK)
    pen.circle(x + look * radius + 0.15 * radius, y + 0.25 * radius, 0.2 * radius, WHITE)


def _smile(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.line(arc_points(x, y, radius, radius, -2.6, -0.54, 10), 0.07, INK)


def ball(pen: Pen, colour: Rgb, phase: float) -> None:
    """A beach ball with pale wedges, so that rolling shows; its light is added by `ball_light`."""
    pen.circle(0, 0, 1, (*_rgb(colour),))
    if pen.rim is None:
        for turn in (0.0, math.pi):
            wedge = arc_points(0, 0, 0.97, 0.97, turn - 0.36, turn + 0.36, 12)
            pen.polygon([(0, 0), *wedge], light(colour, 0.72) if min(colour) < 200 else (188, 192, 206))
        pen.circle(0, 0, 0.2, dark(colour, 0.3))


def ball_light(pen: Pen, colour: Rgb, phase: float) -> None:
    """Shade and highlight of a ball: stays where the lamp is while the ball turns."""
    if pen.rim is None:
        for step in range(8):
            shift = 0.045 * step
            pen.circle(0, 0, 0.985, (20, 15, 50, 84 - 10 * step)) if step == 0 else pen.circle(
                -shift, shift, 0.985 - shift * 0.95, (20, 15, 50, max(84 - 13 * step, 0))
            )
        pen.ellipse(-0.36, 0.42, 0.2, 0.14, (255, 255, 255, 190))


def cube(pen: Pen, colour: Rgb, phase: float) -> None:
    """A toy block: front face with an inset panel, a lit top edge and a darker side."""
    pen.box(-1, -1, 1, 1, _rgb(colour), 0.12)
    if pen.rim is None:
        pen.polygon([(-0.94, 0.94), (0.94, 0.94), (0.62, 0.62), (-0.62, 0.62)], light(colour, 0.45))
        pen.polygon([(0.94, 0.94), (0.94, -0.94), (0.62, -0.62), (0.62, 0.62)], dark(colour, 0.32))
        pen.polygon([(-0.94, -0.94), (0.94, -0.94), (0.62, -0.62), (-0.62, -0.62)], dark(colour, 0.2))
        pen.box(-0.62, -0.62, 0.62, 0.62, light(colour, 0.1))
        pen.circle(0, 0, 0.26, light(colour, 0.65) if min(colour) < 200 else (176, 180, 198))


def star(pen: Pen, colour: Rgb, phase: float) -> None:
    """A five-pointed star with a face."""
    points = []
    for index in range(10):
        radius, turn = (1.1, 0.58)[index % 2], math.pi / 2 + index * math.pi / 5
        points.append((radius * math.cos(turn), radius * math.sin(turn) - 0.04))
    pen.polygon(points, _rgb(colour))
    if pen.rim is None:
        for index in range(0, 10, 2):
            pen.polygon([points[index], points[index - 1], (0, -0.04)], light(colour, 0.3))
        pen.circle(0, -0.04, 0.4, _rgb(colour))
        for x in (-0.2, 0.2):
            pen.circle(x, 0.06, 0.1, INK)
        _smile(pen, 0, -0.06, 0.2)


def fish(pen: Pen, colour: Rgb, phase: float) -> None:
    """A fish whose tail beats."""
    beat = 0.24 * math.sin(math.tau * phase)
    pen.polygon([(-0.55, 0), (-1.25, 0.62 + beat), (-1.05, beat), (-1.25, -0.62 + beat)], dark(colour, 0.18))
    pen.polygon([(-0.3, 0.5), (0.05, 0.98), (0.45, 0.5)], dark(colour, 0.18))
    pen.polygon([(-0.2, -0.5), (-0.25, -0.92), (0.25, -0.55)], dark(colour, 0.18))
    pen.ellipse(0.12, 0, 0.95, 0.66, _rgb(colour))
    if pen.rim is None:
        pen.polygon(arc_points(0.12, 0, 0.93, 0.64, math.pi * 1.12, math.pi * 1.88), light(colour, 0.4))
        for x in (-0.42, -0.08):
            pen.line(arc_points(x - 0.25, 0.02, 0.32, 0.44, -0.9, 0.9, 8), 0.1, dark(colour, 0.22))
        pen.line([(0.8, -0.22), (0.98, -0.16)], 0.07, INK)
        _eye(pen, 0.6, 0.16, 0.23)


def bird(pen: Pen, colour: Rgb, phase: float) -> None:
    """A small bird that beats its wing."""
    beat = math.sin(math.tau * phase)
    pen.polygon([(-0.55, 0.0), (-1.3, 0.32), (-1.2, -0.02), (-1.3, -0.26)], dark(colour, 0.25))
    for x in (-0.05, 0.18):
        pen.line([(x, -0.6), (x, -0.96)], 0.09, (240, 150, 40))
    pen.ellipse(-0.05, -0.12, 0.72, 0.58, _rgb(colour))
    pen.circle(0.56, 0.36, 0.44, _rgb(colour))
    pen.polygon([(0.92, 0.46), (1.34, 0.3), (0.92, 0.16)], (255, 160, 30))
    if pen.rim is None:
        pen.ellipse(0.1, -0.34, 0.42, 0.3, light(colour, 0.55) if min(colour) < 200 else (214, 218, 230))
        _eye(pen, 0.68, 0.44, 0.19)
    pen.polygon(
        [(0.22, 0.04), (-0.62, 0.1), (-0.72, 0.22 + 0.85 * beat), (-0.32, 0.12 + 1.05 * beat)], dark(colour, 0.3)
    )


def car(pen: Pen, colour: Rgb, phase: float) -> None:
    """A small car; phase turns the wheels, in radians."""
    roof = [(-0.78, 0.1), (-0.5, 0.74), (0.34, 0.74), (0.72, 0.1)]
    pen.polygon(roof, _rgb(colour))
    pen.box(-1.22, -0.66, 1.22, 0.16, _rgb(colour), 0.22)
    if pen.rim is None:
        pen.polygon([(-0.6, 0.14), (-0.4, 0.58), (-0.1, 0.58), (-0.1, 0.14)], (206, 238, 255))
        pen.polygon([(0.04, 0.14), (0.04, 0.58), (0.26, 0.58), (0.54, 0.14)], (206, 238, 255))
        pen.box(-1.22, -0.66, 1.22, -0.44, dark(colour, 0.3), 0.1)
        pen.circle(1.06, -0.16, 0.14, (255, 246, 170))
        pen.circle(-1.1, -0.16, 0.1, (200, 30, 30))
    for x in (-0.66, 0.66):
        pen.circle(x, -0.64, CAR_WHEEL, (44, 44, 56))
        if pen.rim is None:
            pen.circle(x, -0.64, 0.19, (226, 228, 236))
            for turn in (0.0, math.pi / 2):
                dx, dy = 0.17 * math.cos(turn - phase), 0.17 * math.sin(turn - phase)
                pen.line([(x - dx, -0.64 - dy), (x + dx, -0.64 + dy)], 0.07, (90, 92, 108))


def boat(pen: Pen, colour: Rgb, phase: float) -> None:
    """A sailing boat: coloured hull and sail, white foresail."""
    pen.line([(-0.05, -0.4), (-0.05, 1.06)], 0.1, (132, 88, 52))
    pen.polygon([(0.04, 1.0), (0.04, -0.2), (0.86, -0.2)], _rgb(colour))
    pen.polygon([(-0.14, 0.86), (-0.14, -0.2), (-0.74, -0.2)], WHITE if min(colour) < 200 else (190, 196, 214))
    pen.polygon([(-1.12, -0.34), (1.16, -0.34), (0.78, -0.96), (-0.76, -0.96)], _rgb(colour))
    if pen.rim is None:
        pen.polygon([(-1.12, -0.34), (1.16, -0.34), (1.07, -0.5), (-1.03, -0.5)], light(colour, 0.55))
        pen.polygon([(0.94, -0.72), (0.78, -0.96), (-0.76, -0.96), (-0.9, -0.72)], dark(colour, 0.25))


def balloon(pen: Pen, colour: Rgb, phase: float) -> None:
    """A balloon on a string."""
    sway = 0.14 * math.sin(math.tau * phase)
    pen.line([(0, -0.7), (0.08 + sway / 2, -1.0), (-0.06 + sway, -1.3)], 0.06, (120, 112, 128))
    pen.polygon([(0, -0.52), (-0.16, -0.78), (0.16, -0.78)], dark(colour, 0.2))
    pen.ellipse(0, 0.2, 0.74, 0.86, _rgb(colour))
    if pen.rim is None:
        pen.ellipse(-0.05, 0.26, 0.62, 0.74, light(colour, 0.1))
        pen.ellipse(-0.3, 0.52, 0.16, 0.24, light(colour, 0.75))


def cat(pen: Pen, colour: Rgb, phase: float) -> None:
    """A sitting cat that waves its tail."""
    sway = 0.2 * math.sin(math.tau * phase)
    pen.line([(-0.5, -0.78), (-0.98, -0.6), (-1.05, -0.1 + sway), (-0.86 - sway, 0.28)], 0.22, dark(colour, 0.16))
    pen.ellipse(-0.06, -0.52, 0.68, 0.5, _rgb(colour))
    for x in (-0.3, 0.34):
        pen.ellipse(x, -0.9, 0.22, 0.12, light(colour, 0.35))
    for side in (-1, 1):
        pen.polygon([(0.22 + side * 0.66, 1.08), (0.22 + side * 0.6, 0.36), (0.22 + side * 0.06, 0.66)], _rgb(colour))
    pen.ellipse(0.22, 0.28, 0.68, 0.56, _rgb(colour))
    if pen.rim is None:
        for side in (-1, 1):
            pen.polygon(
                [(0.22 + side * 0.57, 0.9), (0.22 + side * 0.52, 0.5), (0.22 + side * 0.22, 0.66)], (255, 176, 186)
            )
            _eye(pen, 0.22 + side * 0.28, 0.32, 0.17, 0.1)
        pen.ellipse(0.04, -0.52, 0.34, 0.3, light(colour, 0.4) if min(colour) < 200 else (220, 222, 232))
        pen.polygon([(0.12, 0.14), (0.32, 0.14), (0.22, 0.03)], (240, 110, 130))
        for side in (-1, 1):
            pen.line([(0.22 + side * 0.4, 0.08), (0.22 + side * 0.78, 0.12)], 0.04, INK)


def robot(pen: Pen, colour: Rgb, phase: float) -> None:
    """A robot with an aerial lamp; its arms move in turn."""
    lift = 0.22 * math.sin(math.tau * phase)
    pen.line([(0, 0.8), (0, 1.02)], 0.09, (110, 114, 130))
    pen.circle(0, 1.08, 0.13, (255, 208, 60))
    for side in (-1, 1):
        pen.line([(side * 0.56, -0.1), (side * 0.9, -0.2 + side * lift)], 0.18, (150, 156, 172))
        pen.circle(side * 0.92, -0.22 + side * lift, 0.16, dark(colour, 0.2))
        pen.box(side * 0.32 - 0.2, -1.0, side * 0.32 + 0.2, -0.6, (120, 126, 144), 0.08)
    pen.box(-0.62, -0.74, 0.62, 0.12, _rgb(colour), 0.16)
    pen.box(-0.7, 0.16, 0.7, 0.86, _rgb(colour), 0.2)
    if pen.rim is None:
        pen.box(-0.54, 0.28, 0.54, 0.72, (40, 46, 70), 0.14)
        for x in (-0.26, 0.26):
            pen.circle(x, 0.52, 0.15, (130, 240, 255))
            pen.circle(x, 0.52, 0.06, WHITE)
        pen.box(-0.36, -0.52, 0.36, -0.08, light(colour, 0.6) if min(colour) < 200 else (200, 204, 218), 0.08)
        pen.circle(-0.16, -0.3, 0.1, (230, 70, 70))
        pen.circle(0.16, -0.3, 0.1, (70, 190, 110))


def rocket(pen: Pen, colour: Rgb, phase: float) -> None:
    """A rocket that stands upright, with a flickering flame."""
    lick = 0.12 * math.sin(math.tau * phase)
    pen.polygon([(-0.22, -0.72), (0.22, -0.72), (0, -1.12 - lick)], (255, 170, 40))
    for side in (-1, 1):
        pen.polygon([(side * 0.3, -0.2), (side * 0.8, -0.92), (side * 0.28, -0.74)], dark(colour, 0.28))
    body = arc_points(-0.62, -0.24, 1.06, 1.36, 0, 1.0, 12) + arc_points(
        0.62, -0.24, 1.06, 1.36, math.pi - 1.0, math.pi
    )
    pen.polygon([*body, (-0.34, -0.8), (0.34, -0.8)], _rgb(colour))
    if pen.rim is None:
        pen.polygon([(-0.34, -0.8), (0.34, -0.8), (0.4, -0.58), (-0.4, -0.58)], dark(colour, 0.25))
        pen.polygon([(-0.22, 0.6), (0.22, 0.6), (0, 0.94)], light(colour, 0.6) if min(colour) < 200 else (200, 60, 70))
        pen.circle(0, 0.16, 0.27, WHITE)
        pen.circle(0, 0.16, 0.19, (110, 200, 250))


def duck(pen: Pen, colour: Rgb, phase: float) -> None:
    """A rubber duck."""
    pen.polygon([(-0.6, -0.3), (-1.18, 0.24), (-0.3, 0.0)], _rgb(colour))
    pen.ellipse(-0.08, -0.42, 0.94, 0.58, _rgb(colour))
    pen.circle(0.4, 0.44, 0.54, _rgb(colour))
    pen.ellipse(0.98, 0.34, 0.28, 0.15, (255, 132, 24) if colour[1] > 150 or colour[0] < 200 else (255, 200, 60))
    if pen.rim is None:
        pen.ellipse(-0.22, -0.36, 0.46, 0.28, dark(colour, 0.2))
        pen.ellipse(-0.18, -0.31, 0.42, 0.22, light(colour, 0.2))
        _eye(pen, 0.54, 0.54, 0.18)


def _rgb(colour: Rgb) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


PAINTERS: dict[str, Paint] = {
    "ball": ball,
    "cube": cube,
    "star": star,
    "fish": fish,
    "bird": bird,
    "car": car,
    "boat": boat,
    "balloon": balloon,
    "cat": cat,
    "robot": robot,
    "rocket": rocket,
    "duck": duck,
}
EXTENT = 1.5  # no thing reaches further than this many radii from its centre
ANIMATED = ("fish", "bird", "car", "balloon", "cat", "robot", "rocket")
