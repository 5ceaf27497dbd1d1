"""Texts to learn from: toybox captions (with frames for the contrastive objective) and strings for ByT5.

A source gives the batch of any position: what it holds depends on its seed and that position only.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Sequence
from functools import cache, lru_cache

import torch
from torch import Tensor

from .. import toybox
from ..conditioning.text import fps_tag
from ..models.text.tokenizer import TextTokenizer
from ..toybox.vocabulary import WORDS
from .vocabulary import COMMON_WORDS

MAX_TOKENS = 96  # longer captions are cut in training only
_RATES = (16, 16, 16, 24, 24, 8, 12, 30)
_TAGGED = 0.85  # the rest learn that the frame-rate tag may be missing
_STRANGER = 0.25  # share of texts that get a few words from outside the toybox
_SCENES_PER_SEED = 10_000_000
_MOMENTS = 4  # frames of one scene


def pad(rows: Sequence[Sequence[int]], limit: int = MAX_TOKENS) -> dict[str, Tensor]:
    """Rows of ids that end in their end token -> "ids" [B, L] and "mask" [B, L]; a cut row keeps its end token."""
    cut = [list(row) if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in rows]
    ids = torch.zeros(len(cut), max(len(row) for row in cut), dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for index, row in enumerate(cut):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = True
    return {"ids": ids, "mask": mask}


def drawn_prompt(scene: toybox.Scene, rng: random.Random) -> str:
    """A short or long caption of a scene, as prompts are: tagged, and now and then disturbed."""
    captions = toybox.captions(scene, rng.randrange(2**31))
    text = captions.short if rng.random() < 0.5 else captions.long
    if rng.random() < _STRANGER:
        words = text.split(" ")
        for _ in range(rng.randint(1, 3)):
            words.insert(rng.randint(0, len(words)), rng.choice(COMMON_WORDS))
        text = " ".join(words)
    return f"{fps_tag(rng.choice(_RATES))} {text}" if rng.random() < _TAGGED else text


@lru_cache(maxsize=1)
def vocabulary_captions(count: int = 3000) -> tuple[str, ...]:
    """Captions from which the nano vocabulary is taken: short and long ones of the first training scenes."""
    found: list[str] = []
    for seed in range(count):
        captions = toybox.captions(toybox.sample_scene(seed, split="train"), seed)
        found += [captions.short, captions.long]
    return tuple(found)


@cache
def vocabulary_wording() -> str:
    """Fingerprint of the captions: a hash of those of the vocabulary, so that other words are noticed."""
    return hashlib.sha256("\n".join(vocabulary_captions()).encode()).hexdigest()[:16]


class CaptionSource:
    """Batches of tokenised captions: "ids" and "mask" [B, L]."""

    def __init__(self, tokenizer: TextTokenizer, batch_size: int, seed: int) -> None:
        self.tokenizer, self.batch_size, self.seed = tokenizer, batch_size, seed

    def batch(self, position: int) -> dict[str, Tensor]:
        """Batch number `position`."""
        rng = random.Random(f"captions {self.seed} {position}")
        first = self.seed * _SCENES_PER_SEED + position * self.batch_size
        scenes = [toybox.sample_scene(first + row, split="train") for row in range(self.batch_size)]
        return pad([self.tokenizer.encode(drawn_prompt(scene, rng)) for scene in scenes])


class FrameSource:
    """Batches of single frames with captions: "frames" [B, 3, S, S] in [-1, 1], "ids" and "mask" [B, L].

    Drawing costs more than learning here, so `pool` scenes are drawn once each, at four moments, and come back
    with another caption every time.
    """

    def __init__(self, tokenizer: TextTokenizer, batch_size: int, seed: int, frame_size: int, pool: int = 2048) -> None:
        self.tokenizer, self.batch_size, self.seed, self.frame_size = tokenizer, batch_size, seed, frame_size
        self.pool = pool
        self._drawn: dict[int, tuple[toybox.Scene, Tensor]] = {}
        self._order = lru_cache(maxsize=2)(self._make_order)

    def batch(self, position: int) -> dict[str, Tensor]:
        """Batch number `position`."""
        rng = random.Random(f"frames {self.seed} {position}")
        first = position * self.batch_size
        epoch_size = self.pool * _MOMENTS
        drawn = [self._draw(self._number(*divmod(first + row, epoch_size))) for row in range(self.batch_size)]
        rows = [self.tokenizer.encode(drawn_prompt(scene, rng)) for scene, _ in drawn]
        return {"frames": torch.stack([frame for _, frame in drawn]).float() / 127.5 - 1.0, **pad(rows)}

    def _number(self, epoch: int, index: int) -> int:
        """The sample at `index` of an epoch: every epoch shuffles the pool anew, so that rivals change."""
        return self._order(epoch)[index]

    def _make_order(self, epoch: int) -> list[int]:
        order = list(range(self.pool * _MOMENTS))
        random.Random(f"order {self.seed} {epoch}").shuffle(order)
        return order

    def _draw(self, number: int) -> tuple[toybox.Scene, Tensor]:
        """Scene and uint8 frame [3, S, S] of sample `number`, one of four moments a second apart."""
        index, moment = divmod(number, _MOMENTS)
        if index not in self._drawn:
            seed = self.seed * _SCENES_PER_SEED + index
            scene = toybox.sample_scene(seed, split="train")
            start = random.Random(f"moment {seed}").uniform(0.0, 0.9)
            size = self.frame_size
            pixels = toybox.render(scene, num_frames=_MOMENTS, fps=1, height=size, width=size, start_seconds=start)
            self._drawn[index] = scene, torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        scene, frames = self._drawn[index]
        return scene, frames[moment]


class StringSource:
    """Batches of strings that a sign may show, as bytes: "ids" and "mask" [B, L]."""

    def __init__(self, tokenizer: TextTokenizer, batch_size: int, seed: int) -> None:
        self.tokenizer, self.batch_size, self.seed = tokenizer, batch_size, seed

    def batch(self, position: int) -> dict[str, Tensor]:
        """Batch number `position`."""
        rng = random.Random(f"strings {self.seed} {position}")
        return pad([self.tokenizer.encode(shown_string(rng)) for _ in range(self.batch_size)])


def shown_string(rng: random.Random) -> str:
    """One to three words: toybox signs, plain English and random letters, in capitals more often than not."""
    words: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.random()
        if kind < 0.4:
            words.append(rng.choice(WORDS))
        elif kind < 0.6:
            words.append(rng.choice(COMMON_WORDS))
        else:
            letters = string.ascii_letters + string.digits + "!?&'.-"
            words.append("".join(rng.choices(letters, k=rng.randint(1, 10))))
    text = " ".join(words)
    return rng.choice((text.upper(), text.upper(), text, text.lower(), text.title()))
