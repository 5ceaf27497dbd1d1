"""Guidance: how conditional and unconditional velocities combine."""

from __future__ import annotations

import torch
from torch import Tensor


def classifier_free(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """unconditional + scale * (conditional - unconditional) of velocities of any one shape (arXiv 2207.12598).

    Scale 1 gives `conditional`, 0 `unconditional`.
    """
    return torch.lerp(unconditional, conditional, scale)


def with_two_scales(whole: Tensor, part: Tensor, unconditional: Tensor, part_scale: float, rest_scale: float) -> Tensor:
    """Guidance by a part of the conditions and by the rest, each as strictly as wanted.

    As in InstructPix2Pix (arXiv 2211.09800, equation 3): `classifier_free` by the part, then `rest_scale` times what
    `whole` adds to it. With both scales equal it is `classifier_free` by the whole.
    """
    return classifier_free(part, unconditional, part_scale) + rest_scale * (whole - part)
