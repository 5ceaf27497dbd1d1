"""Sockets inside ComfyUI: native MODEL, CLIP and VAE, its folders, progress bar and cancel button."""

from __future__ import annotations

import inspect
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from comfy_execution.utils import get_executing_context
from torch import Tensor

from moviegen_core.errors import BackendError, ShapeError
from moviegen_core.flow import solver as solvers
from moviegen_core.flow import times
from moviegen_core.pipelines.decode import decode_video, encode_video
from moviegen_core.shapes import decoded_frames

from .. import convert, preview
from . import files
from .streams import STREAM_FRAMES, decode_in_windows, moved_windows

FOLDERS = {
    "video": "diffusion_models",
    "tae": "vae",
    "audio": "diffusion_models",
    "audio_codec": "vae",
    "metaclip_vision": "clip_vision",
    "sound_match": "audio_encoders",
}  # text encoders have one folder for all roles
ZEROED = ("pooled_output", "conditioning_lyrics", "conditioning_scale")  # beside the text, as core's Zero Out does
PREVIEW_PIXELS = 512
TELL_EVERY = 0.5  # s between two texts below a node


def choices(part: str) -> list[str]:
    """What a loader offers for "video", "tae", "ul2", "metaclip" or "byt5"."""
    return files.shipped(part) + files.usable(folder_paths.get_filename_list(FOLDERS.get(part, "text_encoders")))


def locate(part: str, choice: str) -> Path:
    """Choice of a loader -> file or folder."""
    folder = FOLDERS.get(part, "text_encoders")
    return files.locate(part, choice, lambda name: folder_paths.get_full_path_or_raise(folder, name))


def load_model(path: Path, dtype: str) -> Any:
    """Video transformer -> MODEL."""
    from .comfy_model import load_model

    return load_model(path, dtype)


def load_vae(path: Path, dtype: str) -> Any:
    """Temporal autoencoder -> VAE."""
    from .comfy_vae import load_vae

    return load_vae(path, dtype)


def load_sound_vae(path: Path, dtype: str) -> Any:
    """Sound codec -> VAE."""
    from .comfy_sound_vae import load_sound_vae

    return load_sound_vae(path, dtype)


def load_audio_model(path: Path, dtype: str) -> Any:
    """Sound transformer -> MODEL."""
    from .comfy_audio_model import load_audio_model

    return load_audio_model(path, dtype)


def load_frame_encoders(paths: dict[str, Path]) -> Any:
    """Files of "metaclip_vision" and "sound_match" -> frame encoders."""
    from .comfy_sound import load_frame_encoders

    return load_frame_encoders(paths)


def frame_encoders(eyes: Any) -> Any:
    """What looks at frames, ready to work."""
    from .comfy_sound import frame_encoders

    return frame_encoders(eyes)


def sound_codec(vae: Any, num_latents: int) -> Any:
    """The codec inside of a VAE, ready to work on so many sound frames."""
    from .comfy_sound import sound_codec

    return sound_codec(vae, num_latents)


def encode_caption(clip: Any, caption: str) -> list[Any]:
    """Caption of a sound in the paper's template -> CONDITIONING; "" is the null condition."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(caption, sound=True))


def windows_of(model: Any) -> Any:
    """The long form of a MODEL."""
    from .comfy_sound import windows_of

    return windows_of(model)


def set_windows(model: Any, windows: Any) -> Any:
    """MODEL with another long form."""
    from .comfy_sound import set_windows

    return set_windows(model, windows)


def words_width(model: Any) -> int:
    """Width of the words that a sound MODEL reads; BackendError for one whose sounds cannot be ranked."""
    from .comfy_sound import words_width

    return words_width(model)


def sample_sound(
    model: Any, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], **how: Any
) -> Any:
    """Fill the unknown part of a LATENT -> samples [B, C, L]."""
    from .comfy_sound import sample_sound

    return sample_sound(model, positive, negative, latent, **how)


def load_clip(paths: dict[str, Path]) -> Any:
    """Text encoder files by role -> CLIP."""
    from .comfy_text import load_clip

    return load_clip(paths)


def encode_text(clip: Any, text: str, fps: float, show_text: str | None) -> list[Any]:
    """Prompt -> CONDITIONING."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text, fps=fps, show_text=show_text))


def sample(
    model: Any, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], *,
    seed: int, steps: int, guidance_scale: float, schedule: str, solver: str, temperature: float,
) -> Tensor:  # fmt: skip
    """Sample a clip of the LATENT's size with any flow MODEL -> samples [B, C, T, h, w]."""
    check_flow(model)
    if model.get_model_object("latent_format").latent_dimensions == 1:
        raise BackendError(convert.NO_VIDEO)
    # ComfyUI 0.19 fits the empty latents of other models in space alone.
    known = inspect.signature(comfy.sample.fix_empty_latent_channels).parameters
    ratios = {name: latent[name] for name in convert.EMPTY_RATIOS if name in latent and name in known}
    start = comfy.sample.fix_empty_latent_channels(model, latent["samples"], **ratios)
    noise = comfy.sample.prepare_noise(start, seed, latent.get("batch_index")) * temperature
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, null_condition(model, positive) if negative is None else negative)
    guider.set_cfg(guidance_scale)
    progress, picture = Progress(steps), previewer(model)
    samples = guider.sample(
        noise,
        start,
        comfy.samplers.KSAMPLER(along_the_flow(solver)),
        convert.sigmas(times.schedule(schedule, steps)),
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


def check_flow(model: Any) -> None:
    """BackendError for a MODEL that does not go straight from noise to data."""
    if not isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST):
        raise BackendError(
            "this MODEL does not go straight from noise to data, as our schedule and solver need it; connect a "
            "flow-matching model, or sample it with KSampler"
        )


