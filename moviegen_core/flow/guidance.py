"""Guidance: how conditional and unconditional velocities combine."""

from __future__ import annotations

import torch
from torch import Tensor


def classifier_free(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """unconditional + scale * (conditional - unconditional); scale 1 gives `conditional`, 0 `unconditional`."""
    return torch.lerp(unconditional, conditional, scale)
