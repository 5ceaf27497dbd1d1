"""Backgrounds: a far layer (sky, hills, skyline) that moves less with the camera, and a near one with landmarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from .raster import Layer, Pen, arc_points, dark, light, mix

HORIZON = -0.14
FAR_BLUR, NEAR_BLUR = 0.028, 0.021  # the lens is focused on the subject: blur in world units behind it
FAR_SHIFT = 0.45  # how much of the camera's travel the far layer shows
DARK = ("night sky", "space")
SHADOWS = {"night sky": 0.42, "space": 0.4, "under water": 0.2}  # strength of the shadow below things

Painter = Callable[[int, Layer, Layer], None]


def cells(seed: int, layer: Layer, spacing: float, salt: int) -> Iterator[tuple[float, np.random.Generator]]:
    """(x, generator) of one landmark per stretch of `spacing` units, the same ones however wide the layer is."""
    first, last = math.floor(layer.x_range[0] / spacing) - 1, math.ceil(layer.x_range[1] / spacing) + 1
    for index in range(first, last + 1):
        generator = np.random.default_rng((seed, salt, index + 100_000))
        yield (index + float(generator.uniform(0.2, 0.8))) * spacing, generator


def _ridge(seed: int, layer: Layer, base: float, swing: float, colour: tuple[int, int, int], salt: int) -> None:
    phases = np.random.default_rng((seed, salt)).uniform(0, math.tau, 3)
    xs = np.arange(math.floor(layer.x_range[0] * 25), math.ceil(layer.x_range[1] * 25) + 2) / 25
    ys = base + swing * (np.sin(3.1 * xs + phases[0]) + 0.5 * np.sin(7.3 * xs + phases[1]))
    layer.pen.polygon([(xs[0], -2.0), *zip(xs.tolist(), ys.tolist(), strict=True), (xs[-1], -2.0)], colour)


def _cloud(layer: Layer, x: float, y: float, size: float, colour: tuple[int, int, int]) -> None:
    for dx, dy, radius in ((-0.9, 0, 0.5), (-0.25, 0.28, 0.66), (0.5, 0.12, 0.58), (1.05, -0.04, 0.4)):
        layer.pen.circle(x + dx * size, y + dy * size, radius * size, colour)
    layer.pen.box(x - 1.25 * size, y - 0.44 * size, x + 1.3 * size, y, colour, 0.2 * size)


def _sun(layer: Layer, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    layer.glow(x, y, 2.6 * radius, colour, 0.9)
    layer.pen.circle(x, y, radius, light(colour, 0.5))


def meadow(seed: int, far: Layer, near: Layer) -> None:
    """Hills under a bright sky, with trees and flowers."""
    far.gradient([(-0.2, (222, 242, 252)), (0.8, (112, 186, 244))])
    _sun(far, 0.3, 0.34, 0.075, (255, 236, 150))
    for x, rng in cells(seed, far, 0.62, 1):
        _cloud(far, x, float(rng.uniform(0.18, 0.42)), float(rng.uniform(0.07, 0.1)), (252, 253, 255))
    _ridge(seed, far, -0.02, 0.04, (150, 206, 150), 2)
    _ridge(seed, far, -0.09, 0.025, (132, 196, 118), 3)
    near.band([(-0.7, (112, 182, 74)), (HORIZON, (176, 222, 122))], HORIZON)
    for x, rng in cells(seed, near, 0.6, 4):
        size, y = float(rng.uniform(0.09, 0.13)), HORIZON - 0.015
        near.pen.box(x - 0.018, y - 0.01, x + 0.018, y + size, (136, 96, 62))
        for dx, dy, radius in ((-0.5, 1.3, 0.72), (0.5, 1.35, 0.7), (0, 1.9, 0.8)):
            near.pen.circle(x + dx * size, y + dy * size, radius * size, (86, 158, 92))
        near.pen.circle(x - 0.25 * size, y + 2.05 * size, 0.45 * size, (112, 182, 108))
    for x, rng in cells(seed, near, 0.17, 5):
        y = float(rng.uniform(-0.48, -0.2))
        petal = ((255, 255, 255), (255, 214, 90), (250, 160, 190))[int(rng.integers(3))]
        for turn in range(5):
            near.pen.circle(x + 0.015 * math.cos(turn * 1.257), y + 0.015 * math.sin(turn * 1.257), 0.011, petal)
        near.pen.circle(x, y, 0.01, (240, 170, 50))


def beach(seed: int, far: Layer, near: Layer) -> None:
    """Sea and sand, with palms, shells and an island."""
    far.gradient([(-0.1, (255, 238, 208)), (0.25, (170, 222, 246)), (0.8, (96, 184, 240))])
    _sun(far, -0.28, 0.3, 0.08, (255, 222, 120))
    for x, rng in cells(seed, far, 0.8, 1):
        _cloud(far, x, float(rng.uniform(0.22, 0.42)), 0.06, (255, 252, 246))
        far.pen.polygon(arc_points(x + 0.35, HORIZON + 0.05, 0.14, 0.07, 0, math.pi), (112, 160, 140))
    far.pen.box(far.x_range[0], -2, far.x_range[1], HORIZON + 0.06, (58, 160, 196))
    for x, rng in cells(seed, far, 0.22, 3):
        y = float(rng.uniform(HORIZON - 0.08, HORIZON + 0.03))
        far.pen.line([(x, y), (x + 0.09, y)], 0.008, (130, 206, 226))
    _ridge(seed, near, HORIZON - 0.045, 0.008, (250, 252, 250), 4)
    _ridge(seed, near, HORIZON - 0.062, 0.008, (246, 226, 176), 4)
    near.band([(-0.7, (226, 190, 126)), (-0.24, (246, 226, 176))], -0.24)
    for x, rng in cells(seed, near, 0.85, 5):
        lean, tall = float(rng.uniform(-0.08, 0.08)), float(rng.uniform(0.34, 0.44))
        base = HORIZON - 0.09
        trunk = [(x + lean * (s / 8) ** 2, base + tall * s / 8) for s in range(9)]
        near.pen.line(trunk, 0.03, (158, 112, 70))
        top_x, top_y = trunk[-1]
        for turn in (0.25, 1.0, 2.1, 2.9, 3.5, -0.35):
            tip = (top_x + 0.17 * math.cos(turn), top_y + 0.11 * math.sin(turn) - 0.035)
            middle = (top_x + 0.1 * math.cos(turn), top_y + 0.1 * math.sin(turn) + 0.03)
            under = (top_x + 0.09 * math.cos(turn), top_y + 0.08 * math.sin(turn) - 0.02)
            near.pen.polygon([(top_x, top_y), middle, tip, under], (62, 148, 90))
        near.pen.circle(top_x + 0.012, top_y - 0.02, 0.018, (120, 80, 50))
    for x, rng in cells(seed, near, 0.26, 6):
        y = float(rng.uniform(-0.47, -0.36))
        near.pen.polygon(arc_points(x, y, 0.024, 0.02, 0, math.pi, 8), (255, 190, 170))
        near.pen.circle(x + 0.06, y + 0.03, 0.008, (196, 160, 104))


def night_sky(seed: int, far: Layer, near: Layer) -> None:
    """Moon and stars over dark hills with firs."""
    far.gradient([(-0.2, (64, 70, 132)), (0.3, (26, 32, 84)), (0.8, (12, 16, 52))])
    for x, rng in cells(seed, far, 0.075, 1):
        y, radius = float(rng.uniform(-0.05, 0.8)), float(rng.uniform(0.005, 0.01))
        far.pen.circle(x, y, radius, (255, 250, 214))
    _sun(far, -0.26, 0.3, 0.1, (255, 244, 196))
    for dx, dy, radius in ((0.03, 0.03, 0.022), (-0.035, -0.01, 0.018), (0.02, -0.045, 0.014)):
        far.pen.circle(-0.26 + dx, 0.3 + dy, radius, (238, 228, 184))
    _ridge(seed, far, -0.03, 0.05, (48, 56, 112), 2)
    near.band([(-0.7, (22, 36, 62)), (HORIZON, (44, 72, 96))], HORIZON)
    for x, rng in cells(seed, near, 0.5, 3):
        tall = float(rng.uniform(0.16, 0.26))
        near.pen.box(x - 0.012, HORIZON - 0.03, x + 0.012, HORIZON + 0.03, (40, 34, 50))
        for step in range(3):
            low = HORIZON + tall * 0.28 * step
            wide = 0.085 - 0.02 * step
            near.pen.polygon([(x - wide, low), (x + wide, low), (x, low + tall * 0.46)], (24, 58, 70))
    for x, rng in cells(seed, near, 0.3, 4):
        y = float(rng.uniform(-0.46, -0.2))
        near.pen.circle(x, y, 0.011, (214, 236, 120))


def city(seed: int, far: Layer, near: Layer) -> None:
    """A street before a skyline with lit windows."""
    far.gradient([(-0.2, (255, 214, 184)), (0.25, (186, 170, 216)), (0.8, (110, 128, 200))])
    for x, rng in cells(seed, far, 0.16, 1):
        wide, tall = float(rng.uniform(0.09, 0.13)), float(rng.uniform(0.02, 0.26))
        far.pen.box(x - wide, -2, x + wide, tall, mix((146, 136, 186), (168, 150, 190), float(rng.random())))
    for x, rng in cells(seed, near, 0.36, 2):
        wide, tall = float(rng.uniform(0.12, 0.165)), float(rng.uniform(0.06, 0.32))
        wall = ((98, 88, 132), (120, 98, 120), (84, 100, 138), (112, 88, 100))[int(rng.integers(4))]
        near.pen.box(x - wide, -2, x + wide, tall, wall)
        near.pen.box(x - wide - 0.008, tall - 0.025, x + wide + 0.008, tall, light(wall, 0.25))
        columns, y = 3, tall - 0.09
        while y > HORIZON + 0.03:
            for column in range(columns):
                centre = x + (column - 1) * wide * 0.6
                lit = rng.random() < 0.6
                pane = (255, 226, 140) if lit else dark(wall, 0.35)
                near.pen.box(centre - 0.022, y - 0.028, centre + 0.022, y + 0.028, pane)
            y -= 0.095
    near.band([(-0.7, (112, 110, 122)), (HORIZON, (170, 168, 176))], HORIZON)
    near.pen.box(near.x_range[0], HORIZON - 0.03, near.x_range[1], HORIZON, (206, 202, 204))
    for index in range(math.floor(near.x_range[0] / 0.3), math.ceil(near.x_range[1] / 0.3) + 1):
        near.pen.box(index * 0.3, -0.445, index * 0.3 + 0.15, -0.42, (238, 232, 206))
    for x, _ in cells(seed, near, 0.9, 3):
        near.pen.line([(x, HORIZON - 0.05), (x, 0.16), (x + 0.05, 0.19)], 0.018, (58, 58, 74))
        near.pen.circle(x + 0.07, 0.18, 0.032, (255, 240, 180))


def room(seed: int, far: Layer, near: Layer) -> None:
    """A room with windows, pictures and lamps on the wall and a wooden floor."""
    far.gradient([(-0.3, (238, 214, 190)), (0.8, (248, 230, 206))])
    wall = np.random.default_rng((seed, 9)).integers(3)
    stripe = ((236, 208, 186), (222, 222, 206), (230, 212, 216))[int(wall)]
    base = light(stripe, 0.3)
    near.pen.box(near.x_range[0], HORIZON, near.x_range[1], 2.0, base)
    for index in range(math.floor(near.x_range[0] / 0.16), math.ceil(near.x_range[1] / 0.16) + 1):
        near.pen.box(index * 0.16, HORIZON, index * 0.16 + 0.07, 2.0, stripe)
    for x, rng in cells(seed, near, 0.68, 2):
        x += 0.05
        kind = int(rng.integers(3))
        if kind == 0:
            near.pen.box(x - 0.16, 0.02, x + 0.16, 0.4, (252, 250, 244), 0.01)
            near.pen.box(x - 0.135, 0.045, x + 0.135, 0.375, (150, 208, 246))
            near.pen.polygon(arc_points(x, 0.045, 0.134, 0.1, 0, math.pi), (140, 200, 128))
            near.pen.box(x - 0.008, 0.03, x + 0.008, 0.39, (252, 250, 244))
            near.pen.box(x - 0.15, 0.2, x + 0.15, 0.216, (252, 250, 244))
        elif kind == 1:
            near.pen.line([(x, HORIZON), (x, 0.2)], 0.016, (110, 84, 70))
            near.pen.polygon([(x - 0.1, 0.18), (x + 0.1, 0.18), (x + 0.06, 0.34), (x - 0.06, 0.34)], (255, 214, 120))
            near.pen.ellipse(x, HORIZON - 0.005, 0.06, 0.014, (110, 84, 70))
        else:
            near.pen.box(x - 0.12, 0.06, x + 0.12, 0.32, (150, 110, 78), 0.01)
            near.pen.box(x - 0.095, 0.085, x + 0.095, 0.295, (226, 240, 244))
            near.pen.polygon([(x - 0.09, 0.09), (x - 0.02, 0.24), (x + 0.06, 0.09)], (132, 150, 190))
            near.pen.circle(x + 0.05, 0.25, 0.022, (250, 200, 90))
    near.band([(-0.7, (164, 112, 72)), (HORIZON, (206, 156, 108))], HORIZON)
    near.pen.box(near.x_range[0], HORIZON - 0.015, near.x_range[1], HORIZON + 0.02, (250, 246, 238))
    for y in (-0.23, -0.34, -0.48, -0.65):
        near.pen.box(near.x_range[0], y - 0.004, near.x_range[1], y, (160, 112, 74))
        for x, _ in cells(seed, near, 0.45, round(-100 * y)):
            near.pen.box(x, y, x + 0.006, y + 0.11, (160, 112, 74))


def space(seed: int, far: Layer, near: Layer) -> None:
    """Stars and ringed planets over a cratered moon."""
    far.gradient([(-0.3, (52, 26, 76)), (0.1, (28, 16, 56)), (0.8, (10, 8, 30))])
    for x, rng in cells(seed, far, 0.06, 1):
        far.pen.circle(x, float(rng.uniform(-0.2, 0.8)), float(rng.uniform(0.004, 0.009)), (236, 236, 255))
    for x, rng in cells(seed, far, 0.6, 2):
        hue = ((226, 150, 96), (122, 178, 214), (206, 128, 172), (150, 200, 160))[int(rng.integers(4))]
        y, radius = float(rng.uniform(0.16, 0.36)), float(rng.uniform(0.06, 0.1))
        ring = rng.random() < 0.6
        if ring:
            far.pen.line(arc_points(x, y, 1.75 * radius, 0.5 * radius, 0, math.pi), 0.014, light(hue, 0.4))
        far.pen.circle(x, y, radius, hue)
        far.pen.ellipse(x - 0.2 * radius, y + 0.3 * radius, 0.6 * radius, 0.16 * radius, light(hue, 0.3))
        far.pen.ellipse(x + 0.2 * radius, y - 0.3 * radius, 0.6 * radius, 0.14 * radius, dark(hue, 0.2))
        if ring:
            far.pen.line(arc_points(x, y, 1.75 * radius, 0.5 * radius, math.pi, math.tau), 0.014, light(hue, 0.4))
    _ridge(seed, near, HORIZON + 0.015, 0.016, (120, 116, 138), 3)
    near.band([(-0.7, (110, 106, 128)), (HORIZON - 0.02, (164, 160, 178))], HORIZON - 0.02)
    for x, rng in cells(seed, near, 0.28, 4):
        y, radius = float(rng.uniform(-0.47, -0.2)), float(rng.uniform(0.03, 0.06))
        near.pen.ellipse(x, y, radius, 0.36 * radius, (190, 186, 204))
        near.pen.ellipse(x, y - 0.004, 0.84 * radius, 0.28 * radius, (112, 108, 132))


def under_water(seed: int, far: Layer, near: Layer) -> None:
    """Clear water with light from above, seaweed, corals and bubbles."""
    far.gradient([(-0.5, (38, 130, 160)), (0.2, (84, 188, 204)), (0.8, (176, 236, 236))])

    def rays(pen: Pen) -> None:
        for x, rng in cells(seed, far, 0.34, 1):
            wide = float(rng.uniform(0.04, 0.08))
            foot = [(x - 0.28 + 2 * wide, -0.5), (x - 0.28 - wide, -0.5)]
            pen.polygon([(x, 1.0), (x + wide, 1.0), *foot], (255, 255, 255, 34))

    far.soft(rays)
    _ridge(seed, far, -0.08, 0.045, (62, 142, 166), 2)
    for x, rng in cells(seed, near, 0.24, 3):
        tall = float(rng.uniform(0.14, 0.34))
        lean = float(rng.uniform(0, math.tau))
        green = ((40, 126, 104), (70, 150, 92))[int(rng.integers(2))]
        points = [(x + 0.022 * math.sin(lean + 1.1 * s), HORIZON - 0.05 + tall * s / 8) for s in range(9)]
        near.pen.line(points, 0.026, green)
    _ridge(seed, near, HORIZON - 0.02, 0.012, (226, 208, 156), 4)
    near.band([(-0.7, (178, 156, 110)), (HORIZON - 0.04, (226, 208, 156))], HORIZON - 0.04)
    for x, rng in cells(seed, near, 0.75, 5):
        hue = ((240, 128, 120), (214, 120, 190), (250, 176, 96))[int(rng.integers(3))]
        for turn in (0.9, 1.35, 1.8, 2.25):
            tip = (x + 0.13 * math.cos(turn), HORIZON - 0.05 + 0.15 * math.sin(turn))
            near.pen.line([(x, HORIZON - 0.06), tip], 0.026, hue)
    for x, rng in cells(seed, near, 0.3, 6):
        y, radius = float(rng.uniform(-0.05, 0.6)), float(rng.uniform(0.012, 0.024))
        near.pen.circle(x, y, radius, (214, 246, 250))
        near.pen.circle(x + 0.003, y - 0.003, 0.72 * radius, (140, 214, 226))
    for x, rng in cells(seed, near, 0.3, 7):
        near.pen.ellipse(x, float(rng.uniform(-0.47, -0.38)), 0.03, 0.016, (168, 150, 122))


PAINTERS: dict[str, Painter] = {
    "meadow": meadow,
    "beach": beach,
    "night sky": night_sky,
    "city": city,
    "room": room,
    "space": space,
    "under water": under_water,
}
