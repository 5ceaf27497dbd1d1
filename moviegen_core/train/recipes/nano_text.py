"""Recipe nano-text: the three nano text encoders, and the vision tower that MetaCLIP is trained against.

UL2 learns by a mixture of denoisers on captions, MetaCLIP by matching captions to frames, ByT5 by
denoising and copying the strings that signs show. All three are frozen afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from ...models.text import checkpoint, presets
from ...models.text.model import ROLES
from ...models.text.tokenizer import ByteTokenizer, LibraryTokenizer, TextTokenizer
from ...models.vision.checkpoint import save_vision_tower
from ...models.vision.presets import NANO as NANO_VISION
from .. import texts
from ..clips import drawing
from ..data import Objective, Source
from ..loop import LoopConfig
from ..objectives import contrastive, language
from ..optim import OptimConfig
from ..ranges import at_least
from ..vocabulary import build_tokenizer
from ..workspace import Workspace


def _stage(name: str, steps: int, rate: float, seed: int) -> LoopConfig:
    return LoopConfig(
        name=name,
        steps=steps,
        seed=seed,
        optim=OptimConfig(learning_rate=rate, betas=(0.9, 0.98), warmup_steps=50, final_scale=0.02),
        ema_decay=0.98,  # short runs
    )


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """Settings of the three stages; `roles` trains only some of them."""

    roles: tuple[str, ...] = ROLES
    ul2: LoopConfig = field(default_factory=lambda: _stage("ul2", 600, 2e-3, 2))
    metaclip: LoopConfig = field(default_factory=lambda: _stage("metaclip", 500, 1e-3, 3))
    byt5: LoopConfig = field(default_factory=lambda: _stage("byt5", 900, 3e-3, 1))
    ul2_batch: int = 32
    metaclip_batch: int = 64
    byt5_batch: int = 64
    frame_pool: int = 2048  # distinct scenes that MetaCLIP sees

    def __post_init__(self) -> None:
        unknown = sorted(set(self.roles) - set(ROLES))
        if unknown:
            raise ConfigError(f"nano-text has no role {', '.join(unknown)}; use some of {', '.join(ROLES)}")
        at_least(self, 1, "ul2_batch", "metaclip_batch", "byt5_batch", "frame_pool")


def run(recipe: TextRecipe, workspace: Workspace) -> None:
    """Train the encoders of `recipe.roles` and ship them as nano/<role> (and nano/metaclip_vision)."""
    folders = {role: workspace.training("text", role) for role in recipe.roles}
    for role, folder in folders.items():
        config: LoopConfig = getattr(recipe, role)
        torch.manual_seed(config.seed)
        preset = presets.NANO[role]
        tokenizer = make_tokenizer(role)
        module: nn.Module
        source: Source
        objective: Objective
        if role == "metaclip":
            module = contrastive.ContrastivePair(preset, NANO_VISION)
            source = texts.FrameSource(
                tokenizer, recipe.metaclip_batch, config.seed, NANO_VISION.image_size, recipe.frame_pool
            )
            objective = contrastive.contrastive_loss  # type: ignore[assignment]
        elif role == "ul2":
            module = language.denoising_model(preset)
            source = texts.CaptionSource(tokenizer, recipe.ul2_batch, config.seed)
            objective = language.denoising_loss
        else:
            module = language.denoising_model(preset)
            source = texts.StringSource(tokenizer, recipe.byt5_batch, config.seed)
            objective = language.byte_denoising_loss
        average = workspace.fit(module, objective, source, config, folder, basis=basis(recipe, role))
        with average.applied(module):
            steps = workspace.steps("text", role)
            workspace.once(partial(_ship, role, module, tokenizer, config.seed, steps, workspace))


def basis(recipe: TextRecipe, role: str) -> dict[str, Any]:
    """What the encoder of a role is trained on."""
    told: dict[str, Any] = {f"{role}_batch": getattr(recipe, f"{role}_batch")}
    if role != "byt5":
        told["words"] = texts.vocabulary_wording()
    if role == "metaclip":
        told |= {"frame_pool": recipe.frame_pool, "drawing": drawing()}
    return told


def make_tokenizer(role: str) -> TextTokenizer:
    """The nano tokenizer of a role, with the vocabulary of the toybox's captions."""
    if role == "byt5":
        return ByteTokenizer()
    preset = presets.NANO[role]
    return LibraryTokenizer(
        build_tokenizer(texts.vocabulary_captions(), preset.family, preset.vocab_size), preset.family
    )


def _ship(
    role: str, module: nn.Module, tokenizer: TextTokenizer, seed: int, steps: int, workspace: Workspace
) -> None:  # fmt: skip
    facts = {"recipe": "nano-text", "seed": seed, "steps": steps}
    if isinstance(module, contrastive.ContrastivePair):
        towers = {
            "text_projection": module.text_projection.weight,
            "vision_projection": module.vision_projection.weight,
        }
        network: nn.Module = module.text
        vision = module.vision
        workspace.enter(
            "nano/metaclip_vision", lambda file: save_vision_tower(file, NANO_VISION, vision, towers), **facts
        )
    else:
        network = language.encoder_of(module, presets.NANO[role])
    write = partial(
        checkpoint.save_text_encoder, role=role, config=presets.NANO[role], network=network, tokenizer=tokenizer,
        extra={"recipe": "nano-text"},
    )  # fmt: skip
    workspace.enter(f"nano/{role}", write, **facts)
