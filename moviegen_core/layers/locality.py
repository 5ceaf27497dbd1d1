"""How a transformer starts out local: positions as sinusoids, and heads that look at neighbours through them.

A small network on little data spends long on learning which tokens lie next to each other. Here it starts with heads
that act as the taps of a convolution (ConViT, arXiv 2103.10697, and mimetic starts, arXiv 2305.09828); everything
stays learnable. Assumption throughout: the paper does not state how its transformer starts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .attention import SelfAttention

AMPLITUDE = 0.4  # of the sinusoids; positions enter every layer anew, so they need not be large
FASTEST, SLOWEST = 1.6, 0.2  # radians a token: neighbours differ, and a picture's ends do too
QUERY_SCALE = 4.0  # where queries and keys are normalised, this makes a look sharp
OTHERS = 0.4  # of the usual start, for what the heads read beside positions

# (frames, rows, columns) to the neighbour that a head looks at, and how sharply; None: a head that starts at random.
_LEFT, _RIGHT, _ABOVE, _BELOW = (((0, 0, -1), 0.8), ((0, 0, 1), 0.8), ((0, -1, 0), 0.8), ((0, 1, 0), 0.8))
_BEFORE, _AFTER, _AROUND = (((-1, 0, 0), 0.5), ((1, 0, 0), 0.5), ((0, 0, 0), 0.3))
_CORNERS = tuple(((0, row, column), 0.8) for row, column in ((-1, -1), (1, 1), (-1, 1), (1, -1)))
LOOKS = (
    _LEFT, _RIGHT, None, _ABOVE, _BELOW, _BEFORE, _LEFT, _RIGHT, _AFTER, _ABOVE, _BELOW, None,
    *_CORNERS[:2], _BEFORE, *_CORNERS[2:], _AFTER, _LEFT, _RIGHT, None, _ABOVE, _BELOW, _AROUND,
)  # fmt: skip


def axis_rates(width: int) -> list[tuple[int, Tensor]]:
    """For frames, rows and columns: the first of their channels, and radians a token of each pair of channels.

    All axes share `width` channels: a quarter is time's, the rest halves.
    """
    pairs = width // 2
    rows = (pairs - pairs // 4) // 2
    described, first = [], 0
    for count in (pairs // 4, rows, pairs - pairs // 4 - rows):
        described.append((first, torch.logspace(math.log10(FASTEST), math.log10(SLOWEST), count)))
        first += 2 * count
    return described


def waves(length: int, rates: Tensor) -> Tensor:
    """Cosine and sine beside each other for every rate [R], at places 0 ... length - 1 -> [length, 2 R]."""
    angles = torch.arange(length, dtype=torch.float32)[:, None] * rates
    return AMPLITUDE * torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)


def step_to(neighbour: tuple[int, int, int], width: int) -> Tensor:
    """[width, width]: takes the sinusoids of a place to those of its neighbour (frames, rows, columns away)."""
    turn = torch.zeros(width, width)
    for (first, rates), tokens in zip(axis_rates(width), neighbour, strict=True):
        for number, angle in enumerate((rates * tokens).tolist()):
            cos, sin, at = math.cos(angle), math.sin(angle), first + 2 * number
            turn[at : at + 2, at : at + 2] = torch.tensor([[cos, -sin], [sin, cos]])
    return turn


@torch.no_grad()
def look_near(attention: SelfAttention, block: int) -> None:
    """Point the heads of the attention of block number `block` at the neighbours of LOOKS, counted over all blocks.

    The first `head width` channels of the stream must start as positions, added anew before every block.
    """
    dim, heads = attention.query.weight.shape[1], attention.num_heads
    width = dim // heads
    # How much of the normalised stream is position: one more share of it with each block, beside content.
    position = (AMPLITUDE * (block + 1)) ** 2
    share = position * dim / (position * width / 2 + (dim - width) / 2)
    if attention.query_scale is not None:
        nn.init.constant_(attention.query_scale.weight, QUERY_SCALE)
    query, key = attention.query.weight, attention.key.weight
    for head in range(heads):
        look = LOOKS[(block * heads + head) % len(LOOKS)]
        if look is None:
            continue
        neighbour, sharpness = look
        gain = math.sqrt(2 * sharpness * math.sqrt(width) / share)
        rows = slice(head * width, (head + 1) * width)
        for weight, positions in ((query, step_to(neighbour, width)), (key, torch.eye(width))):
            weight[rows] *= OTHERS
            weight[rows, :width] = (gain * positions).to(weight)
