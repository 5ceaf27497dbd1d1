"""What the scripts that draw pictures of help pages share: our nodes, the toy world, a page a function."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moviegen_core import toybox
from moviegen_core.media.frames import from_uint8, to_images
from moviegen_core.shapes import SOUND_SAMPLE_RATE
from moviegen_host.registry import Registry, default_registry
from moviegen_host.session import Session, active

HELP = Path(__file__).resolve().parents[1] / "web" / "docs"
FPS, SIDE, LENGTH = 16, 128, 32  # frames a second; pixels; frames of a film
SHIPPED = "nano (shipped)"


@cache
def registry() -> Registry:
    """This pack's nodes on the embedded host."""
    return default_registry()


def node(name: str, **inputs: Any) -> Any:
    """Runs one of our nodes -> its first output."""
    return outputs(name, **inputs)[0]


def outputs(name: str, **inputs: Any) -> tuple[Any, ...]:
    """Runs one of our nodes -> all its outputs."""
    return registry().nodes[f"MovieGen{name}"].execute(**inputs).args


def usual(name: str, *inputs: str) -> dict[str, Any]:
    """What a node's inputs are when nobody changes them."""
    schema = registry().nodes[f"MovieGen{name}"].GET_SCHEMA()
    return {one.id: one.default for one in schema.inputs if one.id in inputs}


def pictures(images: Tensor) -> list[Image.Image]:
    """IMAGE [T, H, W, 3] in 0..1 -> pictures."""
    return to_images(images.movedim(-1, 0) * 2 - 1)


def audio(waveform: Tensor) -> dict[str, Any]:
    """[C, S] -> AUDIO."""
    return {"waveform": waveform[None], "sample_rate": SOUND_SAMPLE_RATE}


@cache
def toy(seed: int, seconds: float = LENGTH / FPS) -> tuple[Tensor, Tensor]:
    """A scene of the toy world: IMAGE frames [T, H, W, 3] in 0..1, and its sound [1, S] at 48 kHz."""
    scene = toybox.sample_scene(seed, split="test", motion="bounce", duration_seconds=seconds)
    shown = toybox.render(scene, num_frames=round(FPS * seconds), fps=FPS, height=SIDE, width=SIDE)
    heard = torch.from_numpy(toybox.sound(scene, channels=1, music=False))
    pixels = from_uint8(np.ascontiguousarray(shown)).movedim(0, -1)
    return (pixels + 1) / 2, heard[:, : round(seconds * SOUND_SAMPLE_RATE)]


def pages(*draw: Callable[[int], Image.Image]) -> dict[str, Callable[[int], list[Path]]]:
    """For `draw_named`: the picture of each function becomes web/docs/NAME.jpg."""
    return {one.__name__: partial(_page, one) for one in draw}


def _page(draw: Callable[[int], Image.Image], seed: int) -> list[Path]:
    target = HELP / f"{draw.__name__}.jpg"
    with active(Session()):
        draw(seed).save(target, quality=86)
    return [target]
