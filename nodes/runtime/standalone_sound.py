"""Sound without ComfyUI: the core's own sampling on handles.

Shape letters: B batch, C latent channels, L sound frames.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moviegen_core import devices
from moviegen_core.conditioning.sound import FrameEncoders, SoundConditioning
from moviegen_core.errors import BackendError
from moviegen_core.models.audio_codec.model import AudioCodec
from moviegen_core.models.audio_dit.model import AudioDiT
from moviegen_core.pipelines.sound import check_method, long_sound, to_make, window_runs
from moviegen_core.pipelines.sound_scoring import Scorer

from .. import preview, sound_convert
from ..sound_convert import FRAMES
from ..sound_windows import CONTEXT_KEY, NO_SOUND, Windows, check_sound_latent, kept_frames, recommended, span
from .sound_eyes import read_encoders


def load_frame_encoders(paths: dict[str, Path]) -> FrameEncoders:
    """Files of "metaclip_vision" and "sound_match" -> frame encoders."""
    return read_encoders(paths, devices.choose().device)


def frame_encoders(eyes: FrameEncoders) -> FrameEncoders:
    """What looks at frames, ready to work."""
    return eyes


def sound_codec(vae: Any, num_latents: int) -> AudioCodec:
    """The codec inside of a VAE, ready to work on so many sound frames."""
    network = getattr(vae, "network", None)
    if not isinstance(network, AudioCodec):
        raise BackendError("this VAE is no Movie Gen sound codec; connect Load DAC-VAE (Movie Gen)")
    return network


def encode_caption(clip: Any, caption: str) -> list[Any]:
    """Caption of a sound in the paper's template -> CONDITIONING; "" is the null condition."""
    width = max(encoder.dim for encoder in clip.encoders.values())
    return [[sound_convert.encode_caption(clip.encoders.get(sound_convert.READ), [caption], width).cpu(), {}]]


def windows_of(model: Any) -> Windows:
    """The long form of a MODEL: the one it was given, else what its file recommends, else the paper's."""
    return model.windows or recommended(model.sampling)


def set_windows(model: Any, windows: Windows) -> Any:
    """MODEL with another long form."""
    _check_model(model)
    return replace(model, windows=windows)


def words_width(model: Any) -> int:
    """Width of the words that a sound MODEL reads; BackendError for one whose sounds cannot be ranked."""
    _check_model(model)
    return int(model.network.config.text_dim)


def sample_sound(
    model: Any, positive: list[Any], negative: list[Any] | None, latent: dict[str, Any], *,
    seed: int, steps: int, guidance_scale: float, picture_guidance: float, solver: str, temperature: float,
    candidates: int, scorer: Scorer | None,
) -> Tensor:  # fmt: skip
    """Fill the unknown part of a LATENT -> samples [B, C, L] on the CPU; each item in windows of its own."""
    from .standalone import Progress

    _check_model(model)
    config, windows = model.network.config, windows_of(model)
    samples, kept = check_sound_latent(latent, config.latent_channels), kept_frames(latent)
    part = span(kept, float(latent.get(CONTEXT_KEY, windows.context_seconds)))
    length = part.stop - part.start
    branches = max(candidates, windows.beams)
    check_method(windows.method, branches)
    runs, counts = 1, [1] * len(samples)
    if windows.method == "extend":
        slices = windows.slices(length)
        runs = window_runs(slices, branches, windows.beams)
        counts = [window_runs(to_make(slices, known), branches, windows.beams) for known in kept[:, part]]
    progress = Progress(steps * sum(counts))
    whole = samples.shape[2]
    asked = _conditioning(model, positive, whole).window(part.start, part.stop)
    against = None if negative is None else _conditioning(model, negative, whole).window(part.start, part.stop)
    made = samples.clone().float()
    for item in range(len(samples)):
        known = kept[item, part]
        given = asked
        if bool(known.any()):
            context = made[item : item + 1, :, part].to(model.placement.device)
            given = asked.with_context(context, known[None].to(context.device))
        done = steps * sum(counts[:item])
        grown = long_sound(
            model.network,
            given,
            length,
            method=windows.method,
            window_seconds=windows.window_seconds,
            context_seconds=windows.context_seconds,
            beams=windows.beams,
            seed=seed + item * runs,
            negative=against,
            steps=steps,
            guidance_scale=guidance_scale,
            picture_guidance=picture_guidance,
            solver=solver,
            temperature=temperature,
            candidates=candidates,
            scorer=scorer,
            on_step=lambda step, steps, estimate, done=done: progress(done + step, preview.sound_picture(estimate)),
        )
        made[item, :, part] = torch.where(known, made[item, :, part], grown[0].float().cpu())
    return made


def _check_model(model: Any) -> None:
    """BackendError for a MODEL that makes no sound."""
    if not isinstance(model.network, AudioDiT):
        raise BackendError(NO_SOUND)


def _conditioning(model: Any, value: list[Any], length: int) -> SoundConditioning:
    """CONDITIONING -> conditions of a sound of `length` frames, on the model's device."""
    packed, values = value[0]
    config = model.network.config
    sound_convert.check_text(packed, config.text_dim)
    frames = values.get(FRAMES)
    if frames is not None:
        sound_convert.check_frames(frames, config.frame_dim, length)
    given = sound_convert.conditioning(packed, frames, None, 1, config.text_dim)
    return given.to(model.placement.device, model.placement.dtype)
