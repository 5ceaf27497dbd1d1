"""People: a happy head and body drawn from an identity vector of numbers in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .raster import Pen, arc_points, dark, light, mix

IDENTITY = (
    "skin",
    "hair colour",
    "hair style",
    "eye colour",
    "brows",
    "glasses",
    "face width",
    "nose",
    "smile",
    "cheeks",
    "trousers",
    "beard",
)
_SKINS = ((92, 58, 42), (150, 98, 66), (206, 150, 112), (246, 204, 170))
_HAIRS = ((34, 26, 30), (104, 62, 36), (196, 92, 40), (240, 206, 110), (206, 206, 212))
_EYES = ((70, 44, 30), (58, 120, 70), (60, 110, 190), (40, 36, 46))
_TROUSERS = ((50, 62, 104), (88, 78, 70), (64, 66, 76), (96, 60, 84))
INK = (52, 34, 40)


def _pick(table: Sequence[tuple[int, int, int]], value: float) -> tuple[int, int, int]:
    """A colour on the way through `table`: identities vary without steps."""
    place = value * (len(table) - 1)
    index = min(int(place), len(table) - 2)
    return mix(table[index], table[index + 1], place - index)


def person(pen: Pen, identity: Sequence[float], colour: Sequence[float], phase: float, walk: bool, wave: bool) -> None:
    """Somebody two radii tall in a shirt of `colour`; phase in cycles moves legs and the waving arm."""
    skin, hair = _pick(_SKINS, identity[0]), _pick(_HAIRS, identity[1])
    shirt = (int(colour[0]), int(colour[1]), int(colour[2]))
    stride = 0.2 * math.sin(math.tau * phase) if walk else 0.0
    style = int(identity[2] * 3.999)
    wide = 0.42 + 0.06 * identity[6]
    if style == 1:
        pen.ellipse(0, 0.24, wide + 0.13, 0.52, hair)
    elif style == 2:
        pen.circle(0, 1.0, 0.2, hair)
    for side in (-1, 1):
        foot = 0.13 * side + stride * side
        pen.line([(0.12 * side, -0.5), (foot, -0.9)], 0.2, _pick(_TROUSERS, identity[10]))
        pen.ellipse(foot + 0.05, -0.94, 0.15, 0.07, (70, 52, 52))
    swing = 0.16 * math.sin(math.tau * phase) if walk else 0.0
    for side in (-1, 1):
        if wave and side == 1:
            lift = 0.2 * math.sin(math.tau * phase)
            hand = (0.66 + lift, 0.36)
            elbow = (0.62, -0.14)
        else:
            hand = (0.5 * side - swing * side, -0.52)
            elbow = (0.44 * side, -0.3)
        pen.line([(0.28 * side, -0.16), elbow, hand], 0.16, dark(shirt, 0.12))
        pen.circle(*hand, 0.1, skin)
    pen.box(-0.33, -0.62, 0.33, 0.0, shirt, 0.14)
    pen.ellipse(0, 0.42, wide, 0.47, skin)
    if pen.rim is not None:
        if style != 3:
            pen.polygon(arc_points(0, 0.5, wide + 0.04, 0.46, 0.0, math.pi), hair)
        return
    pen.polygon([(-0.33, -0.56), (0.33, -0.56), (0.33, -0.46), (-0.33, -0.46)], dark(shirt, 0.18))
    for side in (-1, 1):
        x = 0.19 * side
        pen.ellipse(x, 0.44, 0.1, 0.12, dark(_pick(_EYES, identity[3]), 0.25))
        pen.circle(x + 0.035, 0.485, 0.04, (255, 255, 255))
        lift = 0.6 + 0.05 * identity[4]
        pen.line([(x - 0.09, lift), (x + 0.09, lift)], 0.035 + 0.04 * identity[4], dark(hair, 0.2))
        pen.circle(1.5 * x, 0.24, 0.08, mix(skin, (240, 110, 110), 0.15 + 0.35 * identity[9]))
        if identity[5] > 0.65:
            ring = arc_points(x, 0.44, 0.15, 0.14, 0, math.tau, 16)
            pen.line(ring, 0.04, INK)
    if identity[5] > 0.65:
        pen.line([(-0.05, 0.45), (0.05, 0.45)], 0.04, INK)
    if identity[11] > 0.8 and style != 1:
        pen.polygon(arc_points(0, 0.34, wide * 0.95, 0.38, math.pi, math.tau), hair)
    pen.ellipse(0.0, 0.33, 0.05 + 0.03 * identity[7], 0.05, dark(skin, 0.16))
    grin = 0.15 + 0.08 * identity[8]
    pen.polygon(arc_points(0, 0.2, grin, grin * 0.8, math.pi, math.tau, 12), (150, 50, 60))
    pen.polygon([(-grin, 0.205), (grin, 0.205), (grin * 0.8, 0.15), (-grin * 0.8, 0.15)], light(skin, 0.9))
    if style != 3:
        pen.polygon(
            [
                *arc_points(0, 0.5, wide + 0.04, 0.46, -0.1, math.pi + 0.1),
                (-wide * 0.8, 0.66),
                (0.1, 0.72),
                (wide, 0.62),
            ],
            hair,
        )
