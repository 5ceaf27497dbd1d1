"""Recipe nano-judge: the classifier that says what a generated clip shows, trained on rendered clips alone.

Half of what it sees has gone through the nano autoencoder (recipe nano-tae, which must have run), every other clip with
some noise on the way: whatever is judged comes out of it, made by a network that errs, and a judge must take neither's
traces for another thing or motion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...media.frames import from_uint8
from ...models import catalog
from ...models.judge.model import Judge, JudgeConfig, finer, prepare_clip
from ...toybox import vocabulary
from ..basis import basis_of
from ..cache import ShardCache
from ..clips import ClipConfig, Clips, drawing
from ..data import Batch, Collated, roughened, seeded
from ..latents import origin, trained_tae, weights_hash
from ..objectives.judge import judge_loss
from ..optim import check_method
from ..ranges import at_least
from ..single import SingleStage, train_and_ship
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
class JudgeRecipe(SingleStage):
    """Sizes, seed and time of nano/judge; it reads the clips that the video recipe renders."""

    start: str = ""  # a judge to train on from, "nano/judge" or a file; empty: from scratch
    seed: int = 31
    clips: ClipConfig = field(default_factory=lambda: replace(VideoRecipe().clips, count=4000))
    coded_share: float = 0.5  # of what is seen comes out of the autoencoder
    coded_clips: int = 1200  # the first so many clips: each takes a third of a second
    roughness: float = 0.4  # of every other one: deviation of the most noise on its latent, which has unit variance
    detail: int = 2  # single frames are seen at 128 pixels: many things are a few pixels wide at 64
    batch_size: int = 32
    minutes: float | None = 30.0
    method: str = "muon"
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    final_scale: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_method(self.method)
        at_least(self, 1, "batch_size", "coded_clips", "detail")
        at_least(self, 0, "coded_share", "roughness")


def run(recipe: JudgeRecipe, workspace: Workspace) -> None:
    """Train and ship as nano/judge."""
    workspace.needs(*(["nano/tae"] if recipe.coded_share else []), start=recipe.start, network="judge")
    clips = workspace.clips(recipe.clips)
    config = JudgeConfig(classes=CLASSES, detail=recipe.detail)
    torch.manual_seed(recipe.seed)
    judge = catalog.build("judge", config, device="cpu")
    if recipe.start:
        judge.load_state_dict(begun(workspace, recipe))
    loop = recipe.loop("judge", recipe.seed, method=recipe.method, weight_decay=0.05)
    coded = None
    if recipe.coded_share:
        coded = coded_clips(workspace, clips.first(recipe.coded_clips), config, recipe.roughness)
    read = {} if coded is None else coded.origin
    train_and_ship(
        judge, judge_loss, labelled(clips, config, recipe, coded), loop, workspace, start=recipe.start,
        basis=basis_of(recipe, drawing=drawing(), coded=read),
    )  # fmt: skip


def begun(workspace: Workspace, recipe: JudgeRecipe) -> dict[str, Tensor]:
    """Weights to train on from; those of a judge that saw nothing finely go on as of one of more detail.

    ConfigError for those of any other detail.
    """
    judge = workspace.begun(recipe.start, "judge", "nano-judge")
    assert isinstance(judge, Judge)
    before = judge.config.detail
    if before == recipe.detail:
        return judge.state_dict()
    if before == 1:
        return finer(judge.state_dict(), recipe.detail)
    raise ConfigError(f"{recipe.start} sees single frames {before} times finer; go on with --set detail={before}")


def coded_clips(workspace: Workspace, clips: Clips, config: JudgeConfig, roughness: float = 0.0) -> ShardCache:
    """What the autoencoder gives back of every clip as the judge sees it: the even ones of roughened latents."""
    tae = trained_tae(workspace)
    look = {"frames": config.num_frames, "rate": config.frames_per_second, "size": config.size}
    look |= {"detail": config.detail, "stills": config.still_frames, "roughness": roughness}
    cache = workspace.cache("judge-clips", len(clips), origin(clips, tae=weights_hash(tae), **look))

    @torch.inference_mode()
    def make(numbers: Sequence[int]) -> list[Batch]:
        found: list[Batch] = []
        for number in numbers:
            frames, fps = clips.config.kind(number)
            wanted = min(frames, math.ceil(config.num_frames / config.frames_per_second * fps))
            pixels = from_uint8(np.array(clips.pixels(number)[:wanted]))[None].to(tae.latent_std)
            latent = roughened(tae.encode(pixels), 0.0 if number % 2 else roughness, seeded(number))
            again = tae.decode(latent, wanted).clamp(-1, 1)
            found.append(views(again.cpu(), fps, config))
        return found

    cache.fill(make, "clips through the autoencoder", workspace.out)
    return cache


def views(pixels: Tensor, fps: float, config: JudgeConfig) -> Batch:
    """One clip [1, 3, T, H, W] as the judge sees it."""
    return {name: view[0] for name, view in prepare_clip(pixels, fps, config).items()}


def labelled(clips: Clips, config: JudgeConfig, recipe: JudgeRecipe, coded: ShardCache | None = None) -> Collated:
    """Source of what the judge sees and {attribute: [B]}, over the clips that last as long as the judge looks.

    `coded_share` of the samples come from `coded`, if any. Every other one is seen in a mirror, which pans the camera
    the other way.
    """
    span = config.num_frames / config.frames_per_second
    numbers = [
        number for number in range(len(clips)) if clips.config.kind(number)[0] / clips.config.kind(number)[1] >= span
    ]
    kept = [] if coded is None else [number for number in numbers if number < len(coded)]

    @lru_cache(maxsize=CACHED_CLIPS)
    def read(number: int, through: bool) -> tuple[Batch, dict[str, str]]:
        labels = clips.config.scene(number).labels()
        if through and coded is not None:
            seen = coded[number]
        else:
            seen = views(from_uint8(np.array(clips.pixels(number)))[None], clips.config.kind(number)[1], config)
        return {name: view.half() for name, view in seen.items()}, labels

    def sample(rng: np.random.Generator) -> Batch:
        through = bool(kept) and rng.random() < recipe.coded_share
        known = kept if through else numbers
        seen, labels = read(known[int(rng.integers(len(known)))], through)
        if rng.random() < 0.5:
            seen = {name: view.flip(-1) for name, view in seen.items()}
            labels = {name: MIRRORED.get(label, label) for name, label in labels.items()}
        answers = {name: torch.tensor(known.index(labels[name])) for name, known in config.classes.items()}
        return {**{name: view.float() for name, view in seen.items()}, **answers}

    return Collated(sample, recipe.batch_size, recipe.seed)
