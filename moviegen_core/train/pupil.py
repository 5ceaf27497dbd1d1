"""Networks as they are trained: transformers read whitened words, and all tell what they have understood."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..layers.modulation import Modulation
from ..models.audio_dit.model import AudioDiT, Prepared
from ..models.sound_match.model import SoundMatch
from ..models.video_dit.model import Context, VideoDiT
from ..ops.attention import Attend
from .hints import ANSWERS, SOUND_ANSWERS
from .whiten import folded, whitened


class _Asked(nn.Module):
    """Of a transformer with a `teller`: the block half-way is asked what it has understood."""

    config: Any
    teller: nn.Linear
    answers: Tensor

    def ask(self, index: int, x: Tensor) -> Tensor:
        """x as it is after block `index`."""
        if index == max(0, self.config.num_layers // 2 - 1):
            self.answers = self.teller(x)
        return x


class VideoPupil(_Asked, VideoDiT):
    """A VideoDiT with aids that only training has; `finished` gives the network without them.

    `teller` answers for every token, from the block half-way, with the numbers that `hints.answer_loss` reads; the
    answers of the last forward are in `answers`.
    """

    shown: Tensor | None = None  # of `showing`

    @classmethod
    def of(cls, model: VideoDiT, features: Mapping[str, Tensor], stir: float = 0.0) -> VideoPupil:
        """`model`, whose weights it takes over, with words whitened as measured on features [N, D] per encoder."""
        pupil = cls(model.config, device=model.device, dtype=model.dtype)
        pupil.load_state_dict(model.state_dict(), strict=False)
        for name, rows in features.items():
            pupil.context_in[name] = whitened(pupil.context_in[name].children(), rows, stir)
        return pupil

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.teller = silent(self.config.dim, ANSWERS).to(self.device, self.dtype)

    @contextmanager
    def showing(self, tokens: Tensor) -> Iterator[None]:
        """Within, each sample is shown the tokens of these numbers [B, S] alone; what is told of others is void.

        The blocks need so much less time.
        """
        self.shown = tokens
        try:
            yield
        finally:
            self.shown = None

    def run_blocks(
        self, x: Tensor, positions: Tensor, modulation: Modulation, context: Context, attend: Attend
    ) -> Tensor:  # fmt: skip
        """All blocks on the tokens that are shown; the others stay as they are."""
        if self.shown is None:
            return super().run_blocks(x, positions, modulation, context, attend)
        index = self.shown[..., None].expand(-1, -1, x.shape[2])
        places = positions.expand(x.shape[0], -1, -1).gather(1, index)
        return x.scatter(1, index, super().run_blocks(x.gather(1, index), places, modulation, context, attend))

    def run_block(self, index: int, x: Tensor, modulation: Modulation, context: Context, attend: Attend) -> Tensor:
        """One block, and the question after it."""
        return self.ask(index, super().run_block(index, x, modulation, context, attend))

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


class AudioPupil(_Asked, AudioDiT):
    """An AudioDiT with the same two aids; `answers` are read by `hints.sound_answer_loss`."""

    @classmethod
    def of(cls, model: AudioDiT, features: Tensor | None, stir: float = 0.0) -> AudioPupil:
        """`model`, whose weights it takes over, with words whitened as measured on text features [N, E], if any."""
        pupil = cls(model.config, device=model.device, dtype=model.dtype)
        pupil.load_state_dict(model.state_dict(), strict=False)
        if features is not None:
            pupil.text_in = whitened([pupil.text_in], pupil.text_standard(features.to(pupil.device)), stir)
        return pupil

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.teller = silent(self.config.dim, SOUND_ANSWERS).to(self.device, self.dtype)

    def run_block(
        self, index: int, x: Tensor, modulation: Modulation, conditioning: Prepared, table: Tensor, attend: Attend
    ) -> Tensor:
        """One block, and the question after it."""
        return self.ask(index, super().run_block(index, x, modulation, conditioning, table, attend))

    @torch.no_grad()
    def finished(self) -> AudioDiT:
        """The network that computes the same without the aids."""
        model = AudioDiT(self.config, device=self.device, dtype=self.dtype)
        layers = copy.deepcopy(self.text_in)
        read = folded(layers.children())[0] if isinstance(layers, nn.Sequential) else layers
        aids = ("teller.", "text_in.")
        own = {name: value for name, value in self.state_dict().items() if not name.startswith(aids)}
        words = {f"text_in.{name}": value for name, value in read.state_dict().items()}
        model.load_state_dict({**own, **words})
        return model


class MatchPupil(SoundMatch):
    """A SoundMatch whose features of a moment are asked, by `teller`, whether something is struck."""

    @classmethod
    def of(cls, match: SoundMatch) -> MatchPupil:
        """`match`, whose weights it takes over."""
        place = match.seen.weight
        pupil = cls(match.config, device=place.device, dtype=place.dtype)
        pupil.load_state_dict(match.state_dict(), strict=False)
        return pupil

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.teller = silent(self.config.feature_dim, 1).to(self.seen.weight)

    @torch.no_grad()
    def finished(self) -> SoundMatch:
        """The network without the question."""
        place = self.seen.weight
        match = SoundMatch(self.config, device=place.device, dtype=place.dtype)
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("teller.")}
        match.load_state_dict(own)
        return match


def silent(dim: int, answers: int) -> nn.Linear:
    """A linear layer that gives zeros until it is trained."""
    layer = nn.Linear(dim, answers)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
