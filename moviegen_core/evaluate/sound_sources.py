"""Sounds to measure that networks make: toybox sound through the codec, and sound generated for a scene."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from .. import weights
from ..conditioning.sound import (
    NANO_APPEARANCE_RATE,
    Encodes,
    FrameEncoders,
    SoundConditioning,
    encode_captions,
    frame_features,
    sound_caption,
)
from ..models import loading
from ..models.audio_dit.model import AudioDiT
from ..models.sound_match.model import SoundMatch
from ..models.text import load_text_encoder
from ..models.vision.checkpoint import load_vision_tower
from ..pipelines.sound import long_sound
from ..shapes import sound_latent_frames
from ..toybox import Scene, render, sound, sound_captions
from .sound import RATE, Make

CLIP_FPS, CLIP_SIZE = 16, 64  # of the pictures that a sound is made for
PICTURE_FRAMES = 64  # rendered at a time


class Codec(Protocol):
    """What is needed of a sound codec here."""

    def encode(self, waveform: Tensor) -> Tensor: ...

    def decode(self, latent: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts:
    """Everything that turns a scene's pictures and caption into sound."""

    codec: Codec
    model: AudioDiT
    words: Encodes
    eyes: FrameEncoders
    sampling: Mapping[str, Any] = field(default_factory=dict)  # arguments of long_sound


def load_codec(model: str) -> Codec:
    """The shipped codec of `model` ("nano"), in fp32 on the CPU."""
    return cast(Codec, _load(f"{model}/audio_codec", "audio_codec"))


def load_parts(model: str) -> Parts:
    """The shipped parts of `model` ("nano"), in fp32 on the CPU, with the sampling that its checkpoint recommends."""
    vision, _ = load_vision_tower(weights.path(f"{model}/metaclip_vision"))
    match = cast(SoundMatch, _load(f"{model}/sound_match", "sound_match"))
    return Parts(
        codec=load_codec(model),
        model=cast(AudioDiT, _load(f"{model}/audio", "audio_dit")),
        words=load_text_encoder("ul2", weights.path(f"{model}/ul2"), device="cpu", dtype=torch.float32),
        eyes=FrameEncoders(vision=vision, motion=match, appearance_rate=NANO_APPEARANCE_RATE),
        sampling=weights.shipped()[f"{model}/audio"].sampling,
    )


def through_codec(codec: Codec) -> Make:
    """Mono toybox sound, encoded and decoded: the ceiling of every generated sound."""

    @torch.inference_mode()
    def make(scene: Scene, seconds: float, music: bool | str, seed: int) -> Tensor:
        real = torch.from_numpy(sound(scene, seconds=seconds, music=music, channels=1))
        latent = codec.encode(real.unsqueeze(0))
        return codec.decode(latent)[0, :, : real.shape[1]]

    return make


def generated(parts: Parts) -> Make:
    """Mono sound made for a scene from its pictures and its caption."""

    @torch.inference_mode()
    def make(scene: Scene, seconds: float, music: bool | str, seed: int) -> Tensor:
        samples = round(seconds * RATE)
        num_latents = sound_latent_frames(samples)
        said = sound_captions(scene, seed, music=music)
        caption = sound_caption(
            said.description, quality=said.quality, music=said.music, music_description=said.music_description
        )
        text = encode_captions(parts.words, caption)
        frames = frame_features(parts.eyes, _pictures(scene, seconds), num_latents, fps=CLIP_FPS)
        conditioning = SoundConditioning(text=text.text, text_mask=text.text_mask, frames=frames[None])
        latent = long_sound(parts.model, conditioning, num_latents, seed=seed, **parts.sampling)
        return parts.codec.decode(latent)[0, :, :samples]

    return make


def _load(name: str, network: str) -> torch.nn.Module:
    return loading.load(weights.path(name), device="cpu", dtype=torch.float32, network=network)


def _pictures(scene: Scene, seconds: float) -> Iterator[Tensor]:
    """Windows [3, t, H, W] in [-1, 1] of the scene."""
    total = max(1, round(seconds * CLIP_FPS))
    for start, stop in itertools.pairwise([*range(0, total, PICTURE_FRAMES), total]):
        frames = render(
            scene, num_frames=stop - start, fps=CLIP_FPS, height=CLIP_SIZE, width=CLIP_SIZE,
            start_seconds=start / CLIP_FPS,
        )  # fmt: skip
        yield torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
