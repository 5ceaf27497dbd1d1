"""Makes what README plays of the sound models: docs/media/sound.webp, and with its sound docs/media/sound.mp4.

    python scripts/sound_showcase.py [--seed 3]

The clips are the toybox's own, of the test split; their sounds are the shipped models', from the pictures and a line of
text. Nothing is chosen: one scene for each motion and one sound for each scene, all of the given seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from moviegen_core import toybox
from moviegen_core.evaluate.onsets import agreement, onsets, true_hits
from moviegen_core.media.frames import from_uint8, save_webp, to_images
from moviegen_core.media.movie import write_movie
from moviegen_core.media.spectrogram import BACKGROUND, LEFT, sound_picture
from moviegen_core.pipelines.soundtrack import SoundPipeline
from moviegen_core.shapes import SOUND_SAMPLE_RATE

MEDIA = Path(__file__).resolve().parents[1] / "docs" / "media"
MOTIONS = ("bounce", "hop", "collide")
SECONDS, FPS, SIZE = 4.0, 16, 144
WIDE, HIGH, TICK = 260, 130, 12  # of the picture of a sound; of the tick at a hit
PLAYHEAD, HIT = "#ffffff", "#7bd88f"


def clip(motion: str, seed: int) -> tuple[toybox.Scene, Tensor]:
    """A scene that no training saw, and its pictures [3, T, H, W] in [-1, 1]."""
    scene = toybox.sample_scene(
        seed, split="test", motion=motion, camera="static", weather="clear", duration_seconds=SECONDS
    )
    frames = toybox.render(scene, num_frames=round(SECONDS * FPS), fps=FPS, height=SIZE, width=SIZE)
    return scene, from_uint8(frames)


def playing(scene: toybox.Scene, pixels: Tensor, waveform: Tensor) -> list[Image.Image]:
    """The clip above the picture of its sound, on which a line moves; ticks stand where the scene has its hits."""
    heard = sound_picture(waveform, SOUND_SAMPLE_RATE, WIDE, HIGH)
    pen = ImageDraw.Draw(heard)
    for hit in true_hits(scene, SECONDS):
        pen.line((place(hit), 0, place(hit), TICK), fill=HIT, width=2)
    moments = []
    for number, frame in enumerate(to_images(pixels)):
        whole = Image.new("RGB", (WIDE, SIZE + HIGH), BACKGROUND)
        whole.paste(frame, (LEFT + (WIDE - LEFT - SIZE) // 2, 0))
        whole.paste(heard, (0, SIZE))
        x = place((number + 0.5) / FPS)
        ImageDraw.Draw(whole).line((x, SIZE, x, SIZE + HIGH), fill=PLAYHEAD)
        moments.append(whole)
    return moments


def place(second: float) -> float:
    """Column of a moment in the picture of a sound."""
    return LEFT + (WIDE - LEFT) * second / SECONDS


def seen_and_heard(pipeline: SoundPipeline, seed: int) -> list[Path]:
    """All clips side by side, moving; and one after the other, with their sounds."""
    films, sounds, columns = [], [], []
    for motion in MOTIONS:
        scene, pixels = clip(motion, seed)
        said = toybox.sound_captions(scene, seed, music=False).description
        waveform = pipeline(said, frames=pixels, fps=FPS, seed=seed).waveform
        heard = agreement(true_hits(scene, SECONDS), onsets(waveform))
        print(f"{said} {len(heard.errors)} of {heard.hits} hits heard, median error {1e3 * heard.median_error:.0f} ms")
        films.append(pixels)
        sounds.append(waveform)
        columns.append(playing(scene, pixels, waveform))
    beside = [
        np.concatenate([np.asarray(column) for column in moment], axis=1) for moment in zip(*columns, strict=True)
    ]
    moving, film = MEDIA / "sound.webp", MEDIA / "sound.mp4"
    save_webp(np.stack(beside), moving, fps=FPS, quality=60)
    write_movie(iter(films), film, FPS, torch.cat(sounds, dim=1), SOUND_SAMPLE_RATE)
    return [moving, film]


def main(argv: Sequence[str] | None = None) -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    seed = parser.parse_args(argv).seed
    print(*seen_and_heard(SoundPipeline.from_pretrained("nano"), seed), sep="\n")


if __name__ == "__main__":
    main()
