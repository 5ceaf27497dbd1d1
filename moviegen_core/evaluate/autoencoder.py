"""The autoencoder on clips it never saw: how near the decoded clip is, and whether tiles show."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..errors import ConfigError
from ..files import replacing
from ..media.frames import contact_sheet, from_uint8
from ..models import loading
from ..models.tae.model import TAE
from ..pipelines.decode import decode_video, encode_video
from ..toybox import render, sample_scene
from .metrics import frame_psnr, psnr, ssim
from .report import write_report

SEED = 7_000_000  # far from every training seed
TILED_FRAMES = 64  # two windows of 32 and more
SHOWN = 8  # frames of each clip on the sheet


@torch.inference_mode()
def evaluate(
    output: Path,
    *,
    model: str = "nano/tae",
    clips: int = 64,
    tiled: int = 4,
    num_frames: int = 32,
    fps: int = 16,
    size: int = 128,
    device: str = "cpu",
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """PSNR and SSIM over `clips` held-out clips; tiled against whole decoding of `tiled` clips of 64 frames, if any.

    Writes tae.json, and tae.png with clips above what comes back, into `output`. ConfigError for counts out of range.
    """
    if clips < 1 or tiled < 0:
        raise ConfigError(f"{clips} clips and {tiled} tiled ones were asked for; at least 1 and 0 are needed")
    tae = loading.load(weights.resolve(model), device=device, dtype=torch.float32, network="tae")
    assert isinstance(tae, TAE)
    scores: dict[str, list[float]] = {"psnr": [], "ssim": [], "image_psnr": []}
    per_frame, moments = [], []
    shown: list[Tensor] = []
    for number in range(clips):
        real = real_clip(number, num_frames, fps, size).to(device)
        latent = tae.encode(real)
        made = tae.decode(latent, num_frames).clamp(-1, 1)
        scores["psnr"].append(psnr(made, real))
        scores["ssim"].append(ssim(made, real))
        image = real[:, :, :1]
        scores["image_psnr"].append(psnr(tae.decode(tae.encode(image), 1).clamp(-1, 1), image))
        per_frame.append(frame_psnr(made[0], real[0]))
        moments.append((float(latent.mean()), float(latent.std(correction=0))))
        if number < 6:
            chosen = np.linspace(0, num_frames - 1, SHOWN).round().astype(int)
            shown += [pixels[0][:, chosen] for pixels in (real, made)]
        if on_clip:
            on_clip("tae", number + 1, clips)
    report: dict[str, Any] = {
        "model": model,
        "clips": clips,
        "psnr_db": mean_psnr(scores["psnr"]),
        "psnr_db_mean_of_clips": float(np.mean(scores["psnr"])),
        "psnr_db_mean_of_frames": float(np.mean(per_frame)),  # as the paper measures
        "psnr_db_worst_clip": float(np.min(scores["psnr"])),
        "image_psnr_db": mean_psnr(scores["image_psnr"]),
        "ssim": float(np.mean(scores["ssim"])),
        "psnr_db_by_frame": [mean_psnr(list(column)) for column in zip(*per_frame, strict=True)],
        "latent_mean": float(np.mean([mean for mean, _ in moments])),
        "latent_std": pooled_std(moments),
    }
    if tiled:
        apart = mean_psnr([tiled_psnr(tae, clips + number, fps, size) for number in range(tiled)])
        report["tiled_against_whole_psnr_db"] = apart
    write_report(output, "tae", report)
    with replacing(output / "tae.png", ending=".png") as partial:
        contact_sheet(torch.cat(shown, dim=1).cpu(), SHOWN).save(partial)
    return report


def real_clip(number: int, num_frames: int, fps: int, size: int) -> Tensor:
    """Held-out clip `number`, every other one of an unseen combination: pixels [1, 3, T, H, W] in [-1, 1]."""
    scene = sample_scene(SEED + number, split=("test", "heldout")[number % 2], duration_seconds=num_frames / fps)
    frames = render(scene, num_frames=num_frames, fps=fps, height=size, width=size)
    return from_uint8(np.ascontiguousarray(frames))[None]


def tiled_psnr(tae: TAE, number: int, fps: int, size: int) -> float:
    """PSNR in dB between decoding a clip in windows and at once, from the same latent."""
    real = real_clip(number, TILED_FRAMES, fps, size).to(next(tae.parameters()).device)
    latent = encode_video(tae, real)
    whole = tae.decode(latent, TILED_FRAMES)
    windows = torch.cat(list(decode_video(tae, latent, TILED_FRAMES)), dim=2)
    return psnr(windows.clamp(-1, 1), whole.clamp(-1, 1))


def pooled_std(moments: list[tuple[float, float]]) -> float:
    """Deviation of all values of clips of one size, from mean and deviation of each."""
    means, deviations = np.array(moments).T
    return float(np.sqrt(np.mean(deviations**2 + means**2) - np.mean(means) ** 2))


def mean_psnr(values: list[float]) -> float:
    """PSNR in dB of the mean squared error, as if all clips were one; infinite where all are equal."""
    error = float(np.mean([0.0 if math.isinf(value) else 10 ** (-value / 10) for value in values])) if values else 0.0
    return math.inf if error == 0 else -10 * math.log10(error)
