"""Sound transformer: predicts the flow velocity of a sound's latents (paper 6.1, figure 28).

Shape letters: B batch, C latent channels, L sound frames (25 a second), T text tokens, D width; F is the width of
the features of a video frame, E that of a text token. Time runs 0 (noise) -> 1 (data).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError, ShapeError
from ...layers.embed import TimeEmbedding
from ...layers.mlp import SwiGLU
from ...layers.modulation import MODULATION_VECTORS, Modulation, ModulationOffsets
from ...layers.standard import Standardise
from ...ops import attention
from ...ops.attention import Attend
from .block import SoundBlock, rotary_table


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioDiTConfig:
    """Sizes that fix every parameter shape; saved inside the checkpoint."""

    dim: int
    num_heads: int
    num_layers: int
    mlp_dim: int
    latent_channels: int = 128  # paper: DAC-VAE
    text_dim: int = 768  # T5-base; the paper's figure says 756
    frame_dim: int = 1024  # paper: Long-prompt MetaCLIP
    frame_taps: int = 1  # sound frames that the gated projection reads around its own; paper: 1
    qk_norm: bool = False  # assumption: the paper mentions none; it steadies small models at high learning rates
    # Hidden width of a feed-forward that reads the noisy latent beside the last layer's input and adds to the velocity.
    # 0, as in the paper: none. A width near `latent_channels` cannot carry all the noise through the blocks, and what
    # it drops stays in the sound (arXiv 2510.11690 widens the head for the same reason).
    head_dim: int = 0
    norm_eps: float = 1e-6  # assumption: DiT's value

    def __post_init__(self) -> None:
        for name in ("dim", "num_heads", "num_layers", "mlp_dim", "latent_channels", "text_dim", "frame_dim"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.dim % (2 * self.num_heads):
            raise ConfigError(
                f"dim {self.dim} over {self.num_heads} heads leaves no even head width, which rotary positions need; "
                "change one of them"
            )
        if self.frame_taps < 1 or self.frame_taps % 2 == 0:
            raise ConfigError(f"frame_taps {self.frame_taps} must be odd, so that they lie around a frame")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What text, video and known sound give to the network, made once per sound by `AudioDiT.prepare`."""

    keys: tuple[Tensor, ...]  # per block [B, H, T, K]
    values: tuple[Tensor, ...]
    mask: Tensor | None  # [B, 1, 1, T], True where a token counts; None where all do
    added: Tensor  # [B, L or 1, D], what the frames and the known sound add to every token

    @property
    def batch(self) -> int:
        """Samples this was made for."""
        return self.added.shape[0]

    def expand(self, batch: int) -> Prepared:
        """The same for `batch` samples; ShapeError unless it holds one sample or as many."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise ShapeError(f"the condition holds {self.batch} samples, the latent {batch}; give one or equally many")
        keys, values = (tuple(part.expand(batch, -1, -1, -1) for part in parts) for parts in (self.keys, self.values))
        mask = None if self.mask is None else self.mask.expand(batch, -1, -1, -1)
        return Prepared(keys, values, mask, self.added.expand(batch, -1, -1))

    def window(self, start: int, stop: int) -> Prepared:
        """The part from sound frame `start` up to `stop`; text stays whole."""
        whole = self.added.shape[1] == 1
        return self if whole else Prepared(self.keys, self.values, self.mask, self.added[:, start:stop])


class FrameProjection(nn.Module):
    """Gated linear projection of video features, frame by frame (paper 6.1.2; the gate's form is an assumption).

    `taps` above 1 let it read neighbouring frames too, which the paper's does not.
    """

    def __init__(
        self, frame_dim: int, dim: int, taps: int, *, ops: Any = nn, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        place = {"padding": taps // 2, "device": device, "dtype": dtype}
        self.standard = Standardise(frame_dim, device=device, dtype=dtype)
        self.value = ops.Conv1d(frame_dim, dim, taps, **place)
        self.gate = ops.Conv1d(frame_dim, dim, taps, **place)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, L, F] -> [B, L, D]."""
        frames = self.standard(frames).transpose(1, 2)
        return (self.value(frames) * torch.sigmoid(self.gate(frames))).transpose(1, 2)


class AudioDiT(nn.Module):
    """Maps noisy latents, their time and the conditions to a velocity of the same size."""

    def __init__(
        self, config: AudioDiTConfig, *, ops: Any = torch.nn, attend: str | Attend = "auto", device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        self.attend = attend
        dim = config.dim
        leaf = {"device": device, "dtype": dtype}
        place = {"ops": ops, **leaf}
        # One projection of the noisy latent and the known sound, joined by channel, as two: the second is constant.
        self.latent_in = ops.Linear(config.latent_channels, dim, **leaf)
        self.context_in = ops.Linear(config.latent_channels, dim, bias=False, **leaf)
        self.frames_in = FrameProjection(config.frame_dim, dim, config.frame_taps, **place)
        self.text_standard = Standardise(config.text_dim, **leaf)
        self.text_in = ops.Linear(config.text_dim, dim, **leaf)
        # Assumptions: where nothing is said the first is read, and a frame that is not seen adds the second.
        self.null_text = ops.Embedding(1, dim, **leaf)
        self.null_frame = ops.Embedding(1, dim, **leaf)
        self.time = TimeEmbedding(dim, **place)
        self.modulation = ops.Linear(dim, MODULATION_VECTORS * dim, **leaf)
        self.blocks = nn.ModuleList(
            SoundBlock(dim, config.num_heads, config.mlp_dim, qk_norm=config.qk_norm, norm_eps=config.norm_eps, **place)
            for _ in range(config.num_layers)
        )
        self.final_modulation = ModulationOffsets(2, dim, **place)  # assumption: as in PixArt
        self.latent_out = ops.Linear(dim, config.latent_channels, **leaf)
        channels = config.latent_channels
        self.head = SwiGLU(dim + channels, config.head_dim, channels, **place) if config.head_dim else None

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights, which latents and conditions are expected in."""
        return self.latent_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.latent_in.weight.device

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise for training: every block the identity, the predicted velocity zero."""
        for layer in self.modules():
            if isinstance(layer, (nn.Linear, nn.Conv1d)):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Embedding):
                nn.init.normal_(layer.weight, std=0.02)
            elif isinstance(layer, Standardise):
                layer.reset_parameters()
        for layer in (self.modulation, self.latent_out):
            nn.init.zeros_(layer.weight)
        if self.head is not None:
            nn.init.zeros_(self.head.down.weight)
        nn.init.zeros_(self.final_modulation.table.weight)
        for block in self._blocks():
            block.reset_parameters()

    def prepare(
        self, text: Tensor | None = None, text_mask: Tensor | None = None, frames: Tensor | None = None,
        frames_mask: Tensor | None = None, context: Tensor | None = None, context_mask: Tensor | None = None,
        batch: int | None = None, *, device: torch.device | None = None, dtype: torch.dtype | None = None,
    ) -> Prepared:  # fmt: skip
        """Conditions -> what every step reads: text [B, T, E], frames [B, L, F], known latents `context` [B, C, L].

        The masks [B, T] or [B, L] are True where a token, a frame or a latent counts; without one all do. Whatever is
        None is absent for the whole batch of `batch` samples. ShapeError for conditions that do not fit the network
        or each other.
        """
        device, dtype = device or self.device, dtype or self.dtype
        parts = [part for part in (text, frames, context) if part is not None]
        batch = parts[0].shape[0] if parts else (batch or 1)
        if any(part.shape[0] != batch for part in parts):
            raise ShapeError(f"the conditions hold {[part.shape[0] for part in parts]} samples; they must be equal")
        tokens, mask = self._embed_text(text, text_mask, batch, device, dtype)
        pairs = [block.cross_attention.keys_values(tokens) for block in self._blocks()]
        added = self._embed_frames(frames, frames_mask, batch, device, dtype)
        if context is not None:
            self._check(context, 1, self.config.latent_channels, "known latents", "[batch, channels, frames]")
            context = context.to(device, dtype)
            if context_mask is not None:
                # Zeroed by selection, not by product: what is not known may be anything, NaN too.
                context = context.masked_fill(~context_mask.to(device).bool()[:, None], 0.0)
            if frames is not None and frames.shape[1] != context.shape[2]:
                raise ShapeError(
                    f"{frames.shape[1]} video frames and {context.shape[2]} known latents were given; both count 25 a "
                    "second and must be equally long"
                )
            added = added + self.context_in(context.transpose(1, 2))
        keep = None if bool(mask.all()) else mask[:, None, None, :]
        return Prepared(tuple(keys for keys, _ in pairs), tuple(values for _, values in pairs), keep, added)

    def _embed_text(
        self, text: Tensor | None, text_mask: Tensor | None, batch: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, T, D] and mask [B, T]; a sample without any valid token reads the learned null token."""
        null = _row(self.null_text, device, dtype).expand(batch, 1, -1)
        if text is None or text.shape[1] == 0:
            return null, torch.ones(batch, 1, dtype=torch.bool, device=device)
        self._check(text, 2, self.config.text_dim, "text features", "[batch, tokens, width]")
        valid = text.new_ones(text.shape[:2], dtype=torch.bool) if text_mask is None else text_mask.bool()
        valid = valid.to(device)
        tokens = torch.cat([null, self.text_in(self.text_standard(text.to(device, dtype)))], dim=1)
        mask = torch.cat([~valid.any(dim=1, keepdim=True), valid], dim=1)
        # What no sample reads (padding, or the null token beside full texts) is cut instead of masked.
        used = mask.any(dim=0)
        return (tokens, mask) if bool(used.all()) else (tokens[:, used], mask[:, used])

    def _embed_frames(
        self, frames: Tensor | None, frames_mask: Tensor | None, batch: int, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        null = _row(self.null_frame, device, dtype)
        if frames is None:
            return null.expand(batch, 1, -1)
        self._check(frames, 2, self.config.frame_dim, "frame features", "[batch, frames, width]")
        frames = frames.to(device, dtype)
        if frames_mask is None:
            return self.frames_in(frames)
        seen = frames_mask.bool().to(device)[..., None]
        return torch.where(seen, self.frames_in(frames.masked_fill(~seen, 0.0)), null)

    def _check(self, part: Tensor, axis: int, width: int, name: str, layout: str) -> None:
        if part.ndim != 3 or part.shape[axis] != width:
            raise ShapeError(
                f"{name} are {tuple(part.shape)}, this network reads {layout} with {width}; use the encoder or codec "
                "that it was trained with"
            )

    def modulate(self, time: Tensor, dtype: torch.dtype | None = None) -> Modulation:
        """time [B] -> the vectors that modulate every block and the last layer."""
        vector = self.time(time, dtype or self.dtype)
        offsets = (block.modulation for block in self._blocks())
        return Modulation.of(vector, self.modulation, offsets, self.final_modulation)

    def forward(
        self, latent: Tensor, time: Tensor | Modulation, conditioning: Prepared | Any,
        attend: str | Attend | None = None,
    ) -> Tensor:  # fmt: skip
        """latent [B, C, L], time [B] (or `modulate` of it), conditions -> velocity [B, C, L]; any length.

        `conditioning` is what `prepare` gave, or an object with text, text_mask, frames, frames_mask, context and
        context_mask (see conditioning.sound), prepared here. ShapeError for other shapes, or conditions of another
        length or batch.
        """
        self._check(latent, 1, self.config.latent_channels, "latents", "[batch, channels, frames]")
        batch, _, length = latent.shape
        if not isinstance(conditioning, Prepared):
            conditioning = self.prepare_from(conditioning)
        conditioning = conditioning.expand(batch)
        if conditioning.added.shape[1] not in (1, length):
            raise ShapeError(
                f"the condition is for {conditioning.added.shape[1]} sound frames, the latent has {length}; cut or "
                "resample one of them"
            )
        modulation = time if isinstance(time, Modulation) else self.modulate(time, latent.dtype)
        attend = attention.resolve(attend or self.attend, latent.device, latent.dtype)
        x = self.latent_in(latent.transpose(1, 2)) + conditioning.added
        table = rotary_table(length, self.config.dim // self.config.num_heads, x.device, x.dtype)
        for index in range(self.config.num_layers):
            x = self.run_block(index, x, modulation, conditioning, table, attend)
        bias, scale = modulation.final.chunk(2, dim=1)
        normed = F.layer_norm(x, x.shape[-1:], eps=self.config.norm_eps)
        last = torch.addcmul(bias, normed, 1.0 + scale)
        velocity = self.latent_out(last)
        if self.head is not None:
            velocity = velocity + self.head(torch.cat([last, latent.transpose(1, 2)], dim=2))
        return velocity.transpose(1, 2)

    def prepare_from(
        self, conditioning: Any, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Prepared:
        """`prepare` of an object that carries its arguments by name (see conditioning.sound.SoundConditioning)."""
        names = ("text", "text_mask", "frames", "frames_mask", "context", "context_mask")
        parts = {name: getattr(conditioning, name) for name in names}
        return self.prepare(**parts, batch=getattr(conditioning, "batch", 1), device=device, dtype=dtype)

    def _blocks(self) -> Iterable[SoundBlock]:
        return cast("Iterable[SoundBlock]", self.blocks)

    def run_block(
        self, index: int, x: Tensor, modulation: Modulation, conditioning: Prepared, table: Tensor, attend: Attend
    ) -> Tensor:
        """One block on tokens [B, L, D]; hosts and training override it to patch, offload or recompute."""
        keys, values = conditioning.keys[index], conditioning.values[index]
        return self.blocks[index](x, modulation.blocks[index], keys, values, conditioning.mask, table, attend)


def _row(table: nn.Embedding, device: torch.device, dtype: torch.dtype) -> Tensor:
    return table(torch.zeros(1, dtype=torch.long, device=device)).to(dtype)
