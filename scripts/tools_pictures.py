"""Draws the thumbnails of the tools' workflows from toybox films: nine frames each, of a join and of one long take.

python scripts/tools_pictures.py [--folder workflows]
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from moviegen_core import toybox
from moviegen_core.media.frames import from_uint8, to_uint8
from moviegen_core.media.join import Clip, join_clips

SIDE, FPS, SECONDS = 128, 16, 4.0  # pixels of a frame's side


def film(seed: int, motion: str) -> torch.Tensor:
    """One scene as pixels [3, T, H, W]."""
    scene = toybox.sample_scene(seed, motion=motion, duration_seconds=SECONDS)
    frames = toybox.render(scene, num_frames=int(FPS * SECONDS), fps=FPS, height=SIDE, width=SIDE)
    return from_uint8(np.ascontiguousarray(frames))


def sheet(pixels: torch.Tensor, first: int, last: int, path: Path) -> None:
    """Nine frames between two of them, in rows of three."""
    picture = Image.new("RGB", (3 * SIDE, 3 * SIDE))
    frames = to_uint8(pixels).numpy()
    for place, frame in enumerate(np.linspace(first, last, 9).round().astype(int)):
        picture.paste(Image.fromarray(frames[frame]), (place % 3 * SIDE, place // 3 * SIDE))
    picture.save(path, quality=88)
    print(path)


def main() -> None:
    """Two films joined by a crossfade, and one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("workflows"))
    options = parser.parse_args()
    films = [film(3, "bounce"), film(11, "roll")]
    clips = [
        Clip(windows=lambda one=one: iter([one]), num_frames=one.shape[1], height=SIDE, width=SIDE, fps=Fraction(FPS))
        for one in films
    ]
    joined = join_clips(clips[0], clips[1], 1.0)
    middle = joined.num_frames // 2
    sheet(torch.cat(list(joined.windows), 1), middle - 20, middle + 20, options.folder / "tools_join_clips.jpg")
    sheet(films[0], 0, films[0].shape[1] - 1, options.folder / "tools_longer_video.jpg")


if __name__ == "__main__":
    main()
