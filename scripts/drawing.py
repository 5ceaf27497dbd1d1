"""What the scripts that draw share: rows, titles, charts, traces of sounds, and their command line."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from moviegen_core.shapes import SOUND_SAMPLE_RATE

SHOWN = 6  # frames of a film in a row
WIDE, LANE = 800, 72  # pixels of charts
GROUND, INK, FAINT, TRACE, MARK = "#202124", "#e8e8e8", "#5f6368", "#8ab4f8", "#fdd663"
TITLE = 24  # pixels


def row(shown: Sequence[Image.Image], count: int = SHOWN) -> list[Image.Image]:
    """`count` pictures, evenly spread."""
    return [shown[round(index)] for index in np.linspace(0, len(shown) - 1, count)]


def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """That of titles and charts."""
    return ImageFont.load_default(15)


def titled(parts: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures under each other, each below its title."""
    width = max(picture.width for _, picture in parts)
    whole = Image.new("RGB", (width, sum(picture.height + TITLE for _, picture in parts)), GROUND)
    pen, top = ImageDraw.Draw(whole), 0
    for title, picture in parts:
        pen.text((6, top + 3), title, INK, font())
        whole.paste(picture, (0, top + TITLE))
        top += picture.height + TITLE
    return whole


def chart(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty ground and a pen."""
    picture = Image.new("RGB", (WIDE, height), GROUND)
    return picture, ImageDraw.Draw(picture)


def lane(waveform: Tensor, seconds: float, height: int = LANE) -> Image.Image:
    """[C, S] at 48 kHz as a trace on a lane that lasts `seconds`; what is missing stays empty."""
    picture = Image.new("RGB", (WIDE, height), "#2b2c30")
    pen, loudest = ImageDraw.Draw(picture), height / 2 - 2
    drawn = min(WIDE, math.ceil(WIDE * waveform.shape[1] / SOUND_SAMPLE_RATE / seconds))
    for x in range(drawn):
        first, last = (round(place * seconds * SOUND_SAMPLE_RATE / WIDE) for place in (x, x + 1))
        part = waveform[:, first : max(last, first + 1)]
        if part.numel():
            ends = height / 2 - loudest * float(part.max()), height / 2 - loudest * float(part.min())
            pen.line((x, ends[0], x, ends[1] + 1), TRACE)
    if drawn < WIDE:
        pen.line((drawn, 0, drawn, height), MARK)
    return picture


def say(line: str) -> None:
    """One line of this script on stderr."""
    print(f"{Path(sys.argv[0]).stem.replace('_', ' ')}: {line}", file=sys.stderr, flush=True)


def draw_named(kinds: Mapping[str, Callable[[int], Iterable[Path]]], description: str | None, seed: int) -> None:
    """Draws the kinds that the command line names, all by default, each of --seed; prints the files they wrote."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(kinds)}; all by default")
    parser.add_argument("--seed", type=int, default=seed, help="default: %(default)s")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(kinds))
    if unknown:
        parser.error(f"{', '.join(unknown)} cannot be drawn; choose from {', '.join(kinds)}")
    for name in arguments.names or kinds:
        print(*kinds[name](arguments.seed), sep="\n")
