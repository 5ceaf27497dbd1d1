"""Sounds to measure that networks make: toybox sound through the codec, and sound generated for a scene."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..media.frames import from_uint8
from ..models.audio_codec.model import AudioCodec
from ..pipelines.soundtrack import SoundPipeline
from ..toybox import Scene, render, sound, sound_captions
from .rough import rough
from .sound import Make

CLIP_FPS, CLIP_SIZE = 16, 64  # of the pictures that a sound is made for
PICTURE_FRAMES = 64  # rendered at a time


def through_codec(codec: AudioCodec, roughness: float = 0.0) -> Make:
    """Mono toybox sound, encoded and decoded: the ceiling of every generated sound.

    `roughness` is the deviation of noise on the latents, which have unit variance.
    """

    @torch.inference_mode()
    def make(scene: Scene, seconds: float, music: bool | str, seed: int) -> Tensor:
        real = torch.from_numpy(sound(scene, seconds=seconds, music=music, channels=1))
        return codec.decode(rough(codec.encode(real.unsqueeze(0)), roughness, seed))[0, :, : real.shape[1]]

    return make


def generated(
    pipeline: SoundPipeline, candidates: int | None = None, picture_guidance: float | None = None, *,
    shown: bool = True,
) -> Make:  # fmt: skip
    """Mono sound made for a scene from its pictures, if they are `shown`, and its caption; the best of `candidates`."""

    def make(scene: Scene, seconds: float, music: bool | str, seed: int) -> Tensor:
        said = sound_captions(scene, seed, music=music)
        made = pipeline(
            said.description, music=said.music_description, music_likelihood=said.music, quality=said.quality,
            frames=pictures(scene, seconds) if shown else None, fps=CLIP_FPS if shown else None, seconds=seconds,
            seed=seed,
            candidates=candidates, picture_guidance=picture_guidance,
        )  # fmt: skip
        return made.waveform

    return make


def pictures(scene: Scene, seconds: float) -> Iterator[Tensor]:
    """A scene as the toybox draws it: windows [3, t, H, W] in [-1, 1]."""
    total = max(1, round(seconds * CLIP_FPS))
    for start, stop in itertools.pairwise([*range(0, total, PICTURE_FRAMES), total]):
        frames = render(
            scene, num_frames=stop - start, fps=CLIP_FPS, height=CLIP_SIZE, width=CLIP_SIZE,
            start_seconds=start / CLIP_FPS,
        )  # fmt: skip
        yield from_uint8(np.ascontiguousarray(frames))
