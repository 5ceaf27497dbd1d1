"""Contrastive objective (CLIP, Radford et al. 2021): a frame and its caption find each other in the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models import text, vision

MAX_LOGIT_SCALE = 100.0


class ContrastivePair(nn.Module):
    """Text tower and vision tower with projections into one space; the towers are kept after training."""

    def __init__(self, text_config: text.TextConfig, vision_config: vision.VisionConfig, shared_dim: int = 128) -> None:
        super().__init__()
        self.text = text.build_network(text_config)
        self.vision = vision.build_network(vision_config)
        self.text_projection = nn.Linear(text_config.dim, shared_dim, bias=False)
        self.vision_projection = nn.Linear(vision_config.dim, shared_dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def embed_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask [B, L] -> unit vectors [B, shared]; read at the end token, which alone sees the whole text."""
        features = self.text(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        last = features[torch.arange(len(ids), device=ids.device), mask.sum(dim=1) - 1]
        return functional.normalize(self.text_projection(last).float(), dim=-1)

    def embed_frames(self, frames: Tensor) -> Tensor:
        """Frames [B, 3, H, W] in [-1, 1] -> unit vectors [B, shared]."""
        pooled = self.vision(pixel_values=frames).pooler_output
        return functional.normalize(self.vision_projection(pooled).float(), dim=-1)


def contrastive_loss(pair: ContrastivePair, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """batch: "frames" [B, 3, H, W] in [-1, 1], "ids" and "mask" [B, L] -> InfoNCE both ways, and top-1 accuracy."""
    del generator  # nothing is drawn here
    words, frames = pair.embed_text(batch["ids"], batch["mask"]), pair.embed_frames(batch["frames"])
    logits = frames @ words.T * pair.log_scale.exp().clamp(max=MAX_LOGIT_SCALE)
    own = torch.arange(len(logits), device=logits.device)
    loss = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    return {"loss": loss, "accuracy": (logits.argmax(dim=-1) == own).float().mean()}
