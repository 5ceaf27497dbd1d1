"""Draws workflows/finish_audio.jpg: a toybox frame above its sound, before and after the workflow's steps.

python scripts/finish_audio_picture.py [--output FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from moviegen_core import toybox
from moviegen_core.media import loudness
from moviegen_core.media.sound_edit import Track, mix, widen

SIZE, TRACE = 384, 88  # pixels of the picture's side and of a waveform's height
QUIET_DB = -16.0  # the sound as it might come from a camera
COLOURS = ((150, 150, 150), (110, 180, 240))  # before, after


def trace(pen: ImageDraw.ImageDraw, waveform: np.ndarray, middle: int, colour: tuple[int, int, int]) -> None:
    """Draws the range of a sound [C, S], a column a pixel, around the row `middle`."""
    for column, part in enumerate(np.array_split(waveform, SIZE, axis=1)):
        pen.line((column, middle - part.max() * TRACE / 2, column, middle - part.min() * TRACE / 2), fill=colour)


def main() -> None:
    """Renders one scene and its sound, finishes the sound, draws both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("workflows/finish_audio.jpg"))
    options = parser.parse_args()
    scene = toybox.sample_scene(3, motion="bounce", duration_seconds=4.0)
    frame = toybox.render(scene, num_frames=16, fps=4, height=SIZE, width=SIZE)[6]
    rate = toybox.SOUND_RATE
    own = torch.from_numpy(toybox.sound(scene, channels=1, music=False)) * 10 ** (QUIET_DB / 20)
    music = torch.from_numpy(toybox.sound(scene, channels=1, music="cheerful")) * 10 ** (QUIET_DB / 20)
    tracks = [
        Track(waveform=widen(music, rate), sample_rate=rate, gain_db=-6.0, duck_db=9.0),
        Track(waveform=own, sample_rate=rate, leads=True),
    ]
    target = loudness.PRESETS["streaming"]
    finished = loudness.normalise(mix(tracks, rate), rate, target.lufs, target.true_peak_db).waveform
    picture = Image.fromarray(np.ascontiguousarray(frame))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, SIZE - 2 * TRACE - 12, SIZE, SIZE), fill=(24, 26, 30))
    trace(pen, own.numpy(), SIZE - TRACE * 3 // 2 - 6, COLOURS[0])
    trace(pen, finished.numpy(), SIZE - TRACE // 2 - 4, COLOURS[1])
    picture.save(options.output, quality=88)
    print(options.output)


if __name__ == "__main__":
    main()
