"""What all judges learn: to answer for every attribute which of its classes is met."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

LABEL_SMOOTHING = 0.02


def attribute_loss(scores: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores [B, classes] by attribute -> "loss", the sum of their cross-entropies, and "NAME_accuracy" of each.

    The batch holds the right class [B] under the attribute's name.
    """
    losses, report = [], {}
    for name, rows in scores.items():
        losses.append(F.cross_entropy(rows, batch[name], label_smoothing=LABEL_SMOOTHING))
        report[f"{name}_accuracy"] = (rows.argmax(dim=-1) == batch[name]).float().mean()
    return {"loss": torch.stack(losses).sum(), **report}
