"""Sound codec on held-out toybox scenes: SI-SDR and distance of spectra, against named targets.

The target "whole band" is the sound itself at 48 kHz, all of its 24 kHz: spectral convergence counts what is missing
from it, as a share. Beside it stands "low band", the same sound cut above the frequency up to which 128 numbers at
25 Hz could hold every coefficient (1,600 Hz): what a codec would reach that only kept these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import weights
from ..errors import ConfigError
from ..models import loading
from ..models.audio_codec.model import AudioCodec
from ..pipelines.sound_codec import decode_sound, encode_sound
from ..shapes import SOUND_SAMPLE_RATE
from ..toybox import sample_scene, sound
from .report import write_report
from .sound_metrics import si_sdr, spectral_distance

SEED = 7_400_000  # far from every training seed
RATE = SOUND_SAMPLE_RATE
WINDOWS = (2048, 1024, 512, 256)
QUIETEST = 1e-3  # rms below which a scene counts as silent and is left out
CHUNKED_SECONDS, CHUNK_SECONDS = 12.0, 2.0
OnClip = Callable[[str, int, int], None]


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    clips: int = 100,
    seconds: float = 4.0,
    chunked: int = 4,
    on_clip: OnClip | None = None,
) -> dict[str, Any]:
    """Measures the shipped codec of `model`; writes codec.json and codec.md.

    clips: how many sounds, half of them of unseen combinations. chunked: sounds for chunks against whole.
    ConfigError for no clips.
    """
    if clips < 1:
        raise ConfigError(f"{clips} sounds were asked for; at least 1 is needed")
    codec = loading.load(weights.path(f"{model}/audio_codec"), dtype=torch.float32, network="audio_codec")
    assert isinstance(codec, AudioCodec)
    tell = on_clip or (lambda what, done, count: None)
    report = {"model": model, "clips": clips, "seconds": seconds, **measure(codec, clips, seconds, tell)}
    report["stereo SI-SDR (dB)"] = stereo(codec, min(clips, 10), seconds)
    report["chunked against whole (dB)"] = min(
        (chunked_snr(codec, number) for number in range(chunked)), default=float("nan")
    )
    write_report(output, "codec", report, as_markdown(report))
    return report


def measure(codec: AudioCodec, clips: int, seconds: float, tell: OnClip) -> dict[str, Any]:
    """Figures of mono sounds, through the codec and as the low band."""
    rows: dict[str, list[tuple[float, float, float]]] = {"codec": [], "low band": []}
    for number in range(clips):
        real = real_sound(number, seconds)
        for name, made in (("codec", through(codec, real)), ("low band", low_band(codec, real))):
            rows[name].append((si_sdr(made, real), *spectral_distance(made, real, WINDOWS)))
        tell("codec", number + 1, clips)
    report = {}
    for name, found in rows.items():
        figures = torch.tensor(found, dtype=torch.float64)
        report[name] = {
            "SI-SDR (dB)": figures[:, 0].mean().item(),
            "SI-SDR, worst (dB)": figures[:, 0].min().item(),
            "spectral convergence": figures[:, 1].mean().item(),
            "log magnitude (dB)": figures[:, 2].mean().item(),
        }
    return report


def real_sound(number: int, seconds: float, channels: int = 1) -> Tensor:
    """Toybox sound [1, channels, N] of an unseen seed, every second one of a held-out combination; never silent.

    ConfigError where none of this length is found.
    """
    split = ("test", "heldout")[number % 2]
    for attempt in range(100):
        scene = sample_scene(SEED + 1000 * attempt + number, split=split, duration_seconds=seconds)
        found = torch.from_numpy(sound(scene, seconds=seconds, channels=channels)).unsqueeze(0)
        if found.square().mean().sqrt() > QUIETEST:
            return found
    raise ConfigError(f"no sound was found for scene {number}; give another length than {seconds} s")


def through(codec: AudioCodec, real: Tensor) -> Tensor:
    """Sound [1, S, N] encoded and decoded."""
    return decode_sound(codec, encode_sound(codec, real), real.shape[2], channels=real.shape[1])


def low_band(codec: AudioCodec, real: Tensor) -> Tensor:
    """The sound without what lies above half the codec's numbers a second."""
    highest = codec.config.latent_channels * codec.config.latent_rate / 2
    spectrum = torch.fft.rfft(real)
    spectrum[..., torch.fft.rfftfreq(real.shape[-1], 1 / RATE) > highest] = 0
    return torch.fft.irfft(spectrum, real.shape[-1])


def stereo(codec: AudioCodec, clips: int, seconds: float) -> float:
    """Mean SI-SDR in dB of stereo sounds as mid and side, both channels together."""
    found = []
    for number in range(clips):
        real = real_sound(number, seconds, channels=2)
        found.append(si_sdr(through(codec, real), real))
    return sum(found) / len(found)


def chunked_snr(codec: AudioCodec, number: int) -> float:
    """Signal to error ratio in dB between a sound encoded and decoded in chunks and at once."""
    real = real_sound(number, CHUNKED_SECONDS)
    whole = decode_sound(codec, encode_sound(codec, real, chunk_seconds=60), real.shape[2], chunk_seconds=60)
    latent = encode_sound(codec, real, chunk_seconds=CHUNK_SECONDS)
    pieces = decode_sound(codec, latent, real.shape[2], chunk_seconds=CHUNK_SECONDS)
    error = (pieces - whole).double().square().sum().clamp_min(1e-30)
    return float(10 * torch.log10(whole.double().square().sum() / error))


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    lines = ["| held-out toybox sound | codec | low band |", "|---|---|---|"]
    for name in report["codec"]:
        cells = (f"{report[source][name]:.3f}" for source in ("codec", "low band"))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name in ("stereo SI-SDR (dB)", "chunked against whole (dB)"):
        lines.append(f"| {name} | {report[name]:.1f} | |")
    return "\n".join([*lines, ""])
