"""Video transformer: predicts the flow velocity of a latent clip (paper 3.1.3).

Shape letters: B batch, C latent channels, T H W latent grid (frames, rows, columns), N video
tokens, L context tokens, D width. Time runs 0 (noise) -> 1 (data).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import ConfigError, ShapeError
from ...layers.block import TransformerBlock
from ...layers.embed import FactorisedPositions, TimeEmbedding
from ...layers.locality import look_near
from ...layers.modulation import MODULATION_VECTORS, Modulation, ModulationOffsets
from ...ops import attention, kernels
from ...ops.attention import Attend
from ...ops.patchify import patchify, unpatchify
from ...shapes import LATENT_CHANNELS, PATCH_SIZE, SPATIAL_STRIDE, TEMPORAL_STRIDE

PAPER_CONTEXT = {"ul2": 4096, "metaclip": 1280, "byt5": 1472}  # paper, figure 8


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoDiTConfig:
    """Sizes that fix every parameter shape; saved inside the checkpoint."""

    dim: int
    num_heads: int
    num_layers: int
    mlp_dim: int
    context_dims: dict[str, int] = field(default_factory=lambda: dict(PAPER_CONTEXT))  # encoder -> feature width
    in_channels: int = LATENT_CHANNELS  # further ones hold what a capability adds beside the noisy latent
    out_channels: int = LATENT_CHANNELS
    patch_size: tuple[int, int, int] = PATCH_SIZE  # latent frames, rows, columns per token
    max_grid: tuple[int, int, int] = (32, 96, 96)  # tokens; the length of each position table (assumption)
    qk_norm: bool = False  # assumption: the paper mentions none; it steadies small models at high learning rates
    norm_eps: float = 1e-5  # assumption: LLaMa3's value

    def __post_init__(self) -> None:
        for name in ("dim", "num_heads", "num_layers", "mlp_dim", "in_channels", "out_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.dim % self.num_heads:
            raise ConfigError(f"dim {self.dim} must be a multiple of num_heads {self.num_heads}")
        if min(*self.patch_size, *self.max_grid) < 1:
            raise ConfigError(
                f"patch_size {self.patch_size} and max_grid {self.max_grid} must be at least 1 throughout"
            )


@dataclass(frozen=True, slots=True)
class Context:
    """Keys and values of the context tokens for every block, made once per clip by `VideoDiT.prepare`."""

    keys: tuple[Tensor, ...]  # per block [B, H, L, K]
    values: tuple[Tensor, ...]
    mask: Tensor | None  # [B, 1, 1, L], True where a token counts; None where all do

    @property
    def batch(self) -> int:
        """Samples this context was made for."""
        return self.keys[0].shape[0]

    @property
    def tokens(self) -> int:
        """Context tokens L, padding included."""
        return self.keys[0].shape[2]

    def expand(self, batch: int) -> Context:
        """The same context for `batch` samples; ShapeError unless it holds one sample or as many."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise ShapeError(f"the context holds {self.batch} samples, the latent {batch}; give one or equally many")
        keys, values = (tuple(part.expand(batch, -1, -1, -1) for part in parts) for parts in (self.keys, self.values))
        return Context(keys, values, None if self.mask is None else self.mask.expand(batch, -1, -1, -1))


