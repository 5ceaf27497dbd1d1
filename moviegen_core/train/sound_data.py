"""What the sound networks learn from: rendered clips with their sounds, and what frozen networks make of them, once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import toybox
from ..conditioning.sound import NANO_APPEARANCE_RATE, FrameEncoders, encode_captions, frame_features, sound_caption
from ..errors import ConfigError
from ..media.frames import from_uint8
from ..models import loading
from ..models.audio_codec.model import AudioCodec
from ..models.sound_match.model import SoundMatch, sound_bands
from ..models.text import load_text_encoder
from ..models.vision.checkpoint import load_vision_tower
from ..shapes import sound_latent_frames
from .cache import ShardCache
from .clips import ClipConfig, Clips, folder_of
from .data import Batch, Source, position_rng, stack
from .latents import weights_hash
from .sounds import SoundConfig, Sounds
from .workspace import Workspace

DECODING = ("decoder.", "quantizer.out_proj.", "linear.synthesis.", "linear.code_out.")  # weights of the codec
TEXT, BANDS, EFFECTS, LATENT, FRAMES, HITS = "text", "bands", "effects", "latent", "frames", "hits"
FRAMES_MASK = f"{FRAMES}_mask"
CUT = (FRAMES, FRAMES_MASK, HITS)  # beside the latent, along the sound frames
TEXT_ENCODER, VISION, MATCH, CODEC = "nano/ul2", "nano/metaclip_vision", "nano/sound_match", "nano/audio_codec"


@dataclass(frozen=True)
class SoundClips:
    """Clips and their sounds under the same numbers; `kind` tells their folders from those of others.

    Of sounds that nobody sees there are no clips.
    """

    clips: Clips | None
    sounds: Sounds
    kind: str = "clips"

    def __len__(self) -> int:
        return len(self.sounds)

    @property
    def seen(self) -> Clips:
        """The clips, where there are any."""
        assert self.clips is not None
        return self.clips

    def seconds(self, number: int) -> Fraction:
        """Length of clip `number`."""
        frames, fps = self.sounds.config.clips.kind(number)
        return Fraction(frames, fps)

    def num_latents(self, number: int) -> int:
        """Sound frames of clip `number`."""
        return sound_latent_frames(self.sounds.samples(number))

    def waveform(self, number: int) -> Tensor:
        """Mono [1, N] at 48 kHz."""
        return torch.from_numpy(self.sounds.waveform(number).mean(axis=0, keepdims=True))


def sound_clips(workspace: Workspace, config: ClipConfig, kind: str = "clips") -> SoundClips:
    """Clips of `config` and their sounds in one channel, rendered now where they are missing."""
    clips = workspace.clips(config, folder_of("sound-clips", kind))
    sounds = Sounds(workspace.folder(folder_of("sound-waves", kind)), SoundConfig.beside(config, channels=1))
    sounds.fill(workspace.render_workers, workspace.out)
    return SoundClips(clips, sounds, kind)


def places(workspace: Workspace, config: SoundConfig, kind: str) -> SoundClips:
    """Sounds of places in which nothing else is heard or seen, rendered now where they are missing."""
    sounds = Sounds(workspace.folder(folder_of("sound-waves", kind)), replace(config, subject=False, channels=1))
    sounds.fill(workspace.render_workers, workspace.out)
    return SoundClips(None, sounds, kind)


def effects_of(workspace: Workspace, data: SoundClips) -> SoundClips:
    """The same clips without any music: what of their sound the pictures can foretell."""
    sounds = Sounds(workspace.folder(folder_of("sound-effects", data.kind)), replace(data.sounds.config, music=False))
    sounds.fill(workspace.render_workers, workspace.out)
    return SoundClips(data.clips, sounds, data.kind)


def caption_of_sound(scene: toybox.Scene, variant: int, *, subject: bool = True) -> str:
    """Caption number `variant` of a scene's sound, in the paper's template."""
    words = toybox.sound_captions(scene, variant, subject=subject)
    return sound_caption(
        words.description, quality=words.quality, music=words.music, music_description=words.music_description
    )


def text_cache(workspace: Workspace, data: SoundClips, variants: int) -> ShardCache:
    """Features [T, E] of `variants` captions a sound: keys "text.0", "text.1", ..."""
    facts = _origin(data, clips=False, variants=variants, words=sound_wording(), encoder=workspace.sha256(TEXT_ENCODER))
    cache = workspace.cache(folder_of("sound-text", data.kind), len(data), facts)
    encoder = load_text_encoder(
        "ul2", workspace.weight_file(TEXT_ENCODER), device=workspace.placement.device, dtype=torch.float32
    )

    def make(numbers: Sequence[int]) -> list[Batch]:
        found: list[Batch] = []
        for number in numbers:
            scene, subject = data.sounds.scene(number), data.sounds.config.subject
            captions = [caption_of_sound(scene, variant, subject=subject) for variant in range(variants)]
            said = encode_captions(encoder, captions)
            assert said.text is not None
            assert said.text_mask is not None
            rows = zip(said.text, said.text_mask, strict=True)
            found.append({f"{TEXT}.{variant}": row[mask].cpu() for variant, (row, mask) in enumerate(rows)})
        return found

    cache.fill(make, "captions", workspace.out)
    return cache


@cache
def sound_wording() -> str:
    """Fingerprint of the captions: a hash of those of some scenes, so that other words are noticed."""
    scenes = [toybox.sample_scene(seed) for seed in range(100)]
    said = [caption_of_sound(scene, 0, subject=subject) for scene in scenes for subject in (True, False)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def text_tokens(texts: ShardCache, count: int) -> Tensor:
    """Text features [N, E] of the first `count` sounds, for statistics."""
    return torch.cat([texts.get(number, f"{TEXT}.0") for number in range(min(count, len(texts)))])


def collate_texts(items: Sequence[Batch]) -> Batch:
    """Stack samples whose "text" [T, E] differ in length; "text_mask" says where they end."""
    longest = max(item[TEXT].shape[0] for item in items)
    text = torch.zeros(len(items), longest, items[0][TEXT].shape[1])
    mask = torch.zeros(len(items), longest, dtype=torch.bool)
    for row, item in enumerate(items):
        text[row, : item[TEXT].shape[0]], mask[row, : item[TEXT].shape[0]] = item[TEXT], True
    rest = stack([{name: value for name, value in item.items() if name != TEXT} for item in items])
    return {**rest, TEXT: text, f"{TEXT}_mask": mask}


class Stretches:
    """Source whose batches are, for `share` of them, stretches of the sounds of `source`, each begun anywhere.

    Then no sound is learned by heart from where it begins. The stretches of a batch are equally long, at least `least`
    of the whole; "latent" [B, C, L] and what is told of CUT are cut alike.
    """

    def __init__(self, source: Source, share: float, least: float, seed: int) -> None:
        if not 0.0 <= share <= 1.0 or not 0.0 < least <= 1.0:
            raise ConfigError(f"stretch_share {share} must lie in [0, 1], least_stretch {least} in (0, 1]")
        self.source, self.share, self.least, self.seed = source, share, least, seed

    def batch(self, position: int) -> Batch:
        """The batch of `source`, whole or cut."""
        batch, rng = self.source.batch(position), position_rng(self.seed, position)
        if rng.random() >= self.share:
            return batch
        size, length = batch[LATENT].shape[0], batch[LATENT].shape[2]
        kept = int(rng.integers(math.ceil(self.least * length), length + 1))
        starts = torch.from_numpy(rng.integers(0, length - kept + 1, size=size))
        rows, within = torch.arange(size)[:, None], starts[:, None] + torch.arange(kept)
        latent = batch[LATENT].transpose(1, 2)[rows, within].transpose(1, 2).contiguous()
        return {**batch, LATENT: latent} | {name: batch[name][rows, within] for name in CUT if name in batch}


def band_cache(workspace: Workspace, data: SoundClips, bands: int, key: str = BANDS) -> ShardCache:
    """`sound_bands` [M, K] of every sound under `key`, in a folder named after it."""
    facts = _origin(data, clips=False, bands=bands)
    cache = workspace.cache(folder_of(f"{key}-of-sounds", data.kind), len(data), facts)

    def make(numbers: Sequence[int]) -> list[Batch]:
        return [{key: sound_bands(data.waveform(number), bands)[0]} for number in numbers]

    cache.fill(make, "bands", workspace.out)
    return cache


def frame_cache(workspace: Workspace, data: SoundClips) -> ShardCache:
    """Features [L, F] of every clip by the nano frame encoders, key "frames"."""
    encoders = trained_frame_encoders(workspace)
    clips = data.seen
    facts = _origin(data, vision=workspace.sha256(VISION), match=workspace.sha256(MATCH), rate=NANO_APPEARANCE_RATE)
    cache = workspace.cache(folder_of("sound-frames", data.kind), len(data), facts)

    def make(numbers: Sequence[int]) -> list[Batch]:
        found: list[Batch] = []
        for number in numbers:
            pixels = from_uint8(np.array(clips.pixels(number)))
            fps = clips.config.kind(number)[1]
            found.append({FRAMES: frame_features(encoders, pixels, data.num_latents(number), fps=fps)})
        return found

    cache.fill(make, "frame features", workspace.out)
    return cache


def latent_cache(workspace: Workspace, data: SoundClips) -> ShardCache:
    """Latents [C, L] of every sound by the nano codec, key "latent"."""
    codec = trained_codec(workspace)
    facts = _origin(data, clips=False, codec=encoder_hash(codec))
    cache = workspace.cache(folder_of("sound-latents", data.kind), len(data), facts)

    @torch.inference_mode()
    def make(numbers: Sequence[int]) -> list[Batch]:
        device = workspace.placement.device
        return [{LATENT: codec.encode(data.waveform(number)[None].to(device))[0].cpu()} for number in numbers]

    cache.fill(make, "sound latents", workspace.out)
    return cache


def encoder_hash(codec: AudioCodec) -> str:
    """Hash of all weights that latents depend on; a better decoder keeps the cache."""
    return weights_hash(codec, leaving_out=DECODING)


def trained_frame_encoders(workspace: Workspace) -> FrameEncoders:
    """The nano tower and the nano sound match."""
    device = workspace.placement.device
    vision, _ = load_vision_tower(workspace.weight_file(VISION), device=device)
    match = loading.load(workspace.weight_file(MATCH), device=device, dtype=torch.float32, network="sound_match")
    assert isinstance(match, SoundMatch)
    return FrameEncoders(vision=vision, motion=match, appearance_rate=NANO_APPEARANCE_RATE)


def trained_codec(workspace: Workspace) -> AudioCodec:
    """The codec that the recipe nano-codec trained."""
    file = workspace.weight_file(CODEC)
    codec = loading.load(file, device=workspace.placement.device, dtype=torch.float32, network="audio_codec")
    assert isinstance(codec, AudioCodec)
    return codec


def _origin(data: SoundClips, *, clips: bool = True, **parts: Any) -> dict[str, Any]:
    """What a cache depends on: how sounds (and clips) are made, and `parts`."""
    facts: dict[str, Any] = {"sounds": Sounds.describe(data.sounds.config), **parts}
    return facts | {"clips": Clips.describe(data.seen.config)} if clips else facts
