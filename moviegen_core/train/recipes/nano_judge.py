"""Recipe nano-judge: the classifier that says what a generated clip shows, trained on rendered clips alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...media.frames import from_uint8
from ...models import catalog
from ...models.judge.model import JudgeConfig, prepare_clip
from ...toybox import vocabulary
from ..clips import ClipConfig, Clips
from ..data import Batch, Collated
from ..loop import LoopConfig
from ..objectives.judge import judge_loss
from ..optim import OptimConfig
from ..single import train_and_ship
from ..workspace import Workspace
from .nano_video import VideoRecipe

CLASSES = {
    "thing": (*vocabulary.THINGS, "person"),
    "colour": tuple(vocabulary.COLOURS),
    "motion": (*vocabulary.MOTIONS, *vocabulary.PERSON_MOTIONS),
    "place": vocabulary.PLACES,
    "camera": vocabulary.CAMERAS,
}
CACHED_CLIPS = 8192
MIRRORED = {"pan left": "pan right", "pan right": "pan left"}


@dataclass(frozen=True, kw_only=True)
class JudgeRecipe:
    """Sizes, seed and time of nano/judge; it reads the clips that the video recipe renders."""

    seed: int = 31
    clips: ClipConfig = field(default_factory=lambda: replace(VideoRecipe().clips, count=4000))
    batch_size: int = 32
    steps: int | None = None
    minutes: float = 14.0
    learning_rate: float = 2e-3


def run(recipe: JudgeRecipe, workspace: Workspace) -> None:
    """Train and ship as nano/judge."""
    clips = workspace.clips(recipe.clips)
    config = JudgeConfig(classes=CLASSES)
    torch.manual_seed(recipe.seed)
    judge = catalog.build("judge", config, device="cpu")
    loop = LoopConfig(
        name="judge",
        steps=recipe.steps,
        max_minutes=recipe.minutes,
        seed=recipe.seed,
        ema_decay=0.98,
        optim=OptimConfig(learning_rate=recipe.learning_rate, weight_decay=0.05, warmup_steps=50, final_scale=0.01),
    )
    train_and_ship(judge, judge_loss, labelled(clips, config, recipe), loop, workspace)


def labelled(clips: Clips, config: JudgeConfig, recipe: JudgeRecipe) -> Collated:
    """Source of {"pixels": [B, 3, T, H, W], attribute: [B]} over the clips that last as long as the judge looks.

    Every other sample is seen in a mirror, which pans the camera the other way.
    """
    span = config.num_frames / config.frames_per_second
    numbers = [
        number for number in range(len(clips)) if clips.config.kind(number)[0] / clips.config.kind(number)[1] >= span
    ]

    @lru_cache(maxsize=CACHED_CLIPS)
    def read(number: int) -> tuple[Tensor, dict[str, str]]:
        pixels = from_uint8(np.array(clips.pixels(number)))[None]
        small = prepare_clip(pixels, clips.config.kind(number)[1], config)[0]
        return small.half(), clips.config.scene(number).labels()

    def sample(rng: np.random.Generator) -> Batch:
        pixels, labels = read(numbers[int(rng.integers(len(numbers)))])
        if rng.random() < 0.5:
            pixels, labels = pixels.flip(-1), {name: MIRRORED.get(label, label) for name, label in labels.items()}
        answers = {name: torch.tensor(known.index(labels[name])) for name, known in config.classes.items()}
        return {"pixels": pixels.float(), **answers}

    return Collated(sample, recipe.batch_size, recipe.seed)
