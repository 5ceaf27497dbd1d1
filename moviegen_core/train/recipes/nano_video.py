"""nano/video: text-to-image on many stills, then images and clips together, long ones too, then the best-looking.

The paper's curriculum in small (sections 3.2 and 3.3), at one size: a position stands for the same place of the
picture throughout, which saves a short run what it would have to learn again after each change of resolution. One
batch in five to eleven is of stills (the paper: one in ten), steps are larger, and the last stage falls linearly, not
as a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ...conditioning.text import encode_prompt
from ...errors import CheckpointError, ConfigError
from ...media.frames import contact_sheet
from ...models import adapters, catalog
from ...models.text.model import ROLES
from ...models.video_dit.checkpoint import grow_weights
from ...models.video_dit.model import VideoDiT
from ...pipelines.sample import sample_video
from ...shapes import clip_latent
from .. import state
from ..average import average
from ..basis import basis_of
from ..cache import ShardCache
from ..clips import ClipConfig, Clips, best_looking, falls, folder_of, hard
from ..critic import LatentCritic, critic_loss
from ..data import Mixture, Source
from ..hints import Hints
from ..latents import (
    caption,
    channel_weights,
    latents,
    samples,
    text_features,
    tokens_of,
    trained_encoders,
    trained_tae,
    weights_hash,
)
from ..loop import SNAPSHOT, Hook, LoopConfig
from ..objectives.video import flow_matching
from ..optim import check_method
from ..pupil import VideoPupil
from ..ranges import at_least
from ..stage import Stage
from ..workspace import Workspace

WEIGHED_STILLS, WHITENED_CLIPS = 16, 800
SHEET_STEPS, SHEET_GUIDANCE, SHEET_CLIPS = 12, 4.0, 4
WEIGHTS = ("stills", "videos", "longs", "still_windows", "video_windows")  # fields of a stage


@dataclass(frozen=True, kw_only=True)
class VideoStage(Stage):
    """One step of the curriculum; weights count batches of each round."""

    size: int = 128  # pixels; 64 is the 128-pixel clip averaged down
    stills: int = 0
    videos: int = 0
    longs: int = 0
    # The same of which only a window about the subject is shown: what a short training is slow to learn is to draw it.
    still_windows: int = 0
    video_windows: int = 0
    tokens_per_batch: int = 2048
    learning_rate: float = 1.5e-3
    warmup_steps: int = 30
    schedule: str = "constant"
    final_scale: float = 0.0
    ema_decay: float = 0.99
    clips: int | None = None  # the first so many; encoding is a good part of the work at the higher resolution
    best_share: float = 1.0
    hard_turns: int = 1  # how often clips that are hard to draw come for each of the others
    falls_turns: int = 1  # and those whose subject falls
    snapshots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, *WEIGHTS)
        at_least(self, 1, "tokens_per_batch", "clips", "hard_turns", "falls_turns")
        if self.runs and not 0 < self.best_share <= 1:
            raise ConfigError(
                f"VideoStage.best_share is {self.best_share}, but must be above 0 and at most 1; correct it"
            )
        if self.runs and not any(getattr(self, name) for name in WEIGHTS):
            raise ConfigError(
                f"a stage has nothing to train on; set one of {', '.join(WEIGHTS)} above 0, or minutes to 0"
            )


@dataclass(frozen=True, kw_only=True)
class VideoRecipe:
    """Sizes, seeds and times of nano/video."""

    preset: str = "nano"
    start: str = ""  # weights of the preset to train on from, a shipped name or a file; empty: from scratch
    adapter_rank: int = 0  # above 0: `start` stays as it is, and low-rank adapters of this rank are trained beside it
    seed: int = 21
    method: str = "muon"
    weight_decay: float = 0.02
    clips: ClipConfig = field(
        default_factory=lambda: ClipConfig(
            count=4000, kinds=((32, 16, 12), (48, 24, 3), (64, 16, 3), (24, 16, 1), (16, 16, 1))
        )
    )
    longs: ClipConfig = field(
        default_factory=lambda: ClipConfig(count=60, kinds=((128, 16, 2), (256, 16, 1)), first_seed=2_000_000)
    )
    stills: ClipConfig = field(
        default_factory=lambda: ClipConfig(count=12_000, kinds=((1, 16, 1),), first_seed=3_000_000)
    )
    variants: int = 4  # captions a clip
    still_variants: int = 2
    images: VideoStage = VideoStage(minutes=22, stills=1, tokens_per_batch=2048, learning_rate=5e-3, ema_decay=0.995)
    joint: VideoStage = VideoStage(
        minutes=51, stills=1, videos=4, still_windows=1, video_windows=4, tokens_per_batch=4096, learning_rate=4e-3,
        ema_decay=0.995, schedule="linear", final_scale=0.25,
    )  # fmt: skip
    long: VideoStage = VideoStage(
        minutes=15, stills=1, videos=8, longs=2, tokens_per_batch=4096, learning_rate=1e-3, ema_decay=0.995,
        schedule="linear", final_scale=0.3,
    )  # fmt: skip
    best: VideoStage = VideoStage(
        minutes=4, stills=1, videos=8, longs=1, tokens_per_batch=4096, learning_rate=3e-4, schedule="linear",
        ema_decay=0.98, best_share=0.4, snapshots=(0.6, 0.8, 1.0),
    )  # fmt: skip
    weight_power: float = 0.5  # on how much each latent channel shows; 0 counts all alike, as the paper does
    # Mean of the logit-normal times (assumption). The paper's 0 spends 1.4 % of a training below time 0.1, where it
    # is decided which way a thing goes.
    time_mean: float = -0.8
    # Aids of the training (assumptions), off with adapters: words are whitened (train/whiten.py);
    # `stir` makes heard what checkpoints trained without could not; and half-way the network is asked what is
    # where, how it moves and how the camera does (train/hints.py).
    whiten: bool = True
    stir: float = 0.0
    hint_weight: float = 0.2
    # How much cells of the subject count beside others once its place is told (assumption): half-way the network soon
    # knows all that the words ask for, and what it is slow to learn is to draw it.
    subject_weight: float = 4.0
    window: int = 4  # tokens a side of the windows
    # How much it counts that a critic, trained before the stages, finds the predicted clean latent unlike the true one
    # (train/critic.py; an assumption). 0: no critic, nor is there one with adapters.
    critic_weight: float = 0.0
    critic: VideoStage = VideoStage(
        minutes=14, stills=2, videos=3, tokens_per_batch=4096, learning_rate=2e-3, ema_decay=0.98, schedule="linear",
        final_scale=0.02,
    )  # fmt: skip
    # What the nano model is best sampled with. It draws what it cannot place as noise: less of it to begin with gives
    # plainer pictures, of which the judge tells more.
    guidance_scale: float = 3.0
    temperature: float = 0.8

    def __post_init__(self) -> None:
        at_least(self, 1, "variants", "still_variants", "window")
        at_least(self, 0, "weight_decay", "adapter_rank")
        check_method(self.method)
        used = [stage for stage in self.stages if stage.runs]
        for stage in (*used, self.critic) if self.critic_weight else used:
            if stage.size < 1 or self.clips.size % stage.size:
                raise ConfigError(
                    f"a stage of {stage.size} pixels cannot be averaged down from clips of {self.clips.size}; use "
                    f"{self.clips.size} divided by a whole number"
                )
        if self.hint_weight == 0.0 and any(stage.still_windows or stage.video_windows for stage in self.stages):
            raise ConfigError(
                "hint_weight is 0, but a stage shows windows about the subject, which hints tell; leave hints on, or "
                "set still_windows and video_windows to 0"
            )
        if self.adapter_rank and any(not (stage.stills or stage.videos or stage.longs) for stage in used):
            raise ConfigError("adapters are trained without windows; give each stage stills, videos or longs above 0")
        if self.hint_weight == 0.0 and self.critic_weight:
            raise ConfigError("hint_weight is 0, but the critic learns from hints; leave hints on, or critic_weight 0")
        if self.critic_weight and not self.critic.runs:
            raise ConfigError(
                "critic_weight is above 0, but the stage critic is left out; give it time, or critic_weight 0"
            )

    @property
    def stages(self) -> tuple[VideoStage, ...]:
        """In the order of STAGES."""
        return (self.images, self.joint, self.long, self.best)

    @property
    def hints(self) -> float:
        """Weight of the questions half-way; adapters are trained without."""
        return 0.0 if self.adapter_rank else self.hint_weight


CRITIC = "critic"
STAGES = ("images", "joint", "long", "best")
ADAPTER = "adapter.safetensors"
ADVICE = ("guidance_scale", "temperature")  # fields that are shipped beside the weights


def run(recipe: VideoRecipe, workspace: Workspace) -> None:
    """Fill the caches, train every stage, average, export as nano/video; adapters stay in the recipe's folder.

    ConfigError where the last stage leaves nothing to average.
    """
    last = recipe.stages[-1]
    if not last.runs or not any(0 < mark <= 1 for mark in last.snapshots):
        raise ConfigError(
            f"the stage {STAGES[-1]} has {last.minutes} minutes, {last.steps} steps and snapshots at {last.snapshots}, "
            "but their average is what is shipped; give it time or steps, neither 0, and snapshots above 0 up to 1"
        )
    catalog.get("video_dit").preset(recipe.preset)  # an unknown one is told before the clips are drawn
    workspace.needs("nano/tae", *(f"nano/{name}" for name in ROLES), start=recipe.start, network="video_dit")
    data = Data(recipe, workspace)
    folder = workspace.training("nano-video")
    critic = taught_critic(recipe, data, folder / CRITIC) if recipe.critic_weight and recipe.hints else None
    objective = partial(
        flow_matching, channel_weight=data.channel_weight(), time_mean=recipe.time_mean, hint_weight=recipe.hints,
        subject_weight=recipe.subject_weight if recipe.hints else 1.0, critic=critic,
        critic_weight=recipe.critic_weight,
    )  # fmt: skip
    judged = "" if critic is None else weights_hash(critic)
    model = begun(recipe, data)
    steps = 0
    for number, (name, stage) in enumerate(zip(STAGES, recipe.stages, strict=True)):
        if not stage.runs:
            continue
        loop = loop_of(recipe, stage, name, recipe.seed + number)
        # The weights go on from stage to stage as they are; the average starts anew.
        workspace.fit(
            model, objective, data.source(stage, recipe.seed + 100 * number), loop, folder / name,
            hooks=[sheet_hook(workspace, data.clips, stage.size)], basis=data.basis(stage, taught=judged),
        )  # fmt: skip
        steps += workspace.steps("nano-video", name)
    merge(model, folder / STAGES[-1], last.snapshots)
    if recipe.adapter_rank:
        facts = {"base": Path(recipe.start).name, "steps": str(steps)}
        workspace.once(lambda: adapters.save(model, folder / ADAPTER, extra=facts))
        workspace.say(f"adapters: {folder / ADAPTER}")
        return
    assert isinstance(model, VideoPupil)
    workspace.export(
        "nano/video",
        model.finished(),
        start=recipe.start,
        recipe="nano-video",
        seed=recipe.seed,
        steps=steps,
        sampling={
            "guidance_scale": recipe.guidance_scale,
            "temperature": recipe.temperature,
            "largest_side": max(stage.size for stage in recipe.stages if stage.runs),
        },
    )


def loop_of(recipe: VideoRecipe, stage: VideoStage, name: str, seed: int) -> LoopConfig:
    """How a stage is trained."""
    return stage.loop(name, seed, snapshots=stage.snapshots, method=recipe.method, weight_decay=recipe.weight_decay)


def taught_critic(recipe: VideoRecipe, data: Data, folder: Path) -> LatentCritic:
    """A critic that has learned to read the recipe's latents, and learns no more."""
    workspace, stage = data.workspace, recipe.critic
    torch.manual_seed(recipe.seed)
    critic, loop = LatentCritic(), loop_of(recipe, stage, CRITIC, recipe.seed)
    source = data.source(stage, recipe.seed + 900)
    average = workspace.fit(critic, critic_loss, source, loop, folder, basis=data.basis(stage))
    average.copy_to(critic)
    return critic.eval().requires_grad_(False)


