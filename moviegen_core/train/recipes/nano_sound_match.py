"""Recipe nano-sound-match: the small network that tells which sound belongs to moving pictures, and to which words.

It sees clips at 64 x 64 pixels and two seconds at a time; the clips are those of the recipe nano-audio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ...conditioning.sound import interpolate
from ...errors import ConfigError
from ...media.frames import from_uint8
from ...models import catalog
from ...models.sound_match.model import MOMENT_RATE, SoundMatch
from ...models.sound_match.start import start_from
from ..basis import basis_of
from ..cache import ShardCache
from ..clips import ClipConfig, drawing
from ..data import Batch, Mixture, position_rng
from ..hints import struck
from ..objectives.sound_match import NEAREST_SHIFT, sound_match_loss
from ..optim import check_method
from ..pupil import MatchPupil
from ..ranges import at_least
from ..single import SingleStage, train_and_ship
from ..sound_data import (
    BANDS,
    EFFECTS,
    HITS,
    TEXT,
    TEXT_ENCODER,
    SoundClips,
    band_cache,
    collate_texts,
    effects_of,
    sound_clips,
    text_cache,
    text_tokens,
)
from ..workspace import Workspace

# Half of all clips last four seconds; rates from 12 to 30 frames a second teach the clock.
CLIPS = ClipConfig(
    count=2400,
    size=64,
    kinds=((64, 16, 4), (96, 24, 2), (120, 30, 1), (48, 12, 1), (128, 16, 1), (32, 16, 1), (16, 16, 1)),
    first_seed=4_000_000,
)
# Somebody's steps are the least to be seen of all that is struck, and one clip in fifty of the others shows any.
STRUCK = replace(CLIPS, count=1200, motions=("walk", "walk", "collide"), first_seed=4_500_000)
KINDS = ("clips", "struck")  # of clips: fields of the recipes, and what folders are named after
STATISTICS_SOUNDS = 200


@dataclass(frozen=True, kw_only=True)
class SoundMatchRecipe(SingleStage):
    """Sizes, seed and time of nano/sound_match."""

    preset: str = "nano"
    start: str = ""  # weights of the preset to train on from, a shipped name or a file; empty: from scratch
    seed: int = 51
    clips: ClipConfig = field(default_factory=lambda: CLIPS)
    struck: ClipConfig = field(default_factory=lambda: STRUCK)
    turns: tuple[int, int] = (2, 1)  # batches of `clips` and of `struck` in each round
    variants: int = 4  # captions a sound
    seconds: float = 2.0
    batch_size: int = 20
    minutes: float | None = 10.0
    method: str = "muon"  # 60 of its steps teach more than 200 of AdamW's
    learning_rate: float = 4e-3
    warmup_steps: int = 20
    ema_decay: float = 0.99
    foretell_weight: float = 4.0  # on the loudness of sounds without music, which are rendered for it alone
    hit_weight: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_method(self.method)
        least = (2 * NEAREST_SHIFT + 1) / MOMENT_RATE
        if not self.seconds >= least:
            raise ConfigError(f"parts of {self.seconds:g} s cannot be told from moved ones; use at least {least:g} s")
        check_turns(self.turns)
        at_least(self, 1, "variants", "batch_size")
        at_least(self, 0, "foretell_weight", "hit_weight")


def run(recipe: SoundMatchRecipe, workspace: Workspace) -> None:
    """Train and ship as nano/sound_match."""
    workspace.needs(TEXT_ENCODER, start=recipe.start, network="sound_match")
    torch.manual_seed(recipe.seed)
    match = catalog.build("sound_match", recipe.preset, device="cpu")
    assert isinstance(match, SoundMatch)
    if recipe.start:
        known = workspace.begun(recipe.start, "sound_match", "nano-sound-match")
        assert isinstance(known, SoundMatch)
        start_from(match, known)
    parts = [segments(recipe, workspace, kind, match.config.bands) for kind in kinds(recipe.turns)]
    if not recipe.start:  # weights to train on from were learned with theirs
        match.text_standard.measure(text_tokens(parts[0].texts, STATISTICS_SOUNDS))
    loop = recipe.loop("sound_match", recipe.seed, method=recipe.method, weight_decay=0.02)
    objective = partial(sound_match_loss, foretell_weight=recipe.foretell_weight, hit_weight=recipe.hit_weight)
    train_and_ship(
        MatchPupil.of(match), objective, Mixture(parts, recipe.turns[: len(parts)]), loop, workspace,
        finish=MatchPupil.finished, start=recipe.start, basis=basis_of(recipe, **origins(parts)),
    )  # fmt: skip


def check_turns(turns: Sequence[int]) -> None:
    """ConfigError where no batches of the first kind are asked for, or fewer than none of another."""
    if turns[0] < 1 or min(turns) < 0:
        raise ConfigError(f"turns {list(turns)} must be at least 1 for the clips, and at least 0 for the others")


def origins(parts: Sequence[Segments]) -> dict[str, Any]:
    """What the caches were made by, of each of KINDS."""
    caches = {kind: {TEXT: part.texts, **part.caches} for kind, part in zip(KINDS, parts, strict=False)}
    return {
        "read": {kind: {name: cache.origin for name, cache in held.items()} for kind, held in caches.items()},
        "drawing": drawing(),
    }


def kinds(turns: tuple[int, int]) -> tuple[str, ...]:
    """Those of KINDS of which there are batches: `turns` may leave the second out."""
    return KINDS if turns[1] else KINDS[:1]


def segments(recipe: SoundMatchRecipe, workspace: Workspace, kind: str, bands: int) -> Segments:
    """Batches of the clips of one of KINDS, which are drawn and encoded now where they are missing."""
    data = sound_clips(workspace, getattr(recipe, kind), kind)
    texts = text_cache(workspace, data, recipe.variants)
    caches = {BANDS: band_cache(workspace, data, bands)}
    if recipe.foretell_weight:
        caches[EFFECTS] = band_cache(workspace, effects_of(workspace, data), bands, EFFECTS)
    return Segments(data, caches, texts, recipe)


class Segments:
    """Batches for `sound_match_loss`: parts of clips of one length and frame rate, from any moment on."""

    def __init__(
        self, data: SoundClips, caches: Mapping[str, ShardCache], texts: ShardCache, recipe: SoundMatchRecipe
    ) -> None:
        """`caches` hold the bands of each sound, by key."""
        self.data, self.caches, self.texts, self.recipe = data, caches, texts, recipe
        self.kinds: dict[tuple[int, int], list[int]] = {}
        for number in range(len(data)):
            if data.seconds(number) >= recipe.seconds:
                self.kinds.setdefault(data.seen.config.kind(number), []).append(number)
        if not self.kinds:
            raise ConfigError(f"no clip lasts {recipe.seconds:g} s; add longer ones to the recipe's clips")

    def batch(self, position: int) -> Batch:
        """Batch number `position`; kinds come as often as they have clips."""
        rng = position_rng(self.recipe.seed, position)
        counts = np.array([len(numbers) for numbers in self.kinds.values()])
        kind = list(self.kinds)[int(rng.choice(len(counts), p=counts / counts.sum()))]
        size = min(self.recipe.batch_size, len(self.kinds[kind]))
        chosen = rng.choice(self.kinds[kind], size, replace=False)
        return collate_texts([self._sample(int(number), *kind, rng) for number in chosen])

    def _sample(self, number: int, frames: int, fps: int, rng: np.random.Generator) -> Batch:
        moments = round(self.recipe.seconds * MOMENT_RATE)
        heard = {name: cache.get(number, name) for name, cache in self.caches.items()}
        length = heard[BANDS].shape[0]
        first = int(rng.integers(length - moments + 1))
        hits = struck(self.data.sounds.scene(number), length, MOMENT_RATE)
        shown = min(math.ceil(self.recipe.seconds * fps) + 2, frames)
        start = min(int(first / MOMENT_RATE * fps), frames - shown)
        pixels = from_uint8(np.array(self.data.seen.pixels(number)[start : start + shown]))
        # What is heard is mono: left and right are alike.
        pixels = pixels.flip(-1) if rng.random() < 0.5 else pixels
        wanted = (torch.arange(first, first + moments, dtype=torch.float64) + 0.5) / MOMENT_RATE
        times = torch.arange(start, start + shown, dtype=torch.float64) / fps
        return {
            "pictures": pixels.transpose(0, 1),
            "clock": interpolate(torch.eye(shown), times, wanted),
            HITS: hits[first : first + moments],
            **{name: bands[first : first + moments] for name, bands in heard.items()},
            TEXT: self.texts.get(number, f"{TEXT}.{int(rng.integers(self.recipe.variants))}"),
        }
