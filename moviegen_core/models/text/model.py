"""Text encoders: the T5 and CLIP modules of `transformers`, built from one config, frozen.

Shape letters: B texts, L tokens (of the longest text in the batch), De width of the encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from .tokenizer import TextTokenizer

logger = logging.getLogger(__name__)

ROLES = ("ul2", "metaclip", "byt5")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """Sizes of one text encoder; `max_tokens` is also the length of a CLIP position table."""

    family: str  # "t5" (bidirectional, relative positions) or "clip" (causal, position table)
    vocab_size: int
    dim: int
    num_layers: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    activation: str  # t5: feed_forward_proj, such as "gated-silu"; clip: hidden_act, such as "quick_gelu"
    max_tokens: int
    relative_buckets: int = 32  # t5 only
    relative_distance: int = 128  # t5 only
    norm_eps: float = 1e-6  # CLIP: 1e-5

    def __post_init__(self) -> None:
        if self.family not in ("t5", "clip"):
            raise ConfigError(f"text family {self.family!r} is unknown; use t5 or clip")
        if self.family == "clip" and self.num_heads * self.head_dim != self.dim:
            raise ConfigError(
                f"a CLIP text tower of width {self.dim} cannot have {self.num_heads} heads of {self.head_dim}; "
                "num_heads * head_dim must be the width"
            )


def t5_config(config: TextConfig, **changes: Any) -> Any:
    """The `transformers` T5Config of an encoder; `changes` adds fields, such as a decoder's for training."""
    from transformers import T5Config

    return T5Config(
        vocab_size=config.vocab_size,
        d_model=config.dim,
        d_kv=config.head_dim,
        d_ff=config.mlp_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        feed_forward_proj=config.activation,
        relative_attention_num_buckets=config.relative_buckets,
        relative_attention_max_distance=config.relative_distance,
        layer_norm_epsilon=config.norm_eps,
        **changes,
    )


def build_network(
    config: TextConfig,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """T5EncoderModel or CLIPTextModel with random weights (none on the meta device).

    There is no layer factory here: the modules of `transformers` make their own layers.
    """
    with torch.device(device if device is not None else "cpu"):
        if config.family == "t5":
            from transformers import T5EncoderModel

            network: nn.Module = T5EncoderModel(t5_config(config, use_cache=False))
        else:
            from transformers import CLIPTextConfig, CLIPTextModel

            network = CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=config.vocab_size,
                    hidden_size=config.dim,
                    intermediate_size=config.mlp_dim,
                    num_hidden_layers=config.num_layers,
                    num_attention_heads=config.num_heads,
                    max_position_embeddings=config.max_tokens,
                    hidden_act=config.activation,
                    layer_norm_eps=config.norm_eps,
                    # Only the pooled output reads these; 2 makes it take the largest id, as CLIP does.
                    bos_token_id=0,
                    eos_token_id=2,
                    pad_token_id=1,
                )
            )
    return network.to(dtype=dtype) if dtype is not None else network


class TextEncoder(nn.Module):
    """A frozen network with its tokenizer: texts in, token features and a mask out."""

    def __init__(self, role: str, config: TextConfig, network: nn.Module, tokenizer: TextTokenizer) -> None:
        super().__init__()
        if role not in ROLES:
            raise ConfigError(f"text encoder role {role!r} is unknown; use one of {', '.join(ROLES)}")
        self.role = role
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.requires_grad_(False).eval()

    @property
    def dim(self) -> int:
        """Width De of the features."""
        return self.config.dim

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts -> padded ids [B, L] and mask [B, L] on the CPU; too long ones are cut, with one log line."""
        limit = self.config.max_tokens
        encoded = [self.tokenizer.encode(prompt) for prompt in prompts]
        longest = max(len(ids) for ids in encoded)
        if longest > limit:
            logger.warning("%s reads %d tokens; a prompt of %d tokens was cut there", self.role, limit, longest)
            encoded = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]
            longest = limit
        ids = torch.full((len(encoded), longest), self.tokenizer.pad_id, dtype=torch.long)
        mask = torch.zeros(len(encoded), longest, dtype=torch.bool)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = True
        return ids, mask

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
        """B texts -> features [B, L, De] (zero where padded) and mask [B, L], L that of the longest text.

        They are worked out on `device`, by default where the weights are.

        T5: the encoder's last hidden state. CLIP: the last hidden state after the final norm (which
        layer the paper reads is not stated; this is an assumption).
        """
        ids, mask = self.tokenize(prompts)
        device = next(self.network.parameters()).device if device is None else device
        ids, mask = ids.to(device), mask.to(device)
        features = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return features * mask.unsqueeze(-1), mask