def begun(recipe: VideoRecipe, data: Data) -> VideoDiT:
    """The network that a recipe starts with: a VideoPupil, or a VideoDiT with adapters.

    ConfigError for adapters without a start.
    """
    torch.manual_seed(recipe.seed)
    model = catalog.build("video_dit", recipe.preset, device="cpu")
    assert isinstance(model, VideoDiT)
    if recipe.start:
        # Weights of shorter tables, as of a stage of lower resolution, grow into these.
        source = data.workspace.begun(recipe.start, "video_dit", "nano-video")
        assert isinstance(source, VideoDiT)
        model.load_state_dict(grow_weights(source.state_dict(), source.config, model.config))
    if recipe.adapter_rank:
        if not recipe.start:
            raise ConfigError("adapters need weights to adapt; name a checkpoint with --set start=FILE")
        adapters.adapt(model, recipe.adapter_rank)
        return model
    pupil = VideoPupil.of(model, tokens_of(data.texts, WHITENED_CLIPS) if recipe.whiten else {}, recipe.stir)
    pupil.teller.requires_grad_(recipe.hints > 0)
    return pupil


def merge(model: nn.Module, folder: Path, marks: Sequence[float]) -> None:
    """Give the model the average of the snapshots that a stage left in `folder` at the shares `marks`.

    CheckpointError where there are none, or they lack weights.
    """
    # The folder may hold those of an earlier training, which had other marks.
    files = [folder / SNAPSHOT.format(mark) for mark in sorted(marks)]
    files = [file for file in files if file.is_file()]
    if not files:
        raise CheckpointError(f"{folder} holds no snapshots at {marks}; train the stage anew, with --no-resume")
    mean = average([state.load(file)["shadow"] for file in files])
    missing = model.load_state_dict(mean, strict=False).missing_keys
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if trained & set(missing):
        raise CheckpointError(f"the snapshots in {folder} lack {sorted(trained & set(missing))[:5]}; train again")


