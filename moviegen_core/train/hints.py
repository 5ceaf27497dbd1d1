"""What training may tell a network outright about a toybox clip: what is where, how it moves, and what is heard.

The labels come from the scene, the room for the answers is the tokens of a block half-way; so that half of the network
learns soon what the words say about each place, and the other half to draw it (after REPA, arXiv 2410.06940, which
aligns the same layers with another network's features).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..evaluate.onsets import HIT_KINDS
from ..ops.patchify import patchify
from ..shapes import PATCH_SIZE, SOUND_LATENT_RATE, TEMPORAL_STRIDE
from ..toybox import AMBIENCES, CAMERAS, MOODS, MOTIONS, SOUND_KINDS, THINGS, Scene, camera, sound_labels
from ..toybox.vocabulary import PERSON_MOTIONS
from .clips import Clips

CLASSES = ("nothing", *THINGS, "person")
MOVES = (*MOTIONS, *PERSON_MOTIONS)
CELLS = PATCH_SIZE[0] * PATCH_SIZE[1] * PATCH_SIZE[2]  # latent cells of a token, each with a class of its own
ANSWERS = CELLS * len(CLASSES) + len(MOVES) + len(CAMERAS)  # numbers a token answers with
SOUND_HINTS = {"kind": SOUND_KINDS, "ambience": AMBIENCES, "mood": MOODS}
SOUND_ANSWERS = sum(len(known) for known in SOUND_HINTS.values()) + 1  # the last: whether something is struck
HINTS = ("cells", "move", "camera")  # their names in a batch

MARGIN = 1.15  # of the radius, which wings, fins and strings overstep
RARE = 5.0  # how much more a cell of the subject counts than one of nothing
RARE_HIT = 8.0  # the same of a sound frame in which something is struck
UNTOLD = -100  # what cross-entropy leaves out
KEPT = 20_000  # clips whose hints a process holds; each is a kilobyte


class Hints:
    """Hints of rendered clips, by number."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips
        self.of = lru_cache(maxsize=KEPT)(self._of)

    def _of(self, number: int, rows: int, columns: int) -> dict[str, Tensor]:
        """For a latent of T frames, `rows` and `columns`:

        "cells" uint8 [T, rows, columns], numbers of CLASSES: the subject in the square about it, in any frame that a
        latent frame covers; "move" and "camera" [], numbers of MOVES and CAMERAS, UNTOLD for a still.
        """
        config, scene = self.clips.config, self.clips.scene(number)
        frames, fps = config.kind(number)
        times = config.start(number) + np.arange(frames) / fps
        inside = np.stack([square(scene, time, rows, columns) for time in times])
        inside = np.logical_or.reduceat(inside, np.arange(0, frames, TEMPORAL_STRIDE), axis=0)
        still = frames == 1
        return {
            "cells": torch.from_numpy(inside.astype(np.uint8) * CLASSES.index(scene.subject.thing)),
            "move": torch.tensor(UNTOLD if still else MOVES.index(scene.motion.kind)),
            "camera": torch.tensor(UNTOLD if still else CAMERAS.index(scene.camera.move)),
        }


def square(scene: Scene, time: float, rows: int, columns: int) -> np.ndarray:
    """bool [rows, columns]: which cells of the frame at `time` the square about the subject touches."""
    x, y = scene.positions(time, columns / rows)
    radius = MARGIN * scene.subject.radius * camera.view(scene, time).zoom * min(rows, columns) + 0.5
    across = np.abs(np.arange(columns) + 0.5 - x * columns) < radius
    down = np.abs(np.arange(rows) + 0.5 - y * rows) < radius
    return down[:, None] & across


