"""Sockets inside ComfyUI: native MODEL, CLIP and VAE, its folders, progress bar and cancel button."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from moviegen_core.errors import BackendError, ShapeError
from moviegen_core.flow import times
from moviegen_core.pipelines.decode import decode_video, encode_video
from moviegen_core.pipelines.sample import MAX_STEPS, tell_size
from moviegen_core.shapes import LatentShape, decoded_frames

from .. import convert, preview
from . import files
from .comfy_audio_model import load_audio_model  # noqa: F401 - part of this side of the seam
from .comfy_model import load_model  # noqa: F401
from .comfy_sampling import Progress, along_the_flow, check_flow, is_ours, null_condition
from .comfy_sound import (  # noqa: F401
    frame_encoders,
    load_frame_encoders,
    sample_sound,
    set_windows,
    sound_codec,
    windows_of,
    words_width,
)
from .comfy_sound_vae import load_sound_vae  # noqa: F401
from .comfy_text import load_clip  # noqa: F401
from .comfy_vae import MovieGenVAE, load_vae  # noqa: F401
from .comfy_weights import SAMPLING_KEY
from .streams import STREAM_FRAMES, decode_in_windows, moved_windows

FOLDERS = {
    "video": "diffusion_models",
    "tae": "vae",
    "audio": "diffusion_models",
    "audio_codec": "vae",
    "metaclip_vision": "clip_vision",
    "sound_match": "audio_encoders",
}  # text encoders have one folder for all roles


def choices(part: str) -> list[str]:
    """What a loader offers for "video", "tae", "ul2", "metaclip" or "byt5"."""
    return files.shipped(part) + files.usable(folder_paths.get_filename_list(FOLDERS.get(part, "text_encoders")))


def locate(part: str, choice: str) -> Path:
    """Choice of a loader -> file or folder."""
    folder = FOLDERS.get(part, "text_encoders")
    return files.locate(part, choice, lambda name: folder_paths.get_full_path_or_raise(folder, name))


def encode_caption(clip: Any, caption: str) -> list[Any]:
    """Caption of a sound in the paper's template -> CONDITIONING; "" is the null condition."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(caption, sound=True))


