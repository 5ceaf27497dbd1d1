"""Cut a long axis into overlapping windows and blend the results back, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError

Curve = Literal["linear", "cosine"]
CURVES: tuple[str, ...] = get_args(Curve)


def windows(length: int, window: int, overlap: int = 0) -> list[slice]:
    """Slices of at most `window` that cover `length`, neighbours sharing `overlap`; the last may be shorter.

    It is always longer than the overlap. An axis that fits into one window gives one slice. ConfigError for lengths
    that do not fit.
    """
    if length < 1 or window < 1 or not 0 <= overlap < window:
        raise ConfigError(
            f"length {length}, window {window} and overlap {overlap} do not fit; give lengths of at least 1 and an "
            "overlap smaller than the window"
        )
    step = window - overlap
    starts = range(0, max(1, length - overlap), step)
    return [slice(start, min(start + window, length)) for start in starts]


def linear_weights(slices: Sequence[slice]) -> list[Tensor]:
    """For each window a weight [its length] in fp32; at every position the weights of all windows sum to one.

    Over an overlap of N, position j = 0 .. N - 1, the earlier window counts 1 - j / N and the later one j / N (paper
    3.1.1; as printed the ramp would run the wrong way). Where three or more windows meet, their ramps are normalised.
    """
    ramps = []
    for index, own in enumerate(slices):
        size = own.stop - own.start
        ramp = torch.ones(size, dtype=torch.float64)
        if index:
            shared = slices[index - 1].stop - own.start
            ramp[:shared] = torch.arange(shared, dtype=torch.float64) / shared
        if index + 1 < len(slices):
            shared = own.stop - slices[index + 1].start
            falling = 1.0 - torch.arange(shared, dtype=torch.float64) / shared
            ramp[size - shared :] = torch.minimum(ramp[size - shared :], falling)
        ramps.append(ramp)
    total = torch.zeros(slices[-1].stop, dtype=torch.float64)
    for own, ramp in zip(slices, ramps, strict=True):
        total[own] += ramp
    return [(ramp / total[own]).float() for own, ramp in zip(slices, ramps, strict=True)]


def blend(parts: Iterable[Tensor], slices: Sequence[slice], dim: int) -> Iterator[Tensor]:
    """Results of the windows, in order -> consecutive finished pieces of the whole axis; changes the parts in place.

    Each piece comes as soon as no later window can change it. Between two windows only the overlap is kept, if the
    caller drops each piece before asking for the next. ConfigError for a part of another length than its slice.
    """
    kept: Tensor | None = None
    weights = linear_weights(slices)
    source = iter(parts)
    for index, own in enumerate(slices):
        part = next(source, None)
        if part is None:
            return
        if part.shape[dim] != own.stop - own.start:
            raise ConfigError(f"window {index} is {part.shape[dim]} long, but its slice is {own}")
        shape = [1] * part.ndim
        shape[dim] = -1
        part.mul_(weights[index].to(part).view(shape))
        if kept is not None:
            part.narrow(dim, 0, kept.shape[dim]).add_(kept)
        # From here on the part holds it; two copies would count twice while the piece is worked on.
        kept = None
        following = slices[index + 1].start if index + 1 < len(slices) else own.stop
        ready = following - own.start
        yield part.narrow(dim, 0, ready)
        kept = part.narrow(dim, ready, part.shape[dim] - ready).clone()
        del part


def fade_in(length: int, curve: Curve = "linear") -> Tensor:
    """Weight [length] in fp32 of what begins, strictly between 0 and 1; what ends takes one minus it.

    "linear" is a straight line, "cosine" a half cosine, which also starts and ends without a kink. ConfigError for
    other curves.
    """
    if curve not in CURVES:
        raise ConfigError(f"curve {curve!r} is unknown; use one of {', '.join(CURVES)}")
    rising = torch.arange(1, length + 1, dtype=torch.float64) / (length + 1)
    if curve == "cosine":
        rising = (1.0 - torch.cos(math.pi * rising)) / 2.0
    return rising.float()


def join(first: Tensor, second: Tensor, overlap: int, dim: int, curve: Curve = "linear") -> Tensor:
    """Two tensors after each other along `dim`: the last `overlap` of the first blend into the start of the second.

    The second takes the first one's dtype and device. ShapeError where other sizes differ, ConfigError for an overlap
    that does not fit.
    """
    lengths = first.shape[dim], second.shape[dim]
    if not 0 <= overlap <= min(lengths):
        raise ConfigError(f"an overlap of {overlap} does not fit lengths of {lengths[0]} and {lengths[1]}; use less")
    before, after = list(first.shape), list(second.shape)
    before[dim] = after[dim] = 0
    if before != after:
        raise ShapeError(
            f"{tuple(first.shape)} and {tuple(second.shape)} cannot follow each other: all sizes but the length must "
            "agree; give both the same width, height and batch size, and make them with the same model"
        )
    second = second.to(first)
    shape = [1] * first.ndim
    shape[dim] = -1
    rising = fade_in(overlap, curve).to(first).view(shape)
    start = lengths[0] - overlap
    mixed = first.narrow(dim, start, overlap) * (1.0 - rising) + second.narrow(dim, 0, overlap) * rising
    return torch.cat([first.narrow(dim, 0, start), mixed, second.narrow(dim, overlap, lengths[1] - overlap)], dim)
