"""Cut a long axis into overlapping windows and blend the results back, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import ConfigError


def windows(length: int, window: int, overlap: int = 0) -> list[slice]:
    """Slices of at most `window` that cover `length`, neighbours sharing `overlap`; the last may be shorter.

    It is always longer than the overlap. An axis that fits into one window gives one slice.
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
    """Results of the windows, in order -> consecutive finished pieces of the whole axis.

    Each piece comes as soon as no later window can change it; no more than the overlap is kept meanwhile.
    """
    kept: Tensor | None = None
    weights = linear_weights(slices)
    for index, part in enumerate(parts):
        if part.shape[dim] != slices[index].stop - slices[index].start:
            raise ConfigError(f"window {index} is {part.shape[dim]} long, but its slice is {slices[index]}")
        shape = [1] * part.ndim
        shape[dim] = -1
        weighed = part * weights[index].to(part).view(shape)
        if kept is not None:
            weighed.narrow(dim, 0, kept.shape[dim]).add_(kept)
        following = slices[index + 1].start if index + 1 < len(slices) else slices[index].stop
        ready = following - slices[index].start
        yield weighed.narrow(dim, 0, ready)
        # A copy, so that the window itself can be freed.
        kept = weighed.narrow(dim, ready, weighed.shape[dim] - ready).clone()