class Kind(NamedTuple):
    """Clips of one kind, with what is said and told of them."""

    clips: Clips
    texts: ShardCache
    variants: int  # captions each
    hints: Hints | None


class Data:
    """Clips, latents and text features of the recipe, computed as stages ask for them."""

    def __init__(self, recipe: VideoRecipe, workspace: Workspace) -> None:
        self.recipe, self.workspace = recipe, workspace
        self.kinds: dict[str, Kind] = {}
        self.latents: dict[tuple[str, int], ShardCache] = {}  # by kind and size
        self.clips, self.texts, *_ = self.kind("clips")

    def kind(self, name: str) -> Kind:
        """Those of the recipe's field `name`: clips, stills or longs."""
        if name not in self.kinds:
            clips = self.workspace.clips(getattr(self.recipe, name), name)
            variants = self.recipe.still_variants if name == "stills" else self.recipe.variants
            texts = text_features(self.workspace, clips, variants, folder_of("captions", name))
            self.kinds[name] = Kind(clips, texts, variants, Hints(clips) if self.recipe.hints else None)
        return self.kinds[name]

    def source(self, stage: VideoStage, seed: int) -> Source:
        """The mixture of a stage; clips stand in the cache, so that any of its batches is quickly read."""
        side = self.recipe.window if self.recipe.hints else 0
        parts = [
            (stage.stills, "stills", seed + 3, 0),
            (stage.videos, "clips", seed + 1, 0),
            (stage.longs, "longs", seed + 2, 0),
            (stage.still_windows if side else 0, "stills", seed + 4, side),
            (stage.video_windows if side else 0, "clips", seed + 5, side),
        ]
        wanted = [part for part in parts if part[0]]
        sources = [self._samples(stage, name, own, window) for _, name, own, window in wanted]
        return Mixture(sources, [weight for weight, *_ in wanted])

    def _samples(self, stage: VideoStage, name: str, seed: int, side: int) -> Source:
        clips, texts, variants, hints = self.kind(name)
        if name == "clips":
            clips = clips.first(stage.clips or len(clips))
        factor = self.recipe.clips.size // stage.size
        cache = latents(self.workspace, clips, factor, folder_of("latents", name, stage.size))
        self.latents[name, stage.size] = cache
        numbers: list[int] = list(range(len(clips)))
        if name == "clips" and stage.best_share < 1.0:
            numbers = best_looking(clips, numbers, stage.best_share)
        # Both kinds are looked for among the clips themselves, so that one that is of both comes the sum of the times.
        more = [
            [number for number in numbers if kind(clips.scene(number))] * (turns - 1)
            for kind, turns in ((hard, stage.hard_turns), (falls, stage.falls_turns))
            if turns > 1
        ]
        numbers = sum(more, numbers)
        return samples(
            numbers, cache, texts, seed=seed, variants=variants, tokens_per_batch=stage.tokens_per_batch, hints=hints,
            side=side,
        )  # fmt: skip

    def basis(self, stage: VideoStage, **parts: Any) -> dict[str, Any]:
        """What a stage is trained on, whose source was asked for, and `parts`."""
        weights = {"clips": stage.videos + stage.video_windows, "stills": stage.stills + stage.still_windows}
        weights["longs"] = stage.longs
        used = [name for name in weights if weights[name] and (name, stage.size) in self.latents]
        parts["latents"] = {name: self.latents[name, stage.size].origin for name in used}
        parts["captions"] = {name: self.kinds[name].texts.origin for name in used}
        return basis_of(self.recipe, stage, without=ADVICE, **parts)

    def channel_weight(self) -> torch.Tensor:
        """How much each latent channel counts, measured on stills."""
        clips = self.workspace.clips(self.recipe.stills, "stills")
        tae = trained_tae(self.workspace)
        cache = latents(self.workspace, clips, 1, folder_of("latents", "stills", self.recipe.stills.size))
        return channel_weights(tae, cache, count=WEIGHED_STILLS, power=self.recipe.weight_power)


def sheet_hook(workspace: Workspace, clips: Clips, size: int) -> Hook:
    """Samples a few captions now and then and writes step-N.png, one row a clip, and their captions once."""
    tae, encoders = trained_tae(workspace), trained_encoders(workspace)
    prompts = [caption(clips.scene(number), 0) for number in range(min(SHEET_CLIPS, len(clips)))]
    conditioning = encode_prompt(encoders, prompts)
    frames = clips.config.kinds[0][0]

    def write(model: nn.Module, folder: Path, step: int) -> None:
        assert isinstance(model, VideoDiT)
        (folder / "captions.txt").write_text("\n".join(prompts) + "\n")
        shape = clip_latent(frames, size, size, batch=len(prompts))
        latent = sample_video(model, conditioning, shape, seed=0, steps=SHEET_STEPS, guidance_scale=SHEET_GUIDANCE)
        pixels = torch.cat([tae.decode(row[None], frames)[0, :, :: frames // 8] for row in latent], dim=1)
        contact_sheet(pixels.clamp(-1, 1).cpu(), 8).save(folder / f"step-{step:06d}.png")

    return write