def is_ours(model: Any) -> bool:
    """Whether a MODEL is a transformer of Movie Gen."""
    from .comfy_audio_model import MovieGenSound
    from .comfy_model import MovieGenVideo

    return isinstance(model.model, (MovieGenVideo, MovieGenSound))


def null_condition(model: Any, positive: list[Any]) -> list[Any]:
    """What guidance leads away from if nothing is said: no token for our models, zeroed words for all others.

    Others may need what else `positive` holds, such as reference pictures.
    """
    if is_ours(model):
        return [[torch.zeros_like(positive[0][0])[:, :1], {}]]
    null = []
    for text, values in positive:
        zeros = {key: torch.zeros_like(values[key]) for key in ZEROED if values.get(key) is not None}
        null.append([torch.zeros_like(text), {**values, **zeros}])
    return null


def along_the_flow(solver: str) -> Callable[..., Tensor]:
    """Our solver as a k-diffusion sampler function."""

    def run(
        model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, callback: Any = None, **unused: Any
    ) -> Tensor:
        def velocity(sample: Tensor, time: Tensor) -> Tensor:
            sigma = convert.sigmas(time)
            denoised = model(sample, sigma, **(extra_args or {}))
            return (denoised - sample) / sigma.reshape(-1, *[1] * (sample.ndim - 1))

        def on_step(step: int, steps: int, estimate: Tensor) -> None:
            if callback is not None:
                callback({"i": step - 1, "denoised": estimate, "x": x, "sigma": sigmas[step - 1]})

        return solvers.integrate(velocity, x, convert.times(sigmas), solver, on_step)

    return run


def decode(vae: Any, samples: Tensor, num_frames: int, window: int, overlap: int) -> Iterator[Tensor]:
    """Samples [B, C, T, h, w] -> pixel windows [B, 3, t, H, W] in [-1, 1], streamed."""
    from .comfy_vae import MovieGenVAE

    if not isinstance(vae, MovieGenVAE):
        raise BackendError(convert.NO_TAE.format(verb="Decode"))
    convert.check_clip_latent(samples)
    memory = vae.memory_of_windows(vae.memory_used_decode, samples.shape, window, decoded_frames(samples.shape[2]))
    on_device = vae.bring(memory, samples)
    yield from decode_video(vae.network, on_device, num_frames, window_frames=window, overlap_frames=overlap)


def stream_frames(vae: Any, samples: Tensor, num_frames: int | None) -> tuple[int, Iterator[Tensor]]:
    """Frames of all clips, and them in windows [1, 3, t, H, W] in [-1, 1] that hold few at once; any picture VAE."""
    from .comfy_vae import MovieGenVAE

    if getattr(samples, "is_nested", False):
        raise ShapeError("this latent holds picture and sound; separate them first, with LTXV Separate AV Latent")
    if samples.ndim not in (4, 5) or getattr(vae, "latent_dim", 2) == 1:
        raise ShapeError(
            f"a latent of shape {tuple(samples.shape)} is no clip or picture; connect those of a video VAE"
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
    images = vae.decode(samples)
    clip = images if images.ndim == 5 else images.unsqueeze(1)
    return clip[..., :3].movedim(-1, 1).mul_(2.0).sub_(1.0)


def encode(vae: Any, pixels: Tensor, window: int) -> Tensor:
    """Pixels [1, 3, T, H, W] in [-1, 1] -> samples [1, C, ceil(T / 8), H / 8, W / 8]."""
    from .comfy_vae import MovieGenVAE

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


class Progress:
    """ComfyUI's progress bar; it raises when the user cancels."""

    def __init__(self, total: int) -> None:
        self.bar, self.total = comfy.utils.ProgressBar(total), total
        self.started = self.told = time.monotonic()

    def __call__(self, value: int, picture: Any = None) -> None:
        """Say that `value` of the total is done; `picture` is a PIL image."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        shown = None if picture is None else ("JPEG", picture, PREVIEW_PIXELS)
        self.bar.update_absolute(value, preview=shown)
        now = time.monotonic()
        if value >= self.total or now - self.told >= TELL_EVERY:
            self.told = now
            _tell(progress_words(value, self.total, now - self.started))


def progress_words(value: float, total: float, seconds: float) -> str:
    """What stands below a node that works: how far it is, and how long it still takes, or took."""
    if value >= total:
        return f"{value:g} of {total:g} in {seconds:.0f} s"
    left = f", {seconds * (total - value) / value:.0f} s left" if value else ""
    return f"{value:g} of {total:g}{left}"


def _tell(text: str) -> None:
    # Absent where nodes run without ComfyUI's server, as in scripts and tests.
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id)
