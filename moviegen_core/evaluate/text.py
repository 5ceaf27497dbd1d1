"""What can be read off the text encoders' features: facts of captions and letters of words that none was trained on.

A linear map is fitted to features of captions from the training worlds (ridge regression) and asked about unseen ones:
what it cannot find there, the first layer of a transformer cannot find either. The matching tower is measured at its
own task too: whose caption is a picture's?
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..conditioning.text import Encodes
from ..errors import ConfigError
from ..media.frames import from_uint8
from ..models.text import load_text_encoder
from ..models.text.model import ROLES
from ..models.vision.checkpoint import PROJECTIONS, load_vision_tower
from ..pipelines.parts import find_parts
from ..toybox import Scene, captions, render, sample_scene
from .report import write_report
from .text_to_video import ATTRIBUTES

SEED = 9_000_000  # far from every training seed
RIDGE = 1e-3  # of the features' mean power
RIVALS = 20  # captions among which a picture finds its own
WORD_LETTERS = 6
BATCH = 100


def evaluate(
    output: Path,
    *,
    model: str = "nano",
    fitted: int = 2000,
    clips: int = 400,
    on_clip: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Share of right answers read off each encoder of `model`; writes text.json and text.md.

    fitted: captions (or words) that the linear map is fitted to. clips: unseen scenes, half of them held-out
    combinations, whose captions are asked about. ConfigError for too few of either, or a model without encoders.
    """
    if fitted < 2 or clips < RIVALS:  # a single one has no spread
        raise ConfigError(f"{fitted} fitted and {clips} asked captions were given; at least 2 and {RIVALS} are needed")
    files = find_parts(model, (*ROLES, "metaclip_vision"))
    known = [sample_scene(SEED + number, split="train") for number in range(fitted)]
    asked = [sample_scene(SEED + fitted + number, split=("test", "heldout")[number % 2]) for number in range(clips)]
    report: dict[str, Any] = {"model": model, "fitted": fitted, "clips": clips}
    roles = [role for role in ROLES if role in files]
    if not roles:
        raise ConfigError(f"{model} holds no text encoder (ul2, metaclip, byt5); there is nothing to measure")
    for role in roles:
        encoder = load_text_encoder(role, files[role])
        read = letters_read if role == "byt5" else facts_read
        report[role] = read(encoder, known, asked)
        if role == "metaclip" and "metaclip_vision" in files:
            report["metaclip_vision"] = {"own caption": own_captions(encoder, files["metaclip_vision"], asked)}
        if on_clip:
            on_clip(role, clips, clips)
    write_report(output, "text", report, as_markdown(report))
    return report


def facts_read(encoder: Encodes, known: Sequence[Scene], asked: Sequence[Scene]) -> dict[str, float]:
    """Share of the `asked` scenes whose thing, colour, ... is read off the mean of their caption's features."""
    seen, new = (pooled(encoder, [said(scene) for scene in scenes]) for scenes in (known, asked))
    found = {}
    for name in ATTRIBUTES:
        truth, wanted = ([str(scene.labels()[name]) for scene in scenes] for scenes in (known, asked))
        classes = {answer: number for number, answer in enumerate(sorted({*truth, *wanted}))}
        numbers = (torch.tensor([classes[answer] for answer in answers]) for answers in (truth, wanted))
        found[name] = probe(seen, next(numbers), new, next(numbers), len(classes))
    return found


def letters_read(encoder: Encodes, known: Sequence[Scene], asked: Sequence[Scene]) -> dict[str, float]:
    """Share of the letters of random words that are read off their own byte, and off the byte after them.

    As many words as there are scenes on either side.
    """
    (seen, letters), (new, wanted) = (spelled(encoder, len(scenes), seed) for seed, scenes in enumerate((known, asked)))
    count = len(string.ascii_uppercase)

    def read(offset: int) -> float:
        """Off the byte that stands `offset` after the letter."""
        features = (part[:, offset:].flatten(0, 1) for part in (seen, new))
        truth = (part[:, : WORD_LETTERS - offset].flatten() for part in (letters, wanted))
        return probe(next(features), next(truth), next(features), next(truth), count)

    return {"letter": read(0), "letter before": read(1)}


