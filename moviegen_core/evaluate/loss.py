"""How well does a transformer tell the velocity of clips or sounds that training never saw, at times of their paths?

Every weight sees the same clips, sounds, words and noise, so this tells two trainings apart long before the judge does.
The scenes are none that another bench tests, so that what is chosen by them is not chosen for its test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..conditioning.text import encode_prompt
from ..errors import ConfigError
from ..flow import path
from ..media.timeline import clip_samples
from ..pipelines.decode import encode_video
from ..pipelines.movie import MovieGenPipeline
from ..pipelines.sample import make_noise
from ..pipelines.sound import make_noise as make_sound_noise
from ..pipelines.sound_request import check_samples, request_caption
from ..pipelines.soundtrack import SoundPipeline, condition_sound
from ..pipelines.watching import watch_frames
from ..shapes import SOUND_SAMPLE_RATE, LatentShape
from ..toybox import Scene, captions, sample_scene, sound, sound_captions
from .path import path_times
from .report import write_report
from .sound_sources import CLIP_FPS, pictures
from .text_to_video import DEV_SEED, real_clip


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    network: str = "video",
    times: str | float = "0.05,0.2,0.4,0.6,0.8,0.95",
    clips: int = 60,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    seconds: float = 4.0,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Mean squared error of the velocity (latents have unit variance) at each of `times`, and its mean over them.

    network: "video", asked about clips of `num_frames`, `fps` and `size`, or "audio", asked about the sound of clips
    of `seconds`. `times` are numbers joined by commas. Writes loss.json and loss.md. ConfigError for settings out of
    range.
    """
    points = path_times(str(times))
    if clips < 1:
        raise ConfigError(f"{clips} clips were asked for; at least 1 is needed")
    errors_of, clip = asked_of(
        network, model, {"num_frames": num_frames, "fps": fps, "height": size, "width": size}, seconds
    )
    found: list[list[float]] = [[] for _ in points]
    for number in range(clips):
        scene = sample_scene(DEV_SEED + number, split=("test", "heldout")[number % 2])
        for errors, error in zip(found, errors_of(scene, clip, number, points), strict=True):
            errors.append(error)
        if on_clip:
            on_clip("loss", number + 1, clips)
    means = {f"{time:g}": sum(errors) / clips for time, errors in zip(points, found, strict=True)}
    report = {
        "model": model,
        "network": network,
        "clips": clips,
        "clip": clip,
        "times": means,
        "mean": sum(means.values()) / len(means),
    }
    write_report(output, "loss", report, as_markdown(report))
    return report


Errors = Callable[[Scene, dict[str, Any], int, list[float]], list[float]]


def asked_of(network: str, model: str, clip: dict[str, Any], seconds: float) -> tuple[Errors, dict[str, Any]]:
    """What tells the errors of the network of `model`, and what it is asked about: `clip`, or `seconds` of sound.

    ConfigError for a network other than "video" and "audio".
    """
    if network == "video":
        return partial(clip_errors, MovieGenPipeline.from_pretrained(model)), clip
    if network == "audio":
        check_samples(clip_samples(seconds, SOUND_SAMPLE_RATE))
        return partial(sound_errors, SoundPipeline.from_pretrained(model)), {"seconds": seconds}
    raise ConfigError(f"network {network!r} is unknown; use video or audio")


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


@torch.inference_mode()
def sound_errors(
    pipeline: SoundPipeline, scene: Scene, clip: dict[str, Any], seed: int, times: list[float]
) -> list[float]:
    """Errors at `times` of one scene's sound, with what its pictures show and its caption says."""
    parts, seconds = pipeline.parts, clip["seconds"]
    model = parts.model
    real = torch.from_numpy(sound(scene, seconds=seconds, channels=1)).to(pipeline.placement.device)
    latent = parts.codec.encode(real[None]).to(model.device, torch.float32)
    said = sound_captions(scene, seed)
    caption = request_caption(
        said.description, said.music_description, quality=said.quality, music_likelihood=said.music
    )
    watched, _ = watch_frames(pipeline.check_eyes(), pictures(scene, seconds), CLIP_FPS, seconds)
    conditioning = condition_sound(parts.words, caption, watched.features(latent.shape[2])).repeat(len(times))
    data, time = latent.expand(len(times), -1, -1), torch.tensor(times, device=latent.device)
    noise = make_sound_noise(1, latent.shape[1], latent.shape[2], seed).to(data).expand_as(data)
    told = model(path.interpolate(data, noise, time).to(model.dtype), time, model.prepare_from(conditioning)).float()
    errors: list[float] = (told - path.velocity(data, noise)).square().mean(dim=(1, 2)).tolist()
    return errors


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    rows = {**report["times"], "mean": report["mean"]}
    lines = ["| time | " + " | ".join(rows) + " |", "|---|" + "---|" * len(rows)]
    lines.append("| squared error of the velocity | " + " | ".join(f"{value:.4f}" for value in rows.values()) + " |")
    return "\n".join([*lines, ""])
