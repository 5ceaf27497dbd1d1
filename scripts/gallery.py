"""Draws docs/media/gallery.webp: eight prompts as the shipped models film them, side by side, playing.

    python scripts/gallery.py [--output docs/media/gallery.webp] [--seconds 2] [--seed 3]

Nothing is chosen: each prompt gets one film, of the given seed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from PIL import Image

from moviegen_core import MovieGenPipeline
from moviegen_core.media.frames import save_webp, to_images
from moviegen_core.shapes import seconds_to_frames

PROMPTS = (
    "A red ball bounces on the beach. Static camera.",
    "A yellow duck floats under water. The camera zooms in.",
    "A green car rolls along a city street. The camera pans right.",
    "A blue fish flies past in space.",
    "An orange cat hops across a meadow.",
    "A purple robot rocks from side to side in a room.",
    "A pink star spins under a night sky.",
    "A white rocket floats up and down in space. Zoom out.",
)
COLUMNS, FPS, EDGE = 4, 16, 2


def mosaic(films: list[list[Image.Image]]) -> list[Image.Image]:
    """One picture per moment, all films beside each other."""
    width, height = films[0][0].size
    rows = -(-len(films) // COLUMNS)
    pictures = []
    for moment in range(len(films[0])):
        picture = Image.new("RGB", (COLUMNS * (width + EDGE) - EDGE, rows * (height + EDGE) - EDGE), "white")
        for number, film in enumerate(films):
            row, column = divmod(number, COLUMNS)
            picture.paste(film[moment], (column * (width + EDGE), row * (height + EDGE)))
        pictures.append(picture)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/media/gallery.webp"))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    pipeline = MovieGenPipeline.from_pretrained("nano")
    films = []
    for prompt in PROMPTS:
        print(f"gallery: {prompt}", file=sys.stderr, flush=True)
        film = pipeline(prompt, num_frames=seconds_to_frames(options.seconds, FPS), fps=FPS, seed=options.seed)
        films.append(to_images(torch.cat([window[0] for window in film.windows()], dim=1)))
    save_webp(mosaic(films), options.output, fps=FPS)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
