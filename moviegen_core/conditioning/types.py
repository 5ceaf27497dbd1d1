"""The condition of a clip: context tokens of every text encoder, with masks.

Shape letters: B batch, L tokens of one encoder, De width of that encoder. An encoder that is absent
from the mappings has no tokens; a sample whose masks are all False is the null condition of guidance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ShapeError


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Context tokens [B, L, De] and masks [B, L] (True = valid), by encoder name."""

    context: Mapping[str, Tensor]
    context_mask: Mapping[str, Tensor]
    batch: int = 0  # filled in from the tensors; needed only where there are none

    def __post_init__(self) -> None:
        if set(self.context) != set(self.context_mask):
            raise ShapeError(
                f"context holds tokens of {sorted(self.context)} but masks of {sorted(self.context_mask)}; "
                "give both for each encoder"
            )
        sizes = {self.batch} if self.batch else set()
        for name, tokens in self.context.items():
            mask = self.context_mask[name]
            if tokens.ndim != 3 or mask.dtype != torch.bool or mask.shape != tokens.shape[:2]:
                raise ShapeError(
                    f"context {name!r} is {tuple(tokens.shape)} with a {mask.dtype} mask {tuple(mask.shape)}; "
                    "give tokens [B, L, width] and a bool mask [B, L]"
                )
            sizes.add(tokens.shape[0])
        if len(sizes) != 1:
            raise ShapeError(
                f"a conditioning needs one batch size, at least 1, but got {sorted(sizes)}; repeat the smaller"
            )
        object.__setattr__(self, "batch", sizes.pop())

    @classmethod
    def empty(cls, batch: int = 1) -> Conditioning:
        """The null condition: no valid token for any of `batch` samples."""
        return cls({}, {}, batch)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Conditioning:
        """The same condition on another device; `dtype` is for the tokens, masks stay bool."""
        context = {name: tokens.to(device=device, dtype=dtype) for name, tokens in self.context.items()}
        masks = {name: mask.to(device=device) for name, mask in self.context_mask.items()}
        return Conditioning(context, masks, self.batch)

    def repeat(self, batch: int) -> Conditioning:
        """One condition for `batch` samples; ShapeError when it already holds another number of samples."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise ShapeError(f"a conditioning of {self.batch} samples cannot serve {batch}; give 1 or {batch} prompts")
        context = {name: tokens.expand(batch, -1, -1) for name, tokens in self.context.items()}
        masks = {name: mask.expand(batch, -1) for name, mask in self.context_mask.items()}
        return Conditioning(context, masks, batch)
