"""The video transformer as it is trained: it reads whitened words, and tells half-way what it has understood."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..models.video_dit.model import Context, Modulation, VideoDiT
from ..ops.attention import Attend
from .hints import ANSWERS
from .whiten import folded, whitened


class VideoPupil(VideoDiT):
    """A VideoDiT with two aids that only training has; `finished` gives the network without them.

    `teller` answers for every token, from the block half-way, with the numbers that `hints.answer_loss` reads; the
    answers of the last forward are in `answers`.
    """

    answers: Tensor

    @classmethod
    def of(cls, model: VideoDiT, features: Mapping[str, Tensor], stir: float = 0.0) -> VideoPupil:
        """`model`, whose weights it takes over, with words whitened as measured on features [N, D] per encoder."""
        pupil = cls(model.config, device=model.device, dtype=model.dtype)
        pupil.load_state_dict(model.state_dict(), strict=False)
        nn.init.zeros_(pupil.teller.weight)
        nn.init.zeros_(pupil.teller.bias)
        for name, rows in features.items():
            pupil.context_in[name] = whitened(pupil.context_in[name].children(), rows, stir)
        return pupil

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.teller = nn.Linear(self.config.dim, ANSWERS, device=self.device, dtype=self.dtype)

    def run_block(self, index: int, x: Tensor, modulation: Modulation, context: Context, attend: Attend) -> Tensor:
        """One block; the one half-way is asked what it has understood."""
        x = super().run_block(index, x, modulation, context, attend)
        if index == self.config.num_layers // 2 - 1:
            self.answers = self.teller(x)
        return x

    @torch.no_grad()
    def finished(self) -> VideoDiT:
        """The network that computes the same without the aids."""
        model = VideoDiT(self.config, device=self.device, dtype=self.dtype)
        for name, layers in self.context_in.items():
            model.context_in[name] = folded(copy.deepcopy(layers).children())
        own = {
            name: value for name, value in self.state_dict().items() if not name.startswith(("teller.", "context_in."))
        }
        words = {f"context_in.{name}": value for name, value in model.context_in.state_dict().items()}
        model.load_state_dict({**own, **words})
        return model
