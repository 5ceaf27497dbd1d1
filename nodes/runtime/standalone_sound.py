"""Sound without ComfyUI: the core's own sampling on handles.

Shape letters: B batch, C latent channels, L sound frames.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from moviegen_core import devices
from moviegen_core.conditioning.sound import FrameEncoders, SoundConditioning
from moviegen_core.errors import BackendError
from moviegen_core.models.audio_codec.model import AudioCodec
from moviegen_core.models.audio_dit.model import AudioDiT
from moviegen_core.pipelines.sound import long_sound
from moviegen_core.pipelines.sound_scoring import Scorer

from .. import preview, sound_convert
from ..sound_convert import FRAMES
from ..sound_windows import NO_CODEC, NO_SOUND, Plan, Windows
from .sound_eyes import read_encoders
from .standalone_progress import Progress


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
        raise BackendError(NO_CODEC)
    return network


def encode_caption(clip: Any, caption: str) -> list[Any]:
    """Caption of a sound in the paper's template -> CONDITIONING; "" is the null condition."""
    width = max(encoder.dim for encoder in clip.encoders.values())
    return [[sound_convert.encode_caption(clip.encoders.get(sound_convert.READ), [caption], width).cpu(), {}]]


def windows_of(model: Any) -> Windows:
    """The long form of a MODEL: the one it was given, else what its file recommends, else the paper's."""
    return model.windows or Windows.recommended(model.sampling)


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
    _check_model(model)
    windows = windows_of(model)
    plan = Plan.of(latent, model.network.config.latent_channels, windows, candidates, scorer)
    part, whole = plan.part, plan.samples.shape[2]
    progress = Progress(steps * plan.runs())
    asked = _conditioning(model, positive, whole).window(part.start, part.stop)
    against = None if negative is None else _conditioning(model, negative, whole).window(part.start, part.stop)
    made = plan.samples.clone().float()
    for item in range(len(made)):
        if not plan.wanted[item]:
            continue
        known, given, done = plan.kept[item, part], asked, steps * plan.runs(item)
        if bool(known.any()):
            context = made[item : item + 1, :, part].to(model.placement.device)
            given = asked.with_context(context, known[None].to(context.device))
        grown = long_sound(
            model.network,
            given,
            part.stop - part.start,
            method=windows.method,
            window_seconds=windows.window_seconds,
            context_seconds=windows.context_seconds,
            beams=windows.beams,
            seed=plan.seed(seed, item),
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
        plan.put(made, item, grown)
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
