"""Draws the pictures of the README, the docs and the workflows with the shipped models.

    python scripts/pictures.py [gallery] [autoencoder] [thumbnails] [--seed 3]

Nothing is chosen: each prompt gets one film, of the given seed.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from drawing import draw_named, say
from PIL import Image
from torch import Tensor

from moviegen_core import MovieGenPipeline, toybox
from moviegen_core.media.frames import contact_sheet, from_uint8, save_webp, to_images
from moviegen_core.shapes import seconds_to_frames

ROOT = Path(__file__).parents[1]
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
COLUMNS, FPS, SECONDS, EDGE = 4, 16, 2.0, 2
CLIP_SEEDS = (0, 1, 2)  # of the toybox's test split, for the autoencoder
THUMBNAIL = 384


@cache
def pipeline() -> MovieGenPipeline:
    """The shipped models."""
    return MovieGenPipeline.from_pretrained("nano")


def gallery(seed: int) -> list[Path]:
    """docs/media/gallery.webp: the films of all prompts side by side, playing."""
    films = []
    for prompt in PROMPTS:
        say(prompt)
        films.append(to_images(film(prompt, seed)))
    target = ROOT / "docs" / "media" / "gallery.webp"
    moments = [np.asarray(beside(list(moment))) for moment in zip(*films, strict=True)]
    save_webp(np.stack(moments), target, fps=FPS)
    return [target]


def autoencoder(seed: int) -> list[Path]:
    """docs/media/autoencoder.jpg: clips that training never saw, each above what comes back."""
    rows = []
    for number in CLIP_SEEDS:
        scene = toybox.sample_scene(seed * 1000 + number, split="test", duration_seconds=SECONDS)
        frames = seconds_to_frames(SECONDS, FPS)
        pixels = from_uint8(toybox.render(scene, num_frames=frames, fps=FPS, height=128, width=128))
        rebuilt = torch.cat(list(pipeline().reconstruct(pixels[None])), dim=2)[0]
        rows += [pixels[:, :: frames // 8], rebuilt[:, :: frames // 8].clamp(-1, 1)]
    target = ROOT / "docs" / "media" / "autoencoder.jpg"
    contact_sheet(torch.cat(rows, dim=1), 8).save(target, quality=88)
    return [target]


def thumbnails(seed: int) -> list[Path]:
    """workflows/NAME.jpg for every workflow that makes a video or a picture of a prompt: a frame of that prompt."""
    drawn = []
    for path in sorted((ROOT / "workflows").glob("text_to_*.json")):
        settings = json.loads(path.read_text(encoding="utf-8"))
        prompt = prompt_of(settings)
        types = {node["type"] for node in settings["nodes"]}
        if prompt is None or "MovieGenSoundDecode" in types:
            continue  # sound_pictures.py draws those with sound
        say(f"{path.name}: {prompt}")
        temperature = None if "MovieGenVideoSampler" in types else 1.0  # stock samplers know no other
        frames = to_images(film(prompt, seed, temperature))
        picture = frames[len(frames) // 2].resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
        drawn.append(path.with_suffix(".jpg"))
        picture.save(drawn[-1], quality=88)
    return drawn


def prompt_of(workflow: dict) -> str | None:
    """The prompt that stands in a workflow file."""
    node_id, widget = workflow.get("extra", {}).get("moviegen", {}).get("settings", {}).get("prompt", (None, None))
    node = next((node for node in workflow["nodes"] if node["id"] == node_id), None)
    if node is None:
        return None
    names = [one["name"] for one in node["inputs"] if "widget" in one]
    return node["widgets_values"][names.index(widget)]


def film(prompt: str, seed: int, temperature: float | None = None) -> Tensor:
    """[3, T, H, W] in [-1, 1]."""
    made = pipeline()(prompt, num_frames=seconds_to_frames(SECONDS, FPS), fps=FPS, seed=seed, temperature=temperature)
    return torch.cat([window[0] for window in made.windows()], dim=1)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size in rows of COLUMNS."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (width + EDGE) - EDGE, rows * (height + EDGE) - EDGE), "white")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        whole.paste(picture, (column * (width + EDGE), row * (height + EDGE)))
    return whole


if __name__ == "__main__":
    kinds = {"gallery": gallery, "autoencoder": autoencoder, "thumbnails": thumbnails}
    draw_named(kinds, __doc__, seed=3)
