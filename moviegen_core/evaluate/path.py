"""Where on its path to a clip does the video model go wrong? Real clips are noised to a time, sampled on, and judged.

At time 0 everything is the model's own; the later the path is joined, the more of the real clip is given. Between two
times at which the share of right answers differs, the model has the most to learn. The scenes are none that another
bench tests, so that what is learned here of the model is not learned from its test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..conditioning.text import encode_prompt
from ..errors import ConfigError
from ..pipelines.decode import encode_video
from ..pipelines.movie import MovieGenPipeline
from ..pipelines.sample import GUIDANCE_SCALE, sample_video
from ..shapes import LatentShape
from ..toybox import Scene, captions, sample_scene
from .judge import load_judge
from .report import write_report
from .text_to_video import ATTRIBUTES, DEV_SEED, real_clip


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    times: str | float = "0,0.1,0.2,0.35,0.5,0.8",
    clips: int = 40,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    steps: int = 16,
    guidance_scale: float | None = None,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Share of right answers for each of `times` (numbers joined by commas); writes path.json and path.md.

    ConfigError for times out of range or no clips.
    """
    points = path_times(str(times))
    if clips < 1:
        raise ConfigError(f"{clips} clips were asked for; at least 1 is needed")
    pipeline, judge = MovieGenPipeline.from_pretrained(model), load_judge()
    clip: dict[str, Any] = {"num_frames": num_frames, "fps": fps, "height": size, "width": size}
    scale = float(pipeline.sampling.get("guidance_scale", GUIDANCE_SCALE) if guidance_scale is None else guidance_scale)
    right: dict[float, dict[str, list[bool]]] = {time: {name: [] for name in ATTRIBUTES} for time in points}
    for number in range(clips):
        scene = sample_scene(DEV_SEED + number, split="test")
        labels, real = scene.labels(), real_clip(scene, clip)
        for time in points:
            answers = judge.read(retold(pipeline, scene, real, fps, number, time, steps, scale), fps)
            for name in ATTRIBUTES:
                right[time][name].append(answers[name][0] == labels[name])
        if on_clip:
            on_clip("path", number + 1, clips)
    joined = {f"{time:g}": {name: float(np.mean(hits)) for name, hits in rows.items()} for time, rows in right.items()}
    sampling = {"steps": steps, "guidance_scale": scale}
    report = {"model": model, "clips": clips, "clip": clip, "sampling": sampling, "joined": joined}
    write_report(output, "path", report, as_markdown(report))
    return report


def path_times(text: str) -> list[float]:
    """Times in [0, 1) from a list such as "0,0.2"; ConfigError otherwise."""
    try:
        times = [float(part) for part in text.split(",")]
    except ValueError:
        times = []
    if not times or not all(0.0 <= time < 1.0 for time in times):
        raise ConfigError(f"times {text!r} must be numbers from 0 to below 1 joined by commas, such as 0,0.2,0.5")
    return times


def retold(
    pipeline: MovieGenPipeline, scene: Scene, real: Tensor, fps: int, seed: int, time: float, steps: int, scale: float
) -> Tensor:
    """Pixels [1, 3, T, H, W] of a clip whose path is joined at `time` and followed by the model, told what it shows."""
    latent = encode_video(pipeline.tae, real.to(pipeline.placement.device, pipeline.placement.dtype)).float()
    conditioning = encode_prompt(pipeline.encoders, [captions(scene, seed).short], fps=fps)
    told = sample_video(
        pipeline.video, conditioning, LatentShape(*latent.shape), seed=seed, steps=steps, schedule="linear",
        guidance_scale=scale, source=latent, source_time=time,
    )  # fmt: skip
    return torch.cat([window.float().cpu() for window in pipeline.decode(told, real.shape[2])], dim=2)


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    joined = report["joined"]
    lines = ["| joined at | " + " | ".join(joined) + " |", "|---|" + "---|" * len(joined)]
    lines += [f"| {name} | " + " | ".join(f"{row[name]:.1%}" for row in joined.values()) + " |" for name in ATTRIBUTES]
    return "\n".join([*lines, ""])
