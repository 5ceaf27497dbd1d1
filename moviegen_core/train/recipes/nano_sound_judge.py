"""Recipe nano-sound-judge: the classifier that says what a generated sound is, trained on rendered sounds alone.

Most of them have gone through the nano codec (recipe nano-codec, which must have run), with some noise on the way:
whatever is judged comes out of it, made by a network that errs, and a judge must take neither's traces for another kind
of sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...models import catalog
from ...models.audio_codec.model import AudioCodec
from ...models.sound_judge.model import SoundJudgeConfig, hear
from ...toybox import AMBIENCES, MOODS, SOUND_KINDS, sound_labels
from ..basis import basis_of
from ..data import Batch, Collated, roughened, seeded
from ..objectives.sound_judge import sound_judge_loss
from ..ranges import at_least
from ..single import SingleStage, train_and_ship
from ..sound_data import CODEC, trained_codec
from ..sounds import SoundConfig, Sounds, synthesis
from ..workspace import Workspace

CLASSES = {"kind": SOUND_KINDS, "ambience": AMBIENCES, "mood": MOODS}
CACHED_SOUNDS = 16_384
CROP_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class SoundJudgeRecipe(SingleStage):
    """Sizes, seed and time of nano/sound_judge; its sounds are the first four seconds of scenes of its own."""

    seed: int = 41
    sounds: SoundConfig = field(
        default_factory=lambda: SoundConfig(count=3000, seconds=4.0, channels=1, first_seed=3_000_000)
    )
    codec_share: float = 0.75  # of the sounds
    roughness: float = 0.4  # deviation of the most noise on their latents, which have unit variance
    batch_size: int = 32
    minutes: float | None = 10.0
    learning_rate: float = 3e-3
    warmup_steps: int = 50
    final_scale: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "batch_size")
        at_least(self, 0, "codec_share", "roughness")


def run(recipe: SoundJudgeRecipe, workspace: Workspace) -> None:
    """Train and ship as nano/sound_judge."""
    if recipe.codec_share:
        workspace.needs(CODEC)
    sounds = Sounds(workspace.folder("judge-sounds"), recipe.sounds)
    sounds.fill(workspace.render_workers, workspace.out)
    config = SoundJudgeConfig(classes=CLASSES)
    torch.manual_seed(recipe.seed)
    judge = catalog.build("sound_judge", config, device="cpu")
    loop = recipe.loop("sound_judge", recipe.seed, weight_decay=0.05)
    codec = trained_codec(workspace) if recipe.codec_share else None
    basis = basis_of(recipe, synthesis=synthesis(), codec="" if codec is None else workspace.sha256(CODEC))
    train_and_ship(judge, sound_judge_loss, labelled(sounds, config, recipe, codec), loop, workspace, basis=basis)


def labelled(
    sounds: Sounds, config: SoundJudgeConfig, recipe: SoundJudgeRecipe, codec: AudioCodec | None = None
) -> Collated:
    """Source of {"spectrogram": [B, F, T], attribute: [B]} of crops that begin anywhere.

    The first `codec_share` of the sounds are those that `codec`, if any, gives back of roughened latents.
    """
    coded = round(recipe.codec_share * len(sounds)) if codec is not None else 0

    @lru_cache(maxsize=CACHED_SOUNDS)
    @torch.inference_mode()
    def read(number: int) -> tuple[Tensor, dict[str, int]]:
        labels = sound_labels(sounds.scene(number))
        answers = {name: known.index(getattr(labels, name)) for name, known in config.classes.items()}
        waveform = torch.from_numpy(sounds.waveform(number))[None]
        if codec is not None and number < coded:
            # The codec works in whole frames: what it adds at the end is cut.
            latent = codec.encode(waveform.to(codec.latent_std))
            latent = roughened(latent, recipe.roughness, seeded(recipe.seed, number))
            waveform = codec.decode(latent)[..., : waveform.shape[-1]].cpu()
        return hear(waveform, config)[0].half().clone(), answers

    def sample(rng: np.random.Generator) -> Batch:
        spectrogram, answers = read(int(rng.integers(len(sounds))))
        steps = min(round(CROP_SECONDS * config.sample_rate / config.step), spectrogram.shape[1])
        start = int(rng.integers(spectrogram.shape[1] - steps + 1))
        batch = {"spectrogram": spectrogram[:, start : start + steps].float()}
        return batch | {name: torch.tensor(answer) for name, answer in answers.items()}

    return Collated(sample, recipe.batch_size, recipe.seed)