def encode_text(clip: Any, text: str, fps: float, show_text: str | None) -> list[Any]:
    """Prompt -> CONDITIONING."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text, fps=fps, show_text=show_text))


def sample(
    model: Any, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], *,
    seed: int, steps: int, guidance_scale: float, schedule: str, solver: str, temperature: float, denoise: float,
) -> Tensor:  # fmt: skip
    """Sample a clip of the LATENT's size, and of what it shows, with any flow MODEL -> samples [B, C, T, h, w]."""
    points = times.schedule(schedule, convert.whole_steps(steps, denoise, MAX_STEPS))[-(steps + 1) :]
    check_flow(model)
    if model.get_model_object("latent_format").latent_dimensions == 1:
        raise BackendError(convert.NO_VIDEO)
    convert.refuse_nested(latent["samples"])
    # ComfyUI 0.19 fits the empty latents of other models in space alone.
    known = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    ratios = {name: latent[name] for name in convert.EMPTY_RATIOS if name in latent and name in known}
    start = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)
    if is_ours(model):
        convert.check_clip_latent(start)
        tell_size(model.get_attachment(SAMPLING_KEY) or {}, LatentShape(*start.shape))
    noise = comfy.sample.prepare_noise(start, seed, latent.get("batch_index")) * temperature
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, null_condition(model, positive) if negative is None else negative)
    guider.set_cfg(guidance_scale)
    progress, picture = Progress(steps), previewer(model)
    samples = guider.sample(
        noise,
        start,
        comfy.samplers.KSAMPLER(along_the_flow(solver)),
        convert.sigmas(points),
        denoise_mask=latent.get("noise_mask"),
        callback=lambda step, estimate, current, total: progress(step + 1, picture(estimate)),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return samples.to(comfy.model_management.intermediate_device())


def previewer(model: Any) -> Callable[[Tensor], Any]:
    """What makes pictures of a video MODEL's latents in its own colours, or None where none are known."""
    shape = model.get_model_object("latent_format")
    factors, bias = shape.latent_rgb_factors, shape.latent_rgb_factors_bias or (0.0, 0.0, 0.0)
    if factors is None:
        return lambda estimate: None
    if is_ours(model):
        return preview.picture
    fit = shape.latent_rgb_factors_reshape or (lambda estimate: estimate)
    return lambda estimate: preview.picture(fit(estimate), factors, bias)


def decode(vae: Any, samples: Tensor, num_frames: int, window: int, overlap: int) -> Iterator[Tensor]:
    """Samples [B, C, T, h, w] -> pixel windows [B, 3, t, H, W] in [-1, 1], streamed."""
    if not isinstance(vae, MovieGenVAE):
        raise BackendError(convert.NO_TAE.format(verb="Decode"))
    convert.check_clip_latent(samples)
    memory = vae.memory_of_windows(vae.memory_used_decode, samples.shape, window, decoded_frames(samples.shape[2]))
    on_device = vae.bring(memory, samples)
    yield from decode_video(vae.network, on_device, num_frames, window_frames=window, overlap_frames=overlap)


def stream_frames(vae: Any, samples: Tensor, num_frames: int | None) -> tuple[int, Iterator[Tensor]]:
    """Frames of all clips, and them in windows [1, 3, t, H, W] in [-1, 1] that hold few at once; any picture VAE."""
    convert.refuse_nested(samples)
    if getattr(vae, "latent_dim", 2) == 1:
        raise BackendError("this VAE decodes sound; connect that of the video model, or decode with Sound Decode")
    if samples.ndim not in (4, 5):
        raise ShapeError(
            f"a latent of shape {tuple(samples.shape)} is no clip or picture; connect that of a video model"
        )
    channels = getattr(vae, "latent_channels", samples.shape[1])
    if samples.shape[1] != channels:
        raise ShapeError(
            f"this latent has {samples.shape[1]} channels, the VAE reads {channels}; connect the VAE of the model that "
            "made the latent"
        )
    clips = samples.split(1)
    if isinstance(vae, MovieGenVAE):
        count = num_frames or decoded_frames(convert.check_clip_latent(samples).shape[2])
        streams = (decode(vae, clip, count, *STREAM_FRAMES) for clip in clips)
    else:
        ratio = vae.upscale_ratio
        length = ratio[0] if samples.ndim == 5 and isinstance(ratio, tuple) and callable(ratio[0]) else lambda count: 1
        count = length(samples.shape[2]) if samples.ndim == 5 else 1
        streams = (decode_in_windows(lambda part: _pixels(vae, part), clip, length) for clip in clips)
    return count * len(clips), chain.from_iterable(streams)


def _pixels(vae: Any, samples: Tensor) -> Tensor:
    """Samples [1, C, T, h, w] or [1, C, h, w] -> pixels [1, 3, t, H, W], decoded at once by ComfyUI's own means."""
    return convert.pixels(vae.decode(samples).flatten(0, -4)).unsqueeze(0)


def encode(vae: Any, pixels: Tensor, window: int) -> Tensor:
    """Pixels [1, 3, T, H, W] in [-1, 1] -> samples [1, C, ceil(T / 8), H / 8, W / 8]."""
    if not isinstance(vae, MovieGenVAE):
        raise BackendError(convert.NO_TAE.format(verb="Encode"))
    memory = vae.memory_of_windows(vae.memory_used_encode, pixels.shape, window, pixels.shape[2])
    progress = Progress(pixels.shape[2])
    windows = moved_windows(pixels, window, lambda piece: vae.bring(memory, piece), progress)
    samples = encode_video(vae.network, windows, window_frames=window)
    progress(pixels.shape[2])
    return samples.to(vae.output_device, torch.float32)


def temporary_file(ending: str) -> Path:
    """A new name in ComfyUI's temporary folder, which is emptied when it starts."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"moviegen_{uuid.uuid4().hex}{ending}"
