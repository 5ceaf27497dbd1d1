"""Rain and snow: few, soft, slow enough to follow, the same whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .raster import Layer

_COUNT = {"rain": 16, "snow": 18}
_COLOURS = {"rain": (222, 234, 250), "snow": (255, 255, 255)}
_OVERSAMPLE = 2


def veil(far: Layer, kind: str) -> None:
    """Turn the sky and the distance grey or pale."""
    colour = (112, 126, 152, 96) if kind == "rain" else (226, 232, 244, 76)
    far.soft(lambda pen: pen.box(far.x_range[0], -5.0, far.x_range[1], 5.0, colour))


def draw(frame: Image.Image, kind: str, seed: int, time: float, unit: float, shift: tuple[float, float]) -> None:
    """Lay the weather at `time` over the RGB picture `frame`; shift: how far the camera has moved, in world units."""
    width, height = frame.size
    rng = np.random.default_rng((seed, 77))
    wide, tall = width / unit + 0.2, height / unit + 0.2
    count = round(_COUNT[kind] * wide * tall)
    start_x, start_y, depth = rng.uniform(0, 1, (3, count))
    fall = (1.1 + 0.5 * depth) if kind == "rain" else (0.16 + 0.14 * depth)
    drift = -0.12 * fall if kind == "rain" else 0.03 * np.sin(time * 1.3 + math.tau * start_x)
    x = np.mod(start_x * wide + drift * (time if kind == "rain" else 1.0) - shift[0] * (0.5 + 0.5 * depth), wide) - 0.1
    y = np.mod(start_y * tall + fall * time + shift[1] * (0.5 + 0.5 * depth), tall) - 0.1
    mask = Image.new("L", (width * _OVERSAMPLE, height * _OVERSAMPLE), 0)
    pen, scale = ImageDraw.Draw(mask), unit * _OVERSAMPLE
    for px, py, near in zip((x * scale).tolist(), (y * scale).tolist(), depth.tolist(), strict=True):
        if kind == "rain":
            length = (0.05 + 0.04 * near) * scale
            pen.line(
                (px, py, px + 0.12 * length, py - length),
                fill=round(110 + 60 * near),
                width=max(round(0.011 * scale), 1),
            )
        else:
            radius = (0.009 + 0.009 * near) * scale
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=round(170 + 70 * near))
    frame.paste(_COLOURS[kind], mask=mask.reduce(_OVERSAMPLE))
