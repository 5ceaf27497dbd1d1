"""Sockets without ComfyUI: handles that hold a network and where it runs, for moviegen_host and tests."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from comfy_api.latest import InputImpl
from torch import Tensor, nn

from moviegen_core import devices
from moviegen_core.conditioning.text import TextEncoders, encode_prompt
from moviegen_core.errors import BackendError
from moviegen_core.flow import times
from moviegen_core.models import loading
from moviegen_core.models.audio_codec.checkpoint import folded
from moviegen_core.models.tae.model import TAE
from moviegen_core.models.text import TextEncoder, load_text_encoder
from moviegen_core.models.video_dit.model import VideoDiT
from moviegen_core.ops.memory import keep_large_buffers
from moviegen_core.pipelines.decode import decode_video, encode_video
from moviegen_core.pipelines.parts import recommended
from moviegen_core.pipelines.sample import MAX_STEPS, sample_video, tell_size
from moviegen_core.shapes import LatentShape, decoded_frames

from .. import convert, preview
from . import files
from .standalone_progress import Progress
from .standalone_sound import (  # noqa: F401 - part of this side of the seam
    encode_caption,
    frame_encoders,
    load_frame_encoders,
    sample_sound,
    set_windows,
    sound_codec,
    windows_of,
    words_width,
)
from .streams import STREAM_FRAMES, moved_windows

DTYPES = {"auto": "auto", "fp32": "fp32", "bf16": "bf16"}


@dataclass(frozen=True)
class NetworkHandle:
    """MODEL or VAE: a loaded network and its place."""

    network: nn.Module
    placement: devices.Placement
    sampling: Mapping[str, Any] = field(default_factory=dict)  # what a transformer's file recommends
    windows: Any = None  # long form of a sound model, nodes.sound_windows.Windows


@dataclass(frozen=True)
class TextHandle:
    """CLIP: the text encoders by role."""

    encoders: dict[str, TextEncoder]


def choices(part: str) -> list[str]:
    """What a loader offers for "video", "tae", "ul2", "metaclip" or "byt5"."""
    return files.shipped(part)


def locate(part: str, choice: str) -> Path:
    """Choice of a loader, or any path -> file or folder."""
    return files.locate(part, choice, Path)


def load_model(path: Path, dtype: str) -> NetworkHandle:
    """Video transformer -> MODEL."""
    return replace(_load(path, dtype, "video_dit"), sampling=recommended(path))


def load_vae(path: Path, dtype: str) -> NetworkHandle:
    """Temporal autoencoder -> VAE."""
    return _load(path, dtype, "tae")


def load_sound_vae(path: Path, dtype: str) -> NetworkHandle:
    """Sound codec -> VAE."""
    handle = _load(path, dtype, "audio_codec")
    return replace(handle, network=folded(handle.network))


def load_audio_model(path: Path, dtype: str) -> NetworkHandle:
    """Sound transformer -> MODEL."""
    return replace(_load(path, dtype, "audio_dit"), sampling=recommended(path))


def load_clip(paths: dict[str, Path]) -> TextHandle:
    """Text encoder files by role -> CLIP."""
    place = devices.choose()
    return TextHandle(
        {role: load_text_encoder(role, path, device=place.device, dtype=place.dtype) for role, path in paths.items()}
    )


def encode_text(clip: TextHandle, text: str, fps: float, show_text: str | None) -> list[Any]:
    """Prompt -> CONDITIONING."""
    width = max(encoder.dim for encoder in clip.encoders.values())
    conditioning = encode_prompt(TextEncoders(**clip.encoders), text, fps=fps, show_text=show_text)
    return [[convert.pack(conditioning, width).cpu(), {}]]


def sample(
    model: NetworkHandle, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], *,
    seed: int, steps: int, guidance_scale: float, schedule: str, solver: str, temperature: float, denoise: float,
) -> Tensor:  # fmt: skip
    """Sample a clip of the LATENT's size, and of what it shows -> samples [B, C, T, h, w] on the CPU."""
    if not isinstance(model.network, VideoDiT):
        raise BackendError(convert.NO_VIDEO)
    given = convert.check_clip_latent(latent["samples"])
    shape = LatentShape(*given.shape)
    tell_size(model.sampling, shape)
    whole = convert.whole_steps(steps, denoise, MAX_STEPS)
    progress = Progress(steps)
    samples = sample_video(
        model.network,
        _conditioning(model, positive),
        shape,
        seed=seed,
        negative=_conditioning(model, negative) if negative is not None else None,
        steps=whole,
        guidance_scale=guidance_scale,
        schedule=schedule,
        solver=solver,
        temperature=temperature,
        source=given if whole > steps else None,
        source_time=float(times.schedule(schedule, whole)[-(steps + 1)]),
        on_step=lambda step, steps, estimate: progress(step, preview.picture(estimate)),
    )
    return samples.float().cpu()


def decode(vae: NetworkHandle, samples: Tensor, num_frames: int, window: int, overlap: int) -> Iterator[Tensor]:
    """Samples [B, C, T, h, w] -> pixel windows [B, 3, t, H, W], streamed."""
    place = vae.placement
    yield from decode_video(
        _tae(vae, "Decode"),
        convert.check_clip_latent(samples).to(place.device, place.dtype),
        num_frames,
        window_frames=window,
        overlap_frames=overlap,
    )


def stream_frames(vae: NetworkHandle, samples: Tensor, num_frames: int | None) -> tuple[int, Iterator[Tensor]]:
    """Frames of all clips [B, C, T, h, w], and them in windows [1, 3, t, H, W] in [-1, 1] that hold few at once."""
    count = num_frames or decoded_frames(convert.check_clip_latent(samples).shape[2])
    windows = (decode(vae, clip, count, *STREAM_FRAMES) for clip in samples.split(1))
    return count * samples.shape[0], chain.from_iterable(windows)


def encode(vae: NetworkHandle, pixels: Tensor, window: int) -> Tensor:
    """Pixels [1, 3, T, H, W] in [-1, 1] -> samples [1, C, T/8, H/8, W/8]."""
    network, place, progress = _tae(vae, "Encode"), vae.placement, Progress(pixels.shape[2])
    windows = moved_windows(pixels, window, lambda piece: piece.to(place.device, place.dtype), progress)
    samples = encode_video(network, windows, window_frames=window)
    progress(pixels.shape[2])
    return samples.float().cpu()


def _tae(vae: NetworkHandle, verb: str) -> TAE:
    if not isinstance(vae.network, TAE):
        raise BackendError(convert.NO_TAE.format(verb=verb))
    return vae.network


def temporary_file(ending: str) -> Path:
    """A new name in a folder that is removed with this process; the file goes with the last VIDEO that reads it."""
    path = Path(_temporary_folder().name) / f"moviegen_{uuid.uuid4().hex}{ending}"
    return InputImpl.VideoFromFile.temporary(path)


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="moviegen_")


def _load(path: Path, dtype: str, network: str) -> NetworkHandle:
    if dtype not in DTYPES:
        raise BackendError(f"{dtype} weights need ComfyUI; choose one of {', '.join(DTYPES)}")
    place = devices.choose(dtype=DTYPES[dtype])
    if place.device.type == "cpu":
        keep_large_buffers()
    return NetworkHandle(loading.load(path, device=place.device, dtype=place.dtype, network=network), place)


def _conditioning(model: NetworkHandle, value: list[Any]) -> Any:
    packed = value[0][0]
    widths = dict(model.network.config.context_dims)
    convert.check_packed(packed, widths)
    return convert.unpack(packed, widths).to(model.placement.device, model.placement.dtype)
