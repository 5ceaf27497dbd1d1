"""How well does the video model tell the velocity of clips that training never saw, at set times of their paths?

Every weight sees the same clips, words and noise, so this tells two trainings apart long before the judge does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..conditioning.text import encode_prompt
from ..errors import ConfigError
from ..flow import path
from ..pipelines.decode import encode_video
from ..pipelines.movie import MovieGenPipeline
from ..pipelines.sample import make_noise
from ..shapes import LatentShape
from ..toybox import captions, sample_scene
from .path import path_times
from .text_to_video import TEST_SEED, real_clip


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    times: str | float = "0.05,0.2,0.4,0.6,0.8,0.95",
    clips: int = 60,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Mean squared error of the velocity (latents have unit variance) at each of `times`, and its mean over them.

    `times` are numbers joined by commas. Writes loss.json and loss.md.
    """
    points = path_times(str(times))
    if clips < 1:
        raise ConfigError(f"{clips} clips were asked for; at least 1 is needed")
    pipeline = MovieGenPipeline.from_pretrained(model)
    clip: dict[str, Any] = {"num_frames": num_frames, "fps": fps, "height": size, "width": size}
    found: list[list[float]] = [[] for _ in points]
    for number in range(clips):
        scene = sample_scene(TEST_SEED + number, split=("test", "heldout")[number % 2])
        for errors, error in zip(found, clip_errors(pipeline, scene, clip, number, points), strict=True):
            errors.append(error)
        if on_clip:
            on_clip("loss", number + 1, clips)
    means = {f"{time:g}": sum(errors) / clips for time, errors in zip(points, found, strict=True)}
    report = {"model": model, "clips": clips, "clip": clip, "times": means, "mean": sum(means.values()) / len(means)}
    (output / "loss.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "loss.md").write_text(as_markdown(report))
    return report


@torch.inference_mode()
def clip_errors(
    pipeline: MovieGenPipeline, scene: Any, clip: dict[str, Any], seed: int, times: list[float]
) -> list[float]:
    """Errors at `times` of one scene's clip with its short caption."""
    place = pipeline.placement
    latent = encode_video(pipeline.tae, real_clip(scene, clip).to(place.device, place.dtype)).float()
    data = latent.expand(len(times), -1, -1, -1, -1)
    # The same noise at every time.
    noise = make_noise(LatentShape(*latent.shape), seed).to(data).expand_as(data)
    time = torch.tensor(times, device=data.device)
    conditioning = encode_prompt(pipeline.encoders, [captions(scene, seed).short], fps=clip["fps"])
    conditioning = conditioning.to(place.device, place.dtype)
    context = pipeline.video.prepare(conditioning.context, conditioning.context_mask)
    told = pipeline.video(path.interpolate(data, noise, time).to(place.dtype), time, context).float()
    errors: list[float] = (told - path.velocity(data, noise)).square().mean(dim=(1, 2, 3, 4)).tolist()
    return errors


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    rows = {**report["times"], "mean": report["mean"]}
    lines = ["| time | " + " | ".join(rows) + " |", "|---|" + "---|" * len(rows)]
    lines.append("| squared error of the velocity | " + " | ".join(f"{value:.4f}" for value in rows.values()) + " |")
    return "\n".join([*lines, ""])
