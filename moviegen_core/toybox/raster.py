"""Anti-aliased drawing: a supersampled pen, world-wide layers that a camera crops, and sprites."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int] | tuple[int, int, int, int]
Point = tuple[float, float]
OVERSAMPLE = 3


def mix(first: Sequence[float], second: Sequence[float], share: float) -> tuple[int, int, int]:
    """Colour between two RGB colours; share 1 is the second."""
    a, b = first, second
    red, green, blue = (round(a[i] + (b[i] - a[i]) * share) for i in range(3))
    return red, green, blue


def dark(colour: Sequence[float], share: float = 0.4) -> tuple[int, int, int]:
    """`colour` towards a cool black."""
    return mix(colour, (20, 18, 40), share)


def light(colour: Sequence[float], share: float = 0.4) -> tuple[int, int, int]:
    """`colour` towards white."""
    return mix(colour, (255, 255, 255), share)


class Pen:
    """Draws in local units (y upwards) on an oversampled RGBA picture.

    With `rim` set, every shape is drawn `rim[0]` units larger in the colour `rim[1]`: a first pass for outlines.
    """

    def __init__(self, image: Image.Image, origin: Point, scale: float) -> None:
        self.draw = ImageDraw.Draw(image)
        self.image = image
        self.origin, self.scale = origin, scale
        self.rim: tuple[float, Colour] | None = None

    def _px(self, points: Sequence[Point]) -> list[Point]:
        (x0, y0), scale = self.origin, self.scale
        # Pillow truncates towards zero; rounding here keeps a shape the same wherever the picture begins.
        return [(x0 + math.floor(x * scale + 0.5), y0 - math.floor(y * scale + 0.5)) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Filled polygon."""
        pixels = self._px(points)
        if self.rim is None:
            self.draw.polygon(pixels, fill=colour)
            return
        grow, colour = self.rim
        self.draw.polygon(pixels, fill=colour)
        self.draw.line([*pixels, *pixels[:2]], fill=colour, width=max(round(2 * grow * self.scale), 1), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Filled ellipse with half axes rx and ry."""
        if self.rim is not None:
            grow, colour = self.rim
            rx, ry = rx + grow, ry + grow
        (left, top), (right, bottom) = self._px([(x - rx, y + ry), (x + rx, y - ry)])
        self.draw.ellipse((left, top, right, bottom), fill=colour)

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Filled circle."""
        self.ellipse(x, y, radius, radius, colour)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour, corner: float = 0.0) -> None:
        """Filled upright rectangle with rounded corners."""
        if self.rim is not None:
            grow, colour = self.rim
            left, bottom, right, top, corner = left - grow, bottom - grow, right + grow, top + grow, corner + grow
        pixels = self._px([(left, top), (right, bottom)])
        self.draw.rounded_rectangle([*pixels[0], *pixels[1]], corner * self.scale, fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Line of `width` units with round ends and joints."""
        if self.rim is not None:
            grow, colour = self.rim
            width += 2 * grow
        pixels = self._px(points)
        half = width * self.scale / 2
        self.draw.line(pixels, fill=colour, width=max(round(2 * half), 1), joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            self.draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)

    def text(self, x: float, y: float, height: float, word: str, colour: Colour) -> None:
        """`word` centred on (x, y) with letters about `height` units high."""
        if self.rim is None:
            font = ImageFont.load_default(max(height * self.scale * 1.35, 1.0))
            stroke = max(height * self.scale * 0.035, 0.0)
            self.draw.text(self._px([(x, y)])[0], word, fill=colour, font=font, anchor="mm", stroke_width=stroke)


def arc_points(x: float, y: float, rx: float, ry: float, start: float, stop: float, steps: int = 20) -> list[Point]:
    """Points on an ellipse from angle `start` to `stop` (radians, counter-clockwise)."""
    turns = [start + (stop - start) * step / steps for step in range(steps + 1)]
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


class Sprite:
    """A premultiplied picture of a thing, `extent` local units to each side of its centre."""

    def __init__(self, radius_px: float, extent: float, paint: Callable[[Pen], None], rims: Sequence[tuple]) -> None:
        half = math.ceil(radius_px * extent) + 2
        image = Image.new("RGBA", (2 * half * OVERSAMPLE,) * 2, (0, 0, 0, 0))
        pen = Pen(image, (half * OVERSAMPLE,) * 2, radius_px * OVERSAMPLE)
        for rim in rims:
            pen.rim = rim
            paint(pen)
        pen.rim = None
        paint(pen)
        self.half, self.radius_px = half, radius_px
        self.image = image.convert("RGBa").reduce(OVERSAMPLE)

    def stamp(
        self,
        frame: Image.Image,
        x: float,
        y: float,
        radius_px: float,
        angle: float = 0.0,
        squash: float = 1.0,
        facing: int = 1,
    ) -> None:
        """Draw onto the RGB picture `frame` with the centre at pixel (x, y)."""
        scale = radius_px / self.radius_px
        reach = self.half * scale * (1.42 if angle % (math.pi / 2) else 1.06) * max(1.0, 2 - squash)
        left, top = math.floor(x - reach), math.floor(y - reach)
        right, bottom = math.ceil(x + reach), math.ceil(y + reach)
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, frame.width), min(bottom, frame.height)
        if left >= right or top >= bottom:
            return
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        wide, tall = math.sqrt(1 / squash), squash
        # Output pixel -> sprite pixel: undo the squash, then the rotation (y points down), then the mirror.
        a, b = cos / wide * facing, -sin / tall * facing
        d, e = sin / wide, cos / tall
        c = self.half - a * (x - left) - b * (y - top)
        f = self.half - d * (x - left) - e * (y - top)
        patch = self.image.transform(
            (right - left, bottom - top), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
        ).convert("RGBA")
        frame.paste(patch, (left, top), patch)


class Layer:
    """A picture of a stretch of world, from which frames are cropped with sub-pixel precision.

    scale: pixels per world unit; x range and y range in world units (y upwards).
    """

    def __init__(self, x_range: Point, y_range: Point, scale: float, oversample: int = 2) -> None:
        self.scale, self.oversample = scale, oversample
        # The pixel grid is anchored to the world, so a longer clip draws the same picture.
        self.left, self.top = math.floor(x_range[0] * scale), math.floor(-y_range[1] * scale)
        self.width = math.ceil(x_range[1] * scale) - self.left
        self.height = math.ceil(-y_range[0] * scale) - self.top
        self.x_range = (self.left / scale, (self.left + self.width) / scale)
        self.image = Image.new("RGBA", (self.width * oversample, self.height * oversample), (0, 0, 0, 0))
        self.pen = Pen(self.image, (-self.left * oversample, -self.top * oversample), scale * oversample)

    def gradient(self, stops: Sequence[tuple[float, Colour]]) -> None:
        """Fill the whole layer with colours that change with height; stops are (y, colour), from low to high."""
        self.image.paste(self._column(stops))

    def soft(self, paint: Callable[[Pen], None]) -> None:
        """Paint translucent shapes: composited onto the layer instead of replacing it."""
        veil = Image.new("RGBA", self.image.size, (0, 0, 0, 0))
        pen = Pen(veil, self.pen.origin, self.pen.scale)
        paint(pen)
        self.image.alpha_composite(veil)

    def band(self, stops: Sequence[tuple[float, Colour]], top: float) -> None:
        """Fill everything below y = top with colours that change with height; stops as for `gradient`."""
        row = max(math.ceil((-top * self.scale - self.top) * self.oversample), 0)
        if row < self.image.height:
            self.image.paste(self._column(stops, row), (0, row))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add a soft disc of light that fades out towards `radius`."""
        (cx, cy), size = self.pen._px([(x, y)])[0], radius * self.pen.scale
        left, top = max(math.floor(cx - size), 0), max(math.floor(cy - size), 0)
        right, bottom = min(math.ceil(cx + size), self.image.width), min(math.ceil(cy + size), self.image.height)
        if left >= right or top >= bottom:
            return
        xs, ys = (np.arange(left, right) - cx) / size, (np.arange(top, bottom) - cy) / size
        fade = np.clip(1 - np.sqrt((xs * xs)[None] + (ys * ys)[:, None]), 0, 1) * strength
        disc = Image.new("RGB", (right - left, bottom - top), colour[:3])
        disc.putalpha(Image.fromarray((fade * 255).astype(np.uint8)))
        self.image.alpha_composite(disc, (left, top))

    def _column(self, stops: Sequence[tuple[float, Colour]], first_row: int = 0) -> Image.Image:
        heights = [stop[0] for stop in stops]
        rows = -(np.arange(first_row, self.image.height) / self.oversample + self.top) / self.scale
        column = np.stack([np.interp(rows, heights, [stop[1][i] for stop in stops]) for i in range(3)], axis=-1)
        strip = Image.fromarray(np.rint(column).astype(np.uint8)[:, None])
        return strip.resize((self.image.width, strip.height), Image.Resampling.NEAREST)

    def blur(self, radius: float) -> None:
        """Put what is drawn so far out of focus: a Gaussian blur of `radius` world units."""
        soft = ImageFilter.GaussianBlur(radius * self.pen.scale)
        self.image = self.image.convert("RGBa").filter(soft).convert("RGBA")
        self.pen = Pen(self.image, self.pen.origin, self.pen.scale)

    def finish(self) -> None:
        """Reduce to the final resolution; drawing is over."""
        self.image = self.image.convert("RGBa").reduce(self.oversample)

    def crop(self, x: float, y: float, zoom: float, size: tuple[int, int], unit: float) -> Image.Image:
        """RGBA view with the world point (x, y) in the middle; `unit` pixels per unit at zoom 1."""
        width, height = size[0] / (unit * zoom) * self.scale, size[1] / (unit * zoom) * self.scale
        left, top = x * self.scale - width / 2, -y * self.scale - height / 2
        left, right, top, bottom = (round(edge * 256) / 256 for edge in (left, left + width, top, top + height))
        left, right, top, bottom = left - self.left, right - self.left, top - self.top, bottom - self.top
        box = (max(left, 0.0), max(top, 0.0), min(right, self.width), min(bottom, self.height))
        return self.image.resize(size, Image.Resampling.BICUBIC, box=box).convert("RGBA")
