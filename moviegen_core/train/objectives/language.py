"""Language objective: UL2's mixture of denoisers over a T5 encoder and a small decoder.

A denoiser removes spans of a text and asks the decoder for them: R short spans, X long or many, S the whole
end of the text (Tay et al. 2022, UL2, section 3.1). UL2's mode tokens are left out: the encoder alone is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.text import TextConfig, build_network
from ...models.text.model import t5_config
from ..vocabulary import SENTINELS

IGNORED = -100  # a target that costs nothing
END = 1  # token at the end of every text


@dataclass(frozen=True)
class Denoiser:
    """One way to damage a text: `rate` of its tokens in spans of `span` on average; span None removes the end."""

    share: float  # how often it is drawn
    rate: float
    span: float | None


UL2_DENOISERS = (
    Denoiser(0.25, 0.15, 3),
    Denoiser(0.25, 0.15, 8),
    Denoiser(0.25, 0.5, 3),
    Denoiser(0.25, 0.5, None),
)
# Random letters cannot be guessed, so ByT5 also copies: a text to be shown has to survive letter by letter.
BYT5_DENOISERS = (Denoiser(0.3, 0.15, 3), Denoiser(0.1, 0.5, None), Denoiser(0.6, 0.0, 1))


def denoising_model(config: TextConfig) -> nn.Module:
    """T5 encoder of `config` with a small decoder, for training only."""
    from transformers import T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        t5_config(config, num_decoder_layers=1, dropout_rate=0.0, decoder_start_token_id=0)
    )


def encoder_of(model: nn.Module, config: TextConfig) -> nn.Module:
    """The trained encoder as a network of its own."""
    network = build_network(config)
    state = model.state_dict()
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network


def corrupt(
    ids: Sequence[int], denoiser: Denoiser, vocab_size: int, generator: torch.Generator
) -> tuple[list[int], list[int]]:
    """Text ids without end token -> (damaged text, what the decoder must say), both without end token."""
    length = len(ids)
    removed = min(length, max(1, round(length * denoiser.rate))) if denoiser.rate else 0
    if not removed:
        return list(ids), list(ids)
    if denoiser.span is None:
        removed = int(torch.randint(1, length + 1, (), generator=generator))
        first = vocab_size - 1
        return [*ids[: length - removed], first], [first, *ids[length - removed :]]
    spans = min(max(1, round(removed / denoiser.span)), length - removed + 1, SENTINELS)
    sizes = _parts(removed, spans, generator)
    gaps = _parts(length - removed + 2, spans + 1, generator)
    gaps[0], gaps[-1] = gaps[0] - 1, gaps[-1] - 1  # only the outer gaps may be empty
    inputs: list[int] = []
    targets: list[int] = []
    position = 0
    for index, size in enumerate(sizes):
        sentinel = vocab_size - 1 - index
        start = position + gaps[index]
        inputs += [*ids[position:start], sentinel]
        targets += [sentinel, *ids[start : start + size]]
        position = start + size
    return [*inputs, *ids[position:]], targets


def denoising_loss(
    model: nn.Module,
    batch: dict[str, Tensor],
    generator: torch.Generator,
    *,
    denoisers: Sequence[Denoiser] = UL2_DENOISERS,
) -> dict[str, Tensor]:
    """batch: "ids" [B, L] padded, with end tokens, and "mask" [B, L] -> cross-entropy and token accuracy."""
    shares = torch.tensor([denoiser.share for denoiser in denoisers])
    lengths = (batch["mask"].sum(dim=1) - 1).tolist()
    chosen = torch.multinomial(shares, len(lengths), replacement=True, generator=generator).tolist()
    vocab_size = int(_config(model).vocab_size)
    pairs = [
        corrupt(row[:length], denoisers[index], vocab_size, generator)
        for row, length, index in zip(batch["ids"].tolist(), lengths, chosen, strict=True)
    ]
    device = batch["ids"].device
    inputs = _padded([[*damaged, END] for damaged, _ in pairs], 0, device)
    targets = _padded([[*answer, END] for _, answer in pairs], IGNORED, device)
    # An end token is in every text, so what follows it is padding.
    visible = (inputs == END).long()
    mask = (visible.cumsum(1) - visible) == 0
    told = targets != IGNORED
    heard = functional.pad(targets.masked_fill(~told, 0), (1, -1))  # 0 starts the decoder
    logits = model(input_ids=inputs, attention_mask=mask.long(), decoder_input_ids=heard).logits
    loss = functional.cross_entropy(logits[told].float(), targets[told])
    return {"loss": loss, "accuracy": (logits[told].argmax(dim=-1) == targets[told]).float().mean()}


byte_denoising_loss = partial(denoising_loss, denoisers=BYT5_DENOISERS)


def _parts(total: int, count: int, generator: torch.Generator) -> list[int]:
    """`total` in `count` positive parts, every way as likely."""
    cuts = (torch.randperm(total - 1, generator=generator)[: count - 1] + 1).sort().values.tolist()
    edges = [0, *cuts, total]
    return [end - start for start, end in itertools.pairwise(edges)]


def _padded(rows: Sequence[Sequence[int]], value: int, device: torch.device) -> Tensor:
    padded = torch.full((len(rows), max(len(row) for row in rows)), value, dtype=torch.long)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = torch.tensor(row)
    return padded.to(device)


def _config(model: Any) -> Any:
    return model.config
