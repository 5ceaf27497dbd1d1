"""Draws docs/media/toybox.jpg: a contact sheet of the toybox.

    python scripts/toybox_picture.py [--output docs/media/toybox.jpg] [--size 128]

One row a scene, eight moments of two seconds from left to right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from moviegen_core import toybox

ROWS: tuple[dict[str, str], ...] = (
    {"thing": "ball", "colour": "blue", "motion": "bounce", "place": "meadow", "camera": "static"},
    {"thing": "cat", "colour": "orange", "motion": "swing", "place": "room", "camera": "zoom in"},
    {"thing": "robot", "colour": "yellow", "motion": "hop", "place": "city", "camera": "tracking shot"},
    {"thing": "car", "colour": "blue", "motion": "collide", "place": "beach", "camera": "static"},
    {"thing": "fish", "colour": "purple", "motion": "fly", "place": "under water", "camera": "tilt up"},
    {"thing": "rocket", "colour": "white", "motion": "orbit", "place": "space", "camera": "static"},
    {"thing": "duck", "colour": "yellow", "motion": "rock", "place": "night sky", "camera": "pan right"},
    {"thing": "person", "motion": "wave", "place": "meadow", "camera": "static", "word": "HELLO"},
)
WEATHER = {"city": "rain", "night sky": "snow"}


def row(fixed: dict[str, str], size: int, moments: int = 8, seconds: float = 2.0) -> np.ndarray:
    """[size, moments * size, 3]: one scene at `moments` times."""
    weather = WEATHER.get(fixed["place"], "clear")
    labels = {"size": "medium", "weather": weather, "word": None, "person": None, **fixed}
    scene = toybox.sample_scene(4, **labels)
    frames = toybox.render(scene, num_frames=moments, fps=moments / seconds, height=size, width=size)
    return np.concatenate(list(frames), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/media/toybox.jpg"))
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    sheet = np.concatenate([row(fixed, options.size) for fixed in ROWS])
    Image.fromarray(sheet).save(options.output, quality=88)
    print(f"{options.output}: {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
