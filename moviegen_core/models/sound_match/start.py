"""Where a sound match starts that is to see finer than another one did."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import ConfigError
from .model import SoundMatch

FIRST = "looks.0.weight"


@torch.no_grad()
def start_from(match: SoundMatch, known: SoundMatch) -> None:
    """Give `match` the weights of `known`, which may look at coarser pictures: it tells the same of them at first.

    Each weight of the first look is shared among the pixels that a coarse one is the mean of. ConfigError where more
    than that is unlike.
    """
    weights = known.state_dict()
    weights[FIRST] = _finer(weights[FIRST], match.config.first_stride, known.config.first_stride)
    sizes = match.config.image_size * known.config.first_stride, known.config.image_size * match.config.first_stride
    own = match.state_dict()
    unlike = [name for name, value in own.items() if name not in weights or weights[name].shape != value.shape]
    if unlike or sizes[0] != sizes[1]:
        raise ConfigError(
            f"a sound match of {match.config} cannot start from one of {known.config}; only image_size and "
            "first_stride may differ, by the same whole factor"
        )
    match.load_state_dict(weights)


def _finer(weight: Tensor, stride: int, known: int) -> Tensor:
    factor = stride // known
    if factor * known != stride:
        return weight
    return weight.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3) / factor**2
