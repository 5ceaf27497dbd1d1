"""Text to video on held-out prompts: a judge says whether the clip shows what the words asked for.

The judge's own accuracy on real toybox clips of the same scenes, before and after the autoencoder,
stands beside every figure: it is the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..media.frames import from_uint8
from ..models.judge.model import Judge
from ..pipelines.movie import MovieGenPipeline
from ..toybox import Scene, captions, render, sample_scene
from .gravity import fitted_gravity
from .judge import load_judge
from .report import write_report

ATTRIBUTES = ("thing", "colour", "motion", "place", "camera")
GRAVITY_TOLERANCE = 0.25
TEST_SEED = 5_000_000  # far from every training seed
DEV_SEED = 10_000_000  # as far from every seed of a test: of scenes by which trainings are compared and chosen


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    prompts: int = 200,
    held_out: int = 100,
    falling: int = 40,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    steps: int = 50,
    guidance_scale: float | None = None,
    temperature: float | None = None,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Generates, judges and writes video.json and video.md into `output`; returns the figures.

    Of `held_out` and `falling` clips there may be none; their figures are left out then. ConfigError for fewer, or no
    prompts.
    """
    if prompts < 1 or min(held_out, falling) < 0:
        raise ConfigError(
            f"{prompts} prompts, {held_out} held-out and {falling} falling clips were asked for; at least 1, 0, 0"
        )
    pipeline = MovieGenPipeline.from_pretrained(model)
    judge = load_judge()
    clip: dict[str, Any] = {"num_frames": num_frames, "fps": fps, "height": size, "width": size}
    how = {"steps": steps, "guidance_scale": guidance_scale, "temperature": temperature}
    report: dict[str, Any] = {"model": model, "clip": clip, "sampling": how}
    for split, count in (("test", prompts), ("heldout", held_out)):
        if not count:
            continue
        scenes = [sample_scene(TEST_SEED + number, split=split) for number in range(count)]
        report[split] = judge_scenes(pipeline, judge, scenes, clip, how, tell=_teller(on_clip, split, count))
    falls = [
        sample_scene(TEST_SEED + 500_000 + number, split="test", motion="bounce", camera="static", weather="clear")
        for number in range(falling)
    ]
    if falls:
        report["gravity"] = judge_gravity(pipeline, falls, clip, how, tell=_teller(on_clip, "gravity", falling))
    write_report(output, "video", report, as_markdown(report))
    return report


def judge_scenes(
    pipeline: MovieGenPipeline,
    judge: Judge,
    scenes: list[Scene],
    clip: dict[str, Any],
    how: dict[str, Any],
    *,
    tell: Callable[[int], None],
) -> dict[str, Any]:
    """Share of right answers per attribute on generated, real, and real-through-the-autoencoder clips."""
    right: dict[str, dict[str, list[bool]]] = {kind: {name: [] for name in ATTRIBUTES} for kind in KINDS}
    for number, scene in enumerate(scenes):
        real = real_clip(scene, clip)
        made = generate(pipeline, scene, number, clip, how)
        through = torch.cat([window.float().cpu() for window in pipeline.reconstruct(real)], dim=2)
        labels = scene.labels()
        for kind, pixels in zip(KINDS, (made, real, through), strict=True):
            answers = judge.read(pixels, clip["fps"])
            for name in ATTRIBUTES:
                right[kind][name].append(answers[name][0] == labels[name])
        tell(number + 1)
    return {kind: {name: float(np.mean(hits)) for name, hits in rows.items()} for kind, rows in right.items()} | {
        "clips": len(scenes)
    }


KINDS = ("generated", "real", "real through the autoencoder")
SPLITS = {"test": "test", "heldout": "held-out combinations"}


def judge_gravity(
    pipeline: MovieGenPipeline,
    scenes: list[Scene],
    clip: dict[str, Any],
    how: dict[str, Any],
    *,
    tell: Callable[[int], None],
) -> dict[str, Any]:
    """Share of falling clips whose fitted gravity is within a quarter of the world's."""
    share: dict[str, list[bool]] = {"generated": [], "real": []}
    for number, scene in enumerate(scenes):
        for kind, pixels in (
            ("generated", generate(pipeline, scene, number, clip, how)),
            ("real", real_clip(scene, clip)),
        ):
            fitted = fitted_gravity(pixels[0], clip["fps"])
            truth = scene.gravity
            share[kind].append(fitted is not None and abs(fitted - truth) <= GRAVITY_TOLERANCE * truth)
        tell(number + 1)
    return {kind: float(np.mean(hits)) for kind, hits in share.items()} | {"clips": len(scenes)}


def real_clip(scene: Scene, clip: dict[str, Any]) -> Tensor:
    """The scene as the world draws it: pixels [1, 3, T, H, W] in [-1, 1]."""
    return from_uint8(np.ascontiguousarray(render(scene, **clip)))[None]


def generate(pipeline: MovieGenPipeline, scene: Scene, seed: int, clip: dict[str, Any], how: dict[str, Any]) -> Tensor:
    """The scene's short caption through the model: pixels [1, 3, T, H, W] in [-1, 1]."""
    return pipeline(captions(scene, seed).short, seed=seed, **clip, **how).frames()


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    splits = {split: name for split, name in SPLITS.items() if split in report}
    columns = [f"{name}: {kind}" for name in splits.values() for kind in KINDS]
    lines = ["| attribute | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in ATTRIBUTES:
        cells = [f"{report[split][kind][name]:.1%}" for split in splits for kind in KINDS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if gravity := report.get("gravity"):
        lines += [
            "",
            f"Gravity within {GRAVITY_TOLERANCE:.0%}: generated {gravity['generated']:.1%}, real {gravity['real']:.1%}",
        ]
    return "\n".join([*lines, ""])


def _teller(on_clip: Callable[[str, int, int], None] | None, name: str, count: int) -> Callable[[int], None]:
    return lambda done: on_clip(name, done, count) if on_clip else None
