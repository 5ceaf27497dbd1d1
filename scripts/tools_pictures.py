"""Draws the tools' pictures from toybox films: thumbnails of their workflows, and strips for their help pages.

python scripts/tools_pictures.py
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from moviegen_core import toybox
from moviegen_core.media.colour import anchor_colour
from moviegen_core.media.frames import from_uint8, to_uint8
from moviegen_core.media.join import Clip, join_clips

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS, HELP = ROOT / "workflows", ROOT / "web" / "docs"
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


def strip(rows: list[torch.Tensor], path: Path) -> None:
    """Five frames of each film [3, T, H, W], one film a row."""
    picture = Image.new("RGB", (5 * SIDE, len(rows) * SIDE))
    for row, pixels in enumerate(rows):
        frames = to_uint8(pixels).numpy()
        for place, frame in enumerate(np.linspace(0, len(frames) - 1, 5).round().astype(int)):
            picture.paste(Image.fromarray(frames[frame]), (place * SIDE, row * SIDE))
    picture.save(path, quality=85)
    print(path)


def drifting(pixels: torch.Tensor) -> torch.Tensor:
    """The film with colours that turn slowly warm and pale, as in a clip extended too often."""
    time = torch.linspace(0, 1, pixels.shape[1]).view(1, -1, 1, 1)
    return pixels * (1 - 0.45 * time) + time * torch.tensor([0.35, 0.2, -0.1]).view(3, 1, 1, 1)


def main() -> None:
    """Two films joined by a crossfade, one alone, and one whose colours drift, before and after anchoring."""
    films = [film(3, "bounce"), film(11, "roll")]
    clips = [
        Clip(windows=lambda one=one: iter([one]), num_frames=one.shape[1], height=SIDE, width=SIDE, fps=Fraction(FPS))
        for one in films
    ]
    joined = torch.cat(list(join_clips(clips[0], clips[1], 1.0).windows), 1)
    middle = joined.shape[1] // 2
    sheet(joined, middle - 20, middle + 20, WORKFLOWS / "tools_join_clips.jpg")
    strip([joined[:, middle - 12 : middle + 13]], HELP / "join_clips.jpg")
    sheet(films[0], 0, films[0].shape[1] - 1, WORKFLOWS / "tools_longer_video.jpg")
    drifted = drifting(films[1])
    images = drifted.clamp(-1, 1).add(1).div(2).movedim(0, -1)
    anchored = anchor_colour(images, images[:1], smoothing=8.0).movedim(-1, 0) * 2 - 1
    strip([drifted, anchored], HELP / "anchor_colour.jpg")


if __name__ == "__main__":
    main()
