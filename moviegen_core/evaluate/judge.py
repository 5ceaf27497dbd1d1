"""The judge's own accuracy on real toybox clips that training never saw: the ceiling of every figure it gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..errors import ConfigError
from ..media.frames import from_uint8
from ..models import loading
from ..models.judge.model import Judge
from ..models.tae.model import TAE
from ..pipelines.decode import encode_video
from ..toybox import render, sample_scene
from .report import write_report
from .rough import check_roughness, rough

SEED = 6_000_000  # far from every training seed


def load_judge() -> Judge:
    """The shipped judge, on the CPU."""
    judge = loading.load(weights.path("nano/judge"), device="cpu", dtype=torch.float32, network="judge")
    assert isinstance(judge, Judge)
    return judge


def evaluate(
    output: Path,
    *,
    clips: int = 400,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    roughness: float | None = None,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Share of right answers per attribute over `clips` clips, half of them held-out combinations; in judge.json.

    With `roughness` the clips go through the nano autoencoder, with noise of that deviation on the latents: what they
    show is known however rough they are, and eyes still tell it at 0.3. ConfigError for settings out of range.
    """
    if clips < 1:
        raise ConfigError(f"{clips} clips were asked for; at least 1 is needed")
    if roughness is not None:
        check_roughness(roughness)
    judge = load_judge()
    seen = partial(through_autoencoder, load_autoencoder(), roughness) if roughness is not None else as_drawn
    right: dict[str, list[bool]] = {name: [] for name in judge.config.classes}
    wrong: dict[str, dict[str, int]] = {name: {} for name in judge.config.classes}
    for number in range(clips):
        scene = sample_scene(SEED + number, split=("test", "heldout")[number % 2])
        frames = np.ascontiguousarray(render(scene, num_frames=num_frames, fps=fps, height=size, width=size))
        labels = scene.labels()
        for name, (answer,) in judge.read(seen(from_uint8(frames)[None], number), fps).items():
            right[name].append(answer == labels[name])
            if answer != labels[name]:
                mistake = f"{labels[name]} read as {answer}"
                wrong[name][mistake] = wrong[name].get(mistake, 0) + 1
        if on_clip:
            on_clip("judge", number + 1, clips)
    report = {
        "clips": clips,
        "roughness": roughness,
        "accuracy": {name: float(np.mean(hits)) for name, hits in right.items()},
        "commonest mistakes": {
            name: dict(sorted(rows.items(), key=lambda row: -row[1])[:5]) for name, rows in wrong.items()
        },
    }
    write_report(output, "judge", report)
    return report


def load_autoencoder() -> TAE:
    """The shipped autoencoder, on the CPU."""
    tae = loading.load(weights.path("nano/tae"), device="cpu", dtype=torch.float32, network="tae")
    assert isinstance(tae, TAE)
    return tae


def as_drawn(pixels: Tensor, seed: int) -> Tensor:
    """Clips as they are."""
    return pixels


@torch.inference_mode()
def through_autoencoder(tae: TAE, roughness: float, pixels: Tensor, seed: int) -> Tensor:
    """Clips [B, 3, T, H, W] in [-1, 1] out of latents with noise of that deviation."""
    return tae.decode(rough(encode_video(tae, pixels), roughness, seed), pixels.shape[2]).clamp(-1, 1)
