"""Draws spectrograms and waveforms of toybox sounds, with ticks at the hits, into docs/media/toybox_sound.png.

python scripts/toybox_sound_picture.py [--output FILE] [--wav DIR]
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from moviegen_core import toybox

SCENES: tuple[tuple[int, bool | str, dict[str, Any]], ...] = (
    (1, False, {"motion": "bounce", "thing": "car", "place": "room"}),
    (17, False, {"motion": "collide", "place": "city"}),
    (18, False, {"motion": "walk", "place": "city"}),
    (3, False, {"motion": "slide", "place": "beach"}),
    (10, False, {"motion": "float", "thing": "cat", "place": "beach"}),
    (12, False, {"motion": "fly", "thing": "bird", "place": "meadow"}),
    (30, "calm", {"motion": "wave", "place": "room"}),
    (31, "cheerful", {"motion": "bounce", "place": "meadow"}),
    (32, "tense", {"motion": "roll", "thing": "car", "place": "city"}),
)
COLUMNS, HEIGHT, TRACE = 3, 170, 46  # panels a row; pixels of a spectrogram and of the waveform below it
WINDOW, HIGHEST_HERTZ = 2048, 4000


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """uint8 [HEIGHT, T] of a mono sound, a column every 10 ms, from 0 Hz at the bottom to HIGHEST_HERTZ."""
    step = toybox.SOUND_RATE // 100
    padded = np.pad(sound, (WINDOW // 2, WINDOW))
    frames = np.stack([padded[start : start + WINDOW] for start in range(0, sound.size, step)]) * np.hanning(WINDOW)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) * 4 / WINDOW + 1e-6)
    rows = level[:, : HIGHEST_HERTZ * WINDOW // toybox.SOUND_RATE].T[::-1]
    grey = Image.fromarray(np.clip((rows + 90) / 80 * 255, 0, 255).astype(np.uint8))
    return np.asarray(grey.resize((grey.width, HEIGHT)))


def panel(scene: toybox.Scene, waveform: np.ndarray, mood: str) -> Image.Image:
    """Spectrogram above waveform, with a white tick at every hit."""
    mono = waveform.mean(axis=0)
    picture = spectrogram(mono)
    width = picture.shape[1]
    image = Image.new("L", (width, HEIGHT + TRACE), 0)
    image.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(image)
    for column, part in enumerate(np.array_split(mono, width)):
        top, bottom = HEIGHT + TRACE / 2 * (1 - part.max()), HEIGHT + TRACE / 2 * (1 - part.min())
        pen.line((column, top, column, bottom), fill=210)
    for event in scene.events:
        x = event.time_seconds / scene.duration_seconds * width
        pen.line((x, 0, x, 9), fill=255)
    labels = toybox.sound_labels(scene, music=mood)
    pen.text((5, 12), f"{scene.subject.thing}: {labels.kind}, {labels.ambience}, music {labels.mood}", fill=255)
    return image


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """[channels, N] as a 16-bit file."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(waveform.shape[0])
        stream.setsampwidth(2)
        stream.setframerate(toybox.SOUND_RATE)
        stream.writeframes(np.round(waveform.T * 32767).astype("<i2").tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/media/toybox_sound.png"))
    parser.add_argument("--wav", type=Path, help="also write the sounds into this folder")
    options = parser.parse_args()
    panels = []
    for seed, music, fixed in SCENES:
        scene = toybox.sample_scene(seed, **fixed)
        waveform = toybox.sound(scene, music=music)
        mood = music if isinstance(music, str) else "none"
        panels.append(panel(scene, waveform, mood))
        if options.wav:
            options.wav.mkdir(parents=True, exist_ok=True)
            write_wav(options.wav / f"{scene.subject.thing}_{scene.motion.kind}_{mood}.wav", waveform)
    width, height = panels[0].size
    sheet = Image.new("L", (COLUMNS * width, -(-len(panels) // COLUMNS) * height))
    for number, image in enumerate(panels):
        sheet.paste(image, (number % COLUMNS * width, number // COLUMNS * height))
    sheet.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
