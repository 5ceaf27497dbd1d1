"""Recipe nano-audio: the sound transformer, on latents of the nano codec, with what the nano encoders see and read.

It needs nano/audio_codec, nano/sound_match, nano/metaclip_vision and nano/ul2. The caches (latents, frame features,
captions) are filled first and kept; then one stage of flow matching, which drops conditions much as the paper does. Of
the paper's optimisation (two stages of AdamW at 1e-4, EMA 0.999) nothing is kept: a short training needs larger steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...conditioning.sound import SoundConditioning
from ...models import catalog
from ...models.audio_codec.model import AudioCodec
from ...models.audio_dit.model import AudioDiT
from ...models.sound_match.model import sound_bands
from ...pipelines.sound import sample_sound
from ..basis import basis_of
from ..cache import ShardCache
from ..clips import ClipConfig
from ..data import Batch, Bucketed, Mixture
from ..hints import sound_hints
from ..loop import Hook
from ..objectives.audio import sound_flow_matching
from ..optim import check_method
from ..pupil import AudioPupil
from ..ranges import at_least
from ..single import SingleStage, train_and_ship
from ..sound_data import (
    CODEC,
    FRAMES,
    FRAMES_MASK,
    LATENT,
    MATCH,
    TEXT,
    TEXT_ENCODER,
    VISION,
    SoundClips,
    Stretches,
    collate_texts,
    frame_cache,
    latent_cache,
    places,
    sound_clips,
    text_cache,
    text_tokens,
    trained_codec,
)
from ..sounds import SoundConfig
from ..workspace import Workspace
from .nano_sound_match import CLIPS, STATISTICS_SOUNDS, STRUCK, check_turns, kinds

# What is asked for without pictures is a place as often as a thing.
PLACES = SoundConfig.beside(CLIPS, count=1200, first_seed=4_700_000, subject=False, channels=1)
PLACE = "places"
SHEET_STEPS, SHEET_SOUNDS, SHEET_BANDS, SHEET_ZOOM = 16, 6, 40, 2


@dataclass(frozen=True, kw_only=True)
class AudioRecipe(SingleStage):
    """Sizes, seed and time of nano/audio."""

    preset: str = "nano"
    start: str = ""  # weights of the preset to train on from, a shipped name or a file; empty: from scratch
    seed: int = 61
    clips: ClipConfig = field(default_factory=lambda: CLIPS)
    struck: ClipConfig = field(default_factory=lambda: STRUCK)
    places: SoundConfig = field(default_factory=lambda: PLACES)
    turns: tuple[int, int, int] = (6, 2, 1)  # batches of `clips`, of `struck` and of `places` in each round
    variants: int = 4  # captions a sound
    tokens_per_batch: int = 2400  # sound frames
    # Beside the paper's dropping of conditions (assumptions): sounds from words alone are asked for more than a tenth
    # of the time, and known sound may go on without a word.
    drop_video: float = 0.2
    known_alone: float = 0.05
    minutes: float | None = 25.0
    method: str = "muon"
    learning_rate: float = 4e-3
    warmup_steps: int = 40
    schedule: str = "linear"
    ema_decay: float = 0.995
    weight_decay: float = 0.02
    # Channels count by how loud they are to this power (0: alike, as the paper's), gains so much more. A small model
    # should spend itself on what is heard; both are assumptions.
    emphasis: float = 0.5
    gain_weight: float = 3.0
    # Aids of the training (assumptions): whitened words, `stir` of them made heard where a checkpoint was trained
    # without, and the question half-way what is heard (train/hints.py).
    whiten: bool = True
    stir: float = 0.0
    hint_weight: float = 0.1
    # A tenth of the times lie close to the noise (assumption): with the paper's alone a network that is told of silence
    # begins to make a sound all the same, and then goes on with it.
    early_share: float = 0.1
    # Half of the batches are stretches of their sounds, so that they are not learned by heart (assumption).
    stretch_share: float = 0.5
    least_stretch: float = 0.5
    # What the nano model is best sampled with: it learned from sounds of up to eight seconds.
    sampling_steps: int = 16
    guidance_scale: float = 3.0
    temperature: float = 0.8
    window_seconds: float = 8.0
    context_seconds: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_method(self.method)
        check_turns(self.turns)
        at_least(self, 1, "variants", "tokens_per_batch")
        at_least(self, 0, "weight_decay", "hint_weight")


def run(recipe: AudioRecipe, workspace: Workspace) -> None:
    """Fill the caches, train, ship as nano/audio."""
    catalog.get("audio_dit").preset(recipe.preset)  # an unknown one is told before the caches are filled
    workspace.needs(CODEC, MATCH, VISION, TEXT_ENCODER, start=recipe.start, network="audio_dit")
    parts = [heard(recipe, workspace, kind) for kind in kinds(recipe.turns[:2])]
    texts, frames = parts[0].texts, parts[0].frames
    assert frames is not None
    turns = [turn for turn in recipe.turns if turn]
    if recipe.turns[2]:
        unseen = places(workspace, recipe.places, PLACE)
        parts.append(Heard(unseen, text_cache(workspace, unseen, recipe.variants), latent_cache(workspace, unseen)))
    torch.manual_seed(recipe.seed)
    model = catalog.build("audio_dit", recipe.preset, device="cpu")
    assert isinstance(model, AudioDiT)
    if recipe.start:
        begun = workspace.begun(recipe.start, "audio_dit", "nano-audio").state_dict()
        model.load_state_dict({**model.state_dict(), **begun})  # a layer that it lacks begins silent
    count = min(STATISTICS_SOUNDS, len(texts))
    if not recipe.start:  # weights to train on from were learned with theirs
        model.text_standard.measure(text_tokens(texts, count))
        model.frames_in.standard.measure(torch.cat([frames.get(number, FRAMES) for number in range(count)]))
    pupil = AudioPupil.of(model, text_tokens(texts, count) if recipe.whiten else None, recipe.stir)
    pupil.teller.requires_grad_(recipe.hint_weight > 0)
    loop = recipe.loop("audio", recipe.seed, method=recipe.method, weight_decay=recipe.weight_decay, decay_start=0.3)
    weights = loudness_weights(trained_codec(workspace), recipe.emphasis, recipe.gain_weight)
    objective = partial(
        sound_flow_matching, weights=weights, hint_weight=recipe.hint_weight, early_share=recipe.early_share,
        drop_video=recipe.drop_video, known_alone=recipe.known_alone,
    )  # fmt: skip
    sampling = {
        name: getattr(recipe, name) for name in ("guidance_scale", "temperature", "window_seconds", "context_seconds")
    }
    sampling["steps"] = recipe.sampling_steps
    width = frames.get(0, FRAMES).shape[1]
    sounds = Mixture([source(recipe, part, width) for part in parts], turns)
    train_and_ship(
        pupil, objective, sounds, loop, workspace, hooks=[sheet_hook(workspace, parts[0])],
        finish=AudioPupil.finished, start=recipe.start, sampling=sampling,
        basis=basis_of(recipe, without=(*sampling, "sampling_steps"), read=origins(parts)),
    )  # fmt: skip


@torch.no_grad()
def loudness_weights(codec: AudioCodec, emphasis: float, gain_weight: float) -> Tensor:
    """How much each latent channel counts, [C] of mean 1: by what it adds to the sound; gains above the others."""
    if codec.linear is None:
        loudness = codec.latent_std.float()
    else:
        loudness = codec.linear.code_out.weight.float().flatten(1).norm(dim=1)
    gains = codec.config.gains
    weights = loudness**emphasis
    others = weights[: len(weights) - gains]
    weights = torch.cat([others / others.mean(), weights.new_full((gains,), gain_weight)])
    return (weights / weights.mean()).cpu()


def origins(parts: Sequence[Heard]) -> dict[str, Any]:
    """What the caches of each part were made by."""
    caches = {part.data.kind: (part.texts, part.latents, part.frames) for part in parts}
    return {
        kind: {name: cache.origin for name, cache in zip((TEXT, LATENT, FRAMES), held, strict=True) if cache}
        for kind, held in caches.items()
    }


class Heard(NamedTuple):
    """Clips of one kind, and what frozen networks make of them; sounds that nobody sees have no frames."""

    data: SoundClips
    texts: ShardCache
    latents: ShardCache
    frames: ShardCache | None = None


def heard(recipe: AudioRecipe, workspace: Workspace, kind: str) -> Heard:
    """The clips of one of KINDS, drawn and encoded now where they are missing."""
    data = sound_clips(workspace, getattr(recipe, kind), kind)
    texts = text_cache(workspace, data, recipe.variants)
    return Heard(data, texts, latent_cache(workspace, data), frame_cache(workspace, data))


def source(recipe: AudioRecipe, part: Heard, width: int) -> Stretches:
    """Batches for `sound_flow_matching`, all sounds of a batch equally long; frames have `width` features."""
    data, texts, latents, frames = part

    @cache
    def hints(number: int) -> Batch:
        told = {"subject": data.sounds.config.subject}
        return sound_hints(data.sounds.scene(number), data.num_latents(number), **told) if recipe.hint_weight else {}

    def shown(number: int) -> Batch:
        if frames is not None:
            return {FRAMES: frames.get(number, FRAMES)}
        length = data.num_latents(number)
        return {FRAMES: torch.zeros(length, width), FRAMES_MASK: torch.zeros(length, dtype=torch.bool)}

    def sample(number: int, rng: np.random.Generator) -> Batch:
        return {
            LATENT: latents.get(number, LATENT),
            **shown(number),
            TEXT: texts.get(number, f"{TEXT}.{int(rng.integers(recipe.variants))}"),
            **hints(number),
        }

    sizes = [(data.num_latents(number), 1, 1) for number in range(len(data))]
    sounds = Bucketed(sample, sizes, recipe.tokens_per_batch, recipe.seed, collate_texts)
    return Stretches(sounds, recipe.stretch_share, recipe.least_stretch, recipe.seed)


def sheet_hook(workspace: Workspace, part: Heard) -> Hook:
    """Writes step-N.png now and then: spectrograms of a few sounds through the codec, each above the generated one."""
    data, texts, latents, frames = part
    assert frames is not None
    codec = trained_codec(workspace)
    longest = max(data.num_latents(number) for number in range(min(SHEET_SOUNDS, len(data))))

    def write(model: nn.Module, folder: Path, step: int) -> None:
        assert isinstance(model, AudioDiT)
        rows: list[Tensor] = []
        for number in range(min(SHEET_SOUNDS, len(data))):
            latent = latents.get(number, LATENT)[None]
            conditioning = SoundConditioning(
                text=texts.get(number, f"{TEXT}.0")[None], frames=frames.get(number, FRAMES)[None]
            )
            made = sample_sound(model, conditioning, latent.shape[2], steps=SHEET_STEPS, solver="euler")
            for sound in (latent.to(made), made):
                picture = sound_bands(codec.decode(sound)[:, 0].float().cpu(), SHEET_BANDS)[0].T.flip(0)
                rows.append(torch.nn.functional.pad(picture, (0, 2 * longest - picture.shape[1], 0, 4), value=-2.0))
        save_picture(torch.cat(rows), folder / f"step-{step:06d}.png")

    return write


def save_picture(levels: Tensor, path: Path) -> None:
    """Levels [H, W] from -2 to 2 as a grey picture, enlarged."""
    from PIL import Image

    grey = ((levels.clamp(-2, 2) + 2) * 63.75).round().to(torch.uint8).numpy()
    image = Image.fromarray(grey)
    image.resize((image.width * SHEET_ZOOM, image.height * SHEET_ZOOM), Image.Resampling.NEAREST).save(path)
