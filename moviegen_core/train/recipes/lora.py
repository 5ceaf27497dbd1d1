"""lora: a low-rank adapter beside weights that stay, learned from a user's films or from scenes of the toybox.

Not part of `make nano`. The file is read by ComfyUI's LoRA loaders and by `moviegen make --lora`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from ...config import to_dict
from ...errors import ConfigError
from ...models import adapters
from ...models.text.model import ROLES
from ...pipelines.decode import encode_video
from ...pipelines.movie import MovieGenPipeline
from ..basis import basis_of
from ..cache import ShardCache
from ..data import Batch
from ..latents import LATENT, encode_texts, encoder_hash, samples, weights_hash
from ..loop import Hook, LoopConfig
from ..objectives.video import flow_matching
from ..optim import OptimConfig
from ..origin import claim
from ..ranges import above, at_least
from ..shots import Films, Scenes, ShotConfig, Shots
from ..workspace import Workspace

SHEET_STEPS, SHEET_FRAMES, SHEET_PROMPTS = 12, 8, 2


@dataclass(frozen=True, kw_only=True)
class LoraRecipe:
    """What is adapted, to what, and for how long."""

    name: str = "lora"  # the file is called so
    model: str = "nano"  # a shipped name, or a folder as MovieGenPipeline.from_pretrained takes it
    films: str = ""  # a folder of films and pictures, each with its caption in a .txt of the same name
    caption: str = ""  # of files without a text
    per_film: int = 8  # shots, at most
    scenes: int = 64  # of the toybox, where no films are given
    about: str = ""  # a word of their captions
    shots: ShotConfig = field(default_factory=ShotConfig)
    rank: int = 8
    alpha: float | None = None  # what the adapters add is scaled by alpha / rank; null takes the rank
    steps: int | None = 400
    minutes: float | None = None
    tokens_per_batch: int = 2048
    learning_rate: float = 2e-3
    ema_decay: float = 0.98
    seed: int = 31

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]*", self.name):
            raise ConfigError(f"name {self.name!r} must be a file name of letters, digits, dots, dashes and spaces")
        at_least(self, 1, "per_film", "scenes", "rank", "tokens_per_batch")
        at_least(self, 0, "learning_rate")
        above(self, 0, "steps", "minutes", "alpha")
        loop_of(self)


def run(recipe: LoraRecipe, workspace: Workspace) -> None:
    """Encode the shots, train the adapters, write them into NAME.safetensors of the folder "lora"."""
    shots = shots_of(recipe)
    pipeline = MovieGenPipeline.from_pretrained(
        recipe.model, device=workspace.placement.device, dtype=workspace.placement.dtype
    )
    adapters.check_rank(pipeline.video, recipe.rank)
    pipeline.check_size(recipe.shots.frames, recipe.shots.height, recipe.shots.width, recipe.shots.fps)
    # A name is taken once everything was looked at: what was wrong can then be corrected under the same name.
    folder = workspace.training("lora", recipe.name)
    if not workspace.resume:
        workspace.once(lambda: (folder / "manifest.json").unlink(missing_ok=True))
    claim(
        folder,
        to_dict(recipe),
        "{folder} holds a LoRA of another {changed}; choose another --set name=..., or train it anew with --no-resume",
    )
    latents = encoded_shots(pipeline, shots, folder / "latents", workspace)
    texts = encoded_captions(pipeline, shots, recipe.shots.fps, folder / "texts", workspace)
    torch.manual_seed(recipe.seed)
    model = adapters.adapt(pipeline.video, recipe.rank, alpha=recipe.alpha)
    source = samples(
        range(len(shots.captions)), latents, texts, variants=len(shots.captions[0]),
        tokens_per_batch=recipe.tokens_per_batch, seed=recipe.seed,
    )  # fmt: skip
    average = workspace.fit(
        model, flow_matching, source, loop_of(recipe), folder, hooks=[sheet_hook(pipeline, recipe, shots)],
        basis=basis_of(recipe, latents=latents.origin, captions=texts.origin),
    )  # fmt: skip
    average.copy_to(model)
    facts = {"base": recipe.model, "steps": str(workspace.steps("lora", recipe.name))}
    path = workspace.folder("lora", f"{recipe.name}.safetensors")
    workspace.once(lambda: adapters.save(model, path, extra=facts))
    workspace.say(f"{path}: put it into ComfyUI/models/loras, or add --lora {path} to moviegen make")


def loop_of(recipe: LoraRecipe) -> LoopConfig:
    """How the adapters are trained."""
    return LoopConfig(
        name="lora",
        steps=recipe.steps,
        max_minutes=recipe.minutes,
        seed=recipe.seed,
        ema_decay=recipe.ema_decay,
        keep_frozen=False,
        optim=OptimConfig(learning_rate=recipe.learning_rate, weight_decay=0.0, warmup_steps=20),
    )


def shots_of(recipe: LoraRecipe) -> Shots:
    """The films that were named, else scenes of the toybox."""
    if not recipe.films:
        return Scenes(recipe.scenes, recipe.shots, about=recipe.about)
    return Films(Path(recipe.films).expanduser(), recipe.shots, default=recipe.caption, per_film=recipe.per_film)


@torch.inference_mode()
def encoded_shots(pipeline: MovieGenPipeline, shots: Shots, folder: Path, workspace: Workspace) -> ShardCache:
    """Latent of every shot, computed now where it is missing."""
    tae = pipeline.tae
    origin = {"tae": encoder_hash(tae), **shots.facts}
    cache = ShardCache(folder, len(shots.captions), origin, anew=not workspace.resume)

    def make(numbers: Sequence[int]) -> list[Batch]:
        place = pipeline.placement.device
        return [{LATENT: encode_video(tae, clip[None].to(place))[0].float().cpu()} for clip in shots.pixels(numbers)]

    cache.fill(make, f"{len(shots.captions)} shots, part", workspace.out)
    return cache


@torch.inference_mode()
def encoded_captions(
    pipeline: MovieGenPipeline, shots: Shots, fps: float, folder: Path, workspace: Workspace
) -> ShardCache:
    """Features of every caption, computed now where they are missing: keys "ul2.0", "metaclip.0", ..."""
    told = hashlib.sha256(repr(shots.captions).encode()).hexdigest()
    encoders = {name: getattr(pipeline.encoders, name) for name in ROLES}
    hashes = {name: weights_hash(encoder) for name, encoder in encoders.items() if encoder is not None}
    origin = {"captions": told, "fps": fps, **hashes}
    cache = ShardCache(folder, len(shots.captions), origin, anew=not workspace.resume)

    def make(numbers: Sequence[int]) -> list[Batch]:
        return [encode_texts(pipeline.encoders, shots.captions[number], fps) for number in numbers]

    cache.fill(make, f"captions of {len(shots.captions)} shots, part", workspace.out)
    return cache


def sheet_hook(pipeline: MovieGenPipeline, recipe: LoraRecipe, shots: Shots) -> Hook:
    """Films the first captions as the adapted model sees them: step-N-0.png, step-N-1.png."""
    form = recipe.shots
    prompts = list(dict.fromkeys(captions[0] for captions in shots.captions))[:SHEET_PROMPTS]

    def write(model: nn.Module, folder: Path, step: int) -> None:
        for number, prompt in enumerate(prompts):
            film = pipeline(
                prompt, num_frames=form.frames, fps=form.fps, height=form.height, width=form.width, steps=SHEET_STEPS
            )
            film.contact_sheet(SHEET_FRAMES, SHEET_FRAMES).save(folder / f"step-{step:06d}-{number}.png")

    return write
