"""The networks that make sound: found under a shipped name or in a folder, and loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from .. import weights
from ..conditioning.sound import Encodes, FrameEncoders
from ..devices import Placement
from ..errors import CheckpointError, ConfigError
from ..models import loading
from ..models.audio_codec.checkpoint import folded
from ..models.audio_codec.model import AudioCodec
from ..models.audio_dit.model import AudioDiT
from ..models.sound_match.model import SoundMatch
from ..models.text import load_text_encoder
from ..models.text.model import TextEncoder
from ..models.vision.checkpoint import load_vision_tower
from ..ops.attention import Attend, resolve
from .parts import find_parts, recommended

MODEL, CODEC, VISION, MATCH = "audio", "audio_codec", "metaclip_vision", "sound_match"
TEXT_ENCODERS = ("t5", "ul2")  # the paper's is T5-base; the nano model reads the video model's nano encoder
PARTS = (MODEL, CODEC, VISION, MATCH, *TEXT_ENCODERS)


@dataclass(frozen=True, eq=False, kw_only=True)
class SoundParts:
    """What sound is made with; without `eyes` from words alone, without `match` nothing ranks candidates."""

    codec: AudioCodec
    model: AudioDiT
    words: Encodes
    eyes: FrameEncoders | None = None
    match: SoundMatch | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)  # what the model's file recommends


def find_sound_parts(source: str | os.PathLike[str]) -> dict[str, Path]:
    """Paths by name of the sound parts of "nano" or of a folder; CheckpointError where they cannot make sound."""
    files = find_parts(source, PARTS)
    missing = [part for part in (MODEL, CODEC) if part not in files]
    if not any(name in files for name in TEXT_ENCODERS):
        missing.append(f"one of {', '.join(TEXT_ENCODERS)}")
    if missing:
        raise CheckpointError(
            f"{os.fspath(source)} has no weights for sound: it lacks {' and '.join(missing)}; add them or use nano"
        )
    return files


def has_sound(source: str | os.PathLike[str]) -> bool:
    """Whether `find_sound_parts` finds what the sound of a film needs: something that sees the pictures, too."""
    try:
        files = find_sound_parts(source)
    except CheckpointError:
        return False
    return VISION in files or MATCH in files


def load_codec(source: str | os.PathLike[str] = "nano", *, device: torch.device | str = "cpu") -> AudioCodec:
    """The sound codec of "nano", of a model folder, or in a file or folder of its own.

    In fp32, since less is heard as noise, and with its weight norm folded.
    """
    name = f"{os.fspath(source)}/{CODEC}"
    file = weights.path(name) if name in weights.shipped() else weights.resolve(source)
    inside = file / f"{CODEC}.safetensors"
    file = inside if inside.is_file() else file
    return folded(cast(AudioCodec, loading.load(file, device=device, dtype=torch.float32, network="audio_codec")))


def load_sound_parts(
    source: str | os.PathLike[str], placement: Placement, *, home: torch.device | None = None,
    attend: str | Attend = "auto", words: Encodes | None = None,
) -> SoundParts:  # fmt: skip
    """Load the parts of "nano" or of a folder; `words` is used instead of the text encoder where it is given.

    Transformer, text encoder and vision tower take the placement's dtype, codec and match fp32. Networks wait on
    `home`, by default where they work. CheckpointError for parts that do not fit together.
    """
    files = find_sound_parts(source)
    home = placement.device if home is None else home
    place: dict[str, Any] = {"device": home, "dtype": placement.dtype}
    model = loading.load(
        files[MODEL], **place, attend=resolve(attend, placement.device, placement.dtype), network="audio_dit"
    )
    match = None
    if MATCH in files:
        match = loading.load(files[MATCH], device=home, dtype=torch.float32, network="sound_match")
    vision = load_vision_tower(files[VISION], **place)[0] if VISION in files else None
    if words is None:
        name = next(name for name in TEXT_ENCODERS if name in files)
        words = load_text_encoder("ul2", files[name], **place)
    model = cast(AudioDiT, model)
    if isinstance(words, TextEncoder) and words.dim != model.config.text_dim:
        raise CheckpointError(
            f"the text encoder gives {words.dim} features a token, the sound model reads {model.config.text_dim}; give "
            "the encoder that it was trained with, as t5"
        )
    eyes = _eyes(vision, cast("SoundMatch | None", match), model.config.frame_dim)
    codec = load_codec(files[CODEC], device=home)
    if codec.config.latent_channels != model.config.latent_channels:
        raise CheckpointError(
            f"the codec has {codec.config.latent_channels} latent channels, the sound model "
            f"{model.config.latent_channels}; give the codec that it was trained with"
        )
    return SoundParts(
        codec=codec, model=model, words=words, eyes=eyes, match=cast("SoundMatch | None", match),
        sampling=recommended(files[MODEL]),
    )  # fmt: skip


def _eyes(vision: Any, match: SoundMatch | None, frame_dim: int) -> FrameEncoders | None:
    """The encoders whose features are as wide as what the model reads; None where no encoder was found."""
    if vision is None and match is None:
        return None
    for tower, motion in ((vision, match), (vision, None), (None, match)):
        if tower is not None or motion is not None:
            eyes = FrameEncoders.reading(tower, motion)
            if eyes.dim == frame_dim:
                return eyes
    raise ConfigError(
        f"the sound model reads {frame_dim} features a frame, which {VISION} and {MATCH} do not give; use those that "
        "it was trained with"
    )