def window(cells: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """cells as of `Hints.of` -> numbers [T * side * side] of the tokens in a square about the subject, frame by frame.

    It lies up to a token off, as `rng` draws, and inside the frame; where no subject is seen it stays where it was.
    """
    frames, rows, columns = (length // step for length, step in zip(cells.shape, PATCH_SIZE, strict=True))
    seen = (patchify(cells[None, None].float(), PATCH_SIZE)[0] > 0).any(dim=2).view(frames, rows, columns).numpy()
    limits = np.maximum(np.array([rows, columns]) - side, 0)
    corner = rng.integers(0, limits + 1)
    numbers = []
    for frame, here in enumerate(seen):
        if here.any():
            found = np.argwhere(here)
            centre = (found.min(axis=0) + found.max(axis=0) + 1) / 2
            corner = np.clip(np.round(centre - side / 2).astype(int) + rng.integers(-1, 2, size=2), 0, limits)
        down, across = (
            np.arange(start, min(start + side, end)) for start, end in zip(corner, (rows, columns), strict=True)
        )
        numbers.append((frame * rows + down[:, None]) * columns + across)
    return torch.from_numpy(np.stack(numbers).ravel())


def answer_loss(
    answers: Tensor, cells: Tensor, move: Tensor, camera: Tensor, shown: Tensor | None = None
) -> dict[str, Tensor]:
    """answers [B, N, ANSWERS] of the tokens, hints as of `Hints.of` with a batch axis -> cross-entropies.

    "hints" is their sum; "things" (detached), where there are any, how many cells of a subject are told right. The
    motion is asked where the subject is, the camera everywhere. Where only some tokens answer, `shown` [B, N] says
    which.
    """
    told = patchify(cells[:, None].float(), PATCH_SIZE)[0].long()  # [B, N, CELLS]
    if shown is not None:
        told = told.gather(1, shown[..., None].expand(-1, -1, CELLS))
    things, moves, cameras = answers.float().split([CELLS * len(CLASSES), len(MOVES), len(CAMERAS)], dim=2)
    things, told_cells = things.reshape(-1, len(CLASSES)), told.flatten()
    subject = told_cells > 0
    weight = things.new_ones(len(CLASSES))
    weight[1:] = RARE
    here = told.amax(dim=2) > 0
    move = torch.where(here, move[:, None], UNTOLD)
    camera = camera[:, None].expand(here.shape)
    total = F.cross_entropy(things, told_cells, weight=weight)
    for scores, wanted in ((moves, move), (cameras, camera)):
        if bool((wanted != UNTOLD).any()):
            total = total + F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), ignore_index=UNTOLD)
    if not bool(subject.any()):
        return {"hints": total}
    right = things[subject, 1:].argmax(dim=1) + 1 == told_cells[subject]
    return {"hints": total, "things": right.float().mean().detach()}


def sound_hints(scene: Scene, length: int, *, subject: bool = True) -> dict[str, Tensor]:
    """What is heard in the first `length` sound frames of a scene, with its `subject` or without.

    Numbers [] of SOUND_HINTS under their names, and "hits" bool [length] as of `struck`.
    """
    labels = sound_labels(scene, subject=subject)
    told = {name: torch.tensor(known.index(getattr(labels, name))) for name, known in SOUND_HINTS.items()}
    hits = struck(scene, length, SOUND_LATENT_RATE) if subject else torch.zeros(length, dtype=torch.bool)
    return told | {"hits": hits}


def struck(scene: Scene, length: int, rate: int) -> Tensor:
    """bool [length], `rate` a second from the scene's beginning: when something is heard to be struck."""
    hits = torch.zeros(length, dtype=torch.bool)
    if sound_labels(scene).kind != "silence":
        moments = [event.time_seconds for event in scene.events_until(length / rate) if event.kind in HIT_KINDS]
        hits[[min(int(moment * rate), length - 1) for moment in moments]] = True
    return hits


def sound_answer_loss(answers: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """answers [B, L, SOUND_ANSWERS] of the sound frames, labels [B], "hits" [B, L] -> "hints", all cross-entropies.

    What is heard all frames answer together, whether something is struck each for itself; "kinds", "ambiences", "moods"
    and, where there are any, "hits" (detached) are how many they tell right.
    """
    heard, hit = answers.float().split([SOUND_ANSWERS - 1, 1], dim=2)
    parts = heard.mean(dim=1).split([len(known) for known in SOUND_HINTS.values()], dim=1)
    scores = dict(zip(SOUND_HINTS, parts, strict=True))
    report = {f"{name}s": (row.argmax(dim=1) == labels[name]).float().mean() for name, row in scores.items()}
    total = torch.stack([F.cross_entropy(row, labels[name]) for name, row in scores.items()]).sum()
    told = hit_loss(hit[..., 0], labels["hits"])
    return {**report, **told, "hints": total + told["hints"]}


def hit_loss(scores: Tensor, hits: Tensor) -> dict[str, Tensor]:
    """Whether something is struck: scores and truths [B, L] -> "hints" and, where there are any, "hits" told right."""
    hits, scores = hits.bool(), scores.float()
    loss = F.binary_cross_entropy_with_logits(scores, hits.float(), pos_weight=scores.new_tensor(RARE_HIT))
    right = {"hits": (scores.detach()[hits] > 0).float().mean()} if bool(hits.any()) else {}
    return {"hints": loss, **right}
