"""Rain and snow: few, soft, slow enough to follow, the same whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from .raster import blend

_COUNT = {"rain": 26, "snow": 30}
_OVERSAMPLE = 3


def draw(frame: np.ndarray, kind: str, seed: int, time: float, unit: float, shift: tuple[float, float]) -> None:
    """Lay the weather at `time` over `frame` [H, W, 3]; shift: how far the camera has moved, in world units."""
    height, width = frame.shape[:2]
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
                fill=round(90 + 60 * near),
                width=max(round(0.011 * scale), 1),
            )
        else:
            radius = (0.009 + 0.009 * near) * scale
            pen.ellipse((px - radius, py - radius, px + radius, py + radius), fill=round(170 + 70 * near))
    alpha = np.asarray(mask.reduce(_OVERSAMPLE))
    colour = np.array((214, 228, 246) if kind == "rain" else (255, 255, 255), dtype=np.uint16)
    veil = np.empty((height, width, 4), dtype=np.uint8)
    veil[..., :3] = (alpha[..., None] * colour) // 255
    veil[..., 3] = alpha
    blend(frame, veil)