@torch.inference_mode()
def spelled(encoder: Encodes, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features [N, letters, E] of random words, and their letters [N, letters] as numbers."""
    letters = np.random.default_rng((SEED, seed)).integers(len(string.ascii_uppercase), size=(count, WORD_LETTERS))
    words = ["".join(string.ascii_uppercase[letter] for letter in row) for row in letters]
    rows = [encoder.encode(words[start : start + BATCH])[0] for start in range(0, count, BATCH)]
    return torch.cat([row[:, :WORD_LETTERS].float() for row in rows]), torch.from_numpy(letters)


@torch.inference_mode()
def own_captions(encoder: Encodes, tower_file: Path, scenes: Sequence[Scene]) -> float:
    """Share of the scenes whose picture is nearest to its own caption, among those of RIVALS scenes.

    ConfigError for a tower that shares no space with the text.
    """
    tower, projections = load_vision_tower(tower_file)
    if set(projections) != set(PROJECTIONS):
        raise ConfigError(f"{tower_file} has no space that it shares with the text; it cannot be asked for captions")
    size = int(cast(Any, tower.config).image_size)
    right = []
    for start in range(0, len(scenes) - RIVALS + 1, RIVALS):
        rivals = scenes[start : start + RIVALS]
        frames = [render(scene, num_frames=1, fps=16, height=size, width=size, start_seconds=0.5) for scene in rivals]
        pictures = torch.cat([from_uint8(np.ascontiguousarray(frame)).movedim(1, 0) for frame in frames])
        shown = tower(pixel_values=pictures).pooler_output @ projections["vision_projection"].float().T
        features, mask = encoder.encode([said(scene) for scene in rivals])
        # The end token alone sees the whole text.
        last = features[torch.arange(len(features)), mask.sum(dim=1) - 1].float()
        told = last @ projections["text_projection"].float().T
        likeness = functional.normalize(shown, dim=-1) @ functional.normalize(told, dim=-1).T
        right += (likeness.argmax(dim=1) == torch.arange(len(rivals))).tolist()
    return float(np.mean(right))


def said(scene: Scene) -> str:
    """The scene's long caption, which tells all of its facts."""
    return captions(scene, scene.seed).long


@torch.inference_mode()
def pooled(encoder: Encodes, texts: Sequence[str]) -> Tensor:
    """Mean features [N, E] of N texts, read some at a time."""
    found = []
    for start in range(0, len(texts), BATCH):
        features, mask = encoder.encode(texts[start : start + BATCH])
        weight = mask.unsqueeze(-1).float()
        found.append((features.float() * weight).sum(dim=1) / weight.sum(dim=1))
    return torch.cat(found)


def probe(seen: Tensor, truth: Tensor, new: Tensor, wanted: Tensor, classes: int) -> float:
    """Share of `new` [M, E] whose class `wanted` [M] a linear map fitted to `seen` [N, E] and `truth` [N] names."""
    seen, new, truth, wanted = seen.cpu(), new.cpu(), truth.cpu(), wanted.cpu()  # Apple's GPUs have no float64
    mean, spread = seen.double().mean(dim=0), seen.double().std(dim=0).clamp(min=1e-9)
    known, asked = (functional.pad((features.double() - mean) / spread, (0, 1), value=1.0) for features in (seen, new))
    power = known.T @ known
    power += RIDGE * len(known) * torch.eye(len(power), dtype=power.dtype)
    answers = asked @ torch.linalg.solve(power, known.T @ functional.one_hot(truth, classes).double())
    return float((answers.argmax(dim=1) == wanted).double().mean())


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table for docs/nano.md."""
    rows = [
        (role, name, share)
        for role, found in report.items()
        if isinstance(found, dict)
        for name, share in found.items()
    ]
    lines = ["| encoder | what is read | right |", "|---|---|---|"]
    lines += [f"| {role} | {name} | {share:.1%} |" for role, name, share in rows]
    return "\n".join([*lines, ""])