class VideoDiT(nn.Module):
    """Maps a noisy latent clip, its time and its context to a velocity of the same size."""

    def __init__(
        self, config: VideoDiTConfig, *, ops: Any = torch.nn, attend: str | Attend = "auto", device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        self.attend = attend
        dim, patch = config.dim, config.patch_size[0] * config.patch_size[1] * config.patch_size[2]
        leaf = {"device": device, "dtype": dtype}
        place = {"ops": ops, **leaf}
        self.patch_in = ops.Linear(config.in_channels * patch, dim, **leaf)
        self.positions = FactorisedPositions(dim, config.max_grid, **place)
        self.time = TimeEmbedding(dim, **place)
        # One projection for all blocks; with one per block the 30B would have 40B parameters.
        self.modulation = ops.Linear(dim, MODULATION_VECTORS * dim, **leaf)
        # Assumptions: a bias here and in all layers outside the blocks, one learned token where nothing is said, the
        # encoders' order, padding cut or masked.
        self.context_in = nn.ModuleDict(
            {
                name: nn.Sequential(ops.Linear(width, dim, **leaf), ops.LayerNorm(dim, **leaf))
                for name, width in config.context_dims.items()
            }
        )
        self.null_token = ops.Embedding(1, dim, **leaf)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                dim, config.num_heads, config.mlp_dim, qk_norm=config.qk_norm, norm_eps=config.norm_eps, **place
            )
            for _ in range(config.num_layers)
        )
        # Assumption: the last layer is modulated as in PixArt, by the time vector plus two learned vectors.
        self.final_modulation = ModulationOffsets(2, dim, **place)
        self.patch_out = ops.Linear(dim, config.out_channels * patch, **leaf)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the weights, which latent and context are expected in."""
        return self.patch_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.patch_in.weight.device

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise for training: every block the identity, its heads on neighbours, the predicted velocity zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Embedding):
                nn.init.normal_(layer.weight, std=0.02)
            elif isinstance(layer, nn.LayerNorm):
                layer.reset_parameters()
        width = self.config.dim // self.config.num_heads
        self.positions.reset_parameters(width)
        for part in (self.patch_in.weight, self.patch_in.bias):
            nn.init.zeros_(part[:width])  # these channels begin as positions alone
        for layer in (self.modulation, self.patch_out):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.final_modulation.table.weight)
        for number, block in enumerate(self._blocks()):
            block.reset_parameters()
            look_near(block.self_attention, number)

    def prepare(
        self, context: Mapping[str, Tensor] | None = None, context_mask: Mapping[str, Tensor] | None = None,
        batch: int | None = None, *, device: torch.device | None = None, dtype: torch.dtype | None = None,
    ) -> Context:  # fmt: skip
        """Features per encoder [B, L, De] and their masks [B, L] -> keys and values of all blocks.

        A sample without any valid token reads the learned null token instead; so does the whole batch of `batch`
        samples where no features are given. Encoders of the network that are absent are left out.
        """
        context, context_mask = context or {}, context_mask or {}
        device, dtype = device or self.device, dtype or self.dtype
        tokens, mask = self._embed_context(context, context_mask, batch, device, dtype)
        pairs = [block.cross_attention.keys_values(tokens) for block in self._blocks()]
        keep = None if bool(mask.all()) else mask[:, None, None, :]
        return Context(tuple(keys for keys, _ in pairs), tuple(values for _, values in pairs), keep)

    def _embed_context(
        self, context: Mapping[str, Tensor], context_mask: Mapping[str, Tensor], batch: int | None,
        device: torch.device, dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        unknown = sorted(set(context) - set(self.config.context_dims))
        if unknown:
            known = ", ".join(self.config.context_dims)
            raise ConfigError(f"this network reads no context called {', '.join(unknown)}; it reads {known}")
        parts, masks = [], []
        for name, width in self.config.context_dims.items():
            if name not in context or context[name].shape[1] == 0:
                continue
            features = context[name]
            if features.ndim != 3 or features.shape[-1] != width:
                raise ShapeError(
                    f"{name} features are {tuple(features.shape)}, this network reads [batch, tokens, {width}]; "
                    f"use the {name} encoder that it was trained with"
                )
            valid = context_mask.get(name)
            valid = features.new_ones(features.shape[:2], dtype=torch.bool) if valid is None else valid.bool()
            parts.append(self.context_in[name](features.to(device, dtype)))
            masks.append(valid.to(device))
        batch = parts[0].shape[0] if parts else (batch or 1)
        if any(part.shape[0] != batch for part in parts):
            raise ShapeError(f"the encoders gave batches of {[len(part) for part in parts]}; they must be equal")
        null = self.null_token(torch.zeros(1, dtype=torch.long, device=device)).to(dtype)
        valid = torch.cat(masks, dim=1) if masks else torch.zeros(batch, 0, dtype=torch.bool, device=device)
        tokens = torch.cat([null.expand(batch, 1, -1), *parts], dim=1)
        mask = torch.cat([~valid.any(dim=1, keepdim=True), valid], dim=1)
        # What no sample reads (padding, or the null token beside full prompts) is cut instead of masked.
        used = mask.any(dim=0)
        return (tokens, mask) if bool(used.all()) else (tokens[:, used], mask[:, used])

    def modulate(self, time: Tensor, dtype: torch.dtype | None = None) -> Modulation:
        """time [B] -> the vectors that modulate every block and the last layer."""
        vector = self.time(time, dtype or self.dtype)
        offsets = (block.modulation for block in self._blocks())
        return Modulation.of(vector, self.modulation, offsets, self.final_modulation)

    def forward(
        self, latent: Tensor, time: Tensor | Modulation, context: Context | Any, attend: str | Attend | None = None
    ) -> Tensor:
        """latent [B, C, T, H, W], time [B] (or `modulate` of it), context -> velocity [B, C, T, H, W].

        `context` is what `prepare` gave, or anything with `.context` and `.context_mask`, prepared here. ShapeError for
        other shapes.
        """
        config = self.config
        if latent.ndim == 5 and latent.shape[1] != config.in_channels:
            raise ShapeError(f"the latent has {latent.shape[1]} channels, this network reads {config.in_channels}")
        tokens, grid = patchify(latent, config.patch_size)
        check_grid(grid, config)
        if not isinstance(context, Context):
            context = self.prepare(context.context, context.context_mask, latent.shape[0])
        context = context.expand(latent.shape[0])
        modulation = time if isinstance(time, Modulation) else self.modulate(time, latent.dtype)
        attend = attention.resolve(attend or self.attend, latent.device, latent.dtype)
        x = self.patch_in(tokens)
        x = self.run_blocks(x, self.positions(grid, x.device, x.dtype), modulation, context, attend)
        shift, scale = modulation.final.chunk(2, dim=1)
        x = self.patch_out(kernels.rms_modulate(x, scale, shift, config.norm_eps))
        return unpatchify(x, grid, config.patch_size, config.out_channels)

    def _blocks(self) -> Iterable[TransformerBlock]:
        return cast("Iterable[TransformerBlock]", self.blocks)

    def run_blocks(
        self, x: Tensor, positions: Tensor, modulation: Modulation, context: Context, attend: Attend
    ) -> Tensor:  # fmt: skip
        """All blocks on tokens [B, N, D] at positions [1 or B, N, D]."""
        # The same positions enter every block, not only the first: it steadies motion over time. They stay in the
        # stream (assumption; figure 8 draws them at the norm).
        for index in range(self.config.num_layers):
            x = self.run_block(index, x + positions, modulation, context, attend)
        return x

    def run_block(self, index: int, x: Tensor, modulation: Modulation, context: Context, attend: Attend) -> Tensor:
        """One block on tokens [B, N, D]; hosts and training override it to patch, offload or recompute."""
        return self.blocks[index](
            x, modulation.blocks[index], context.keys[index], context.values[index], context.mask, attend
        )


def check_grid(grid: tuple[int, int, int], config: VideoDiTConfig) -> None:
    """ShapeError where a grid of tokens (frames, rows, columns) is longer than the position tables."""
    if any(size > limit for size, limit in zip(grid, config.max_grid, strict=True)):
        strides = (TEMPORAL_STRIDE, SPATIAL_STRIDE, SPATIAL_STRIDE)
        frames, height, width = map(prod, zip(grid, config.patch_size, strides, strict=True))
        most_frames, most_height, most_width = map(prod, zip(config.max_grid, config.patch_size, strides, strict=True))
        raise ShapeError(
            f"a clip of {frames} frames of {width} x {height} pixels was asked for; this model makes up to "
            f"{most_frames} frames of {most_width} x {most_height}: shorten the clip or lower its resolution"
        )
