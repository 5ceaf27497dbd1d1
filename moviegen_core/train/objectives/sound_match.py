"""Contrastive objective of the sound match: frames find their sound, at the right moment, and sounds their text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.sound_match.model import SoundMatch

SHIFTS = 4  # of a sample's own sound, as further rivals
NEAREST_SHIFT, FURTHEST_SHIFT = 5, 50  # moments: 0.1 to 1 s
FORETELL_WEIGHT = 4.0
LEAST_SPREAD = 0.02


def sound_match_loss(match: SoundMatch, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """batch: "pictures" [B, N, 3, H, W] in [-1, 1], "clock" [B, M, N], "bands" [B, M, K], "text" and "text_mask".

    "clock" holds the weights that bring frames to moments; "effects" [B, M, K] are the bands without music, which
    pictures cannot foretell. The rivals of a pair are the other sounds of the batch and
    its own sound at other moments (rolled around); the features must also foretell the loudness and the onsets of
    broad bands, which tells them more a step than the contrast does. Returns "loss", "foretold" (share of the
    variance that is missed), "timing" (how often the true moment wins over the shifted ones) and "text_accuracy".
    """
    size, frames = batch["pictures"].shape[:2]
    seen = match.see(batch["pictures"].flatten(0, 1)).unflatten(0, (size, frames))
    features = match.moments(batch["clock"] @ seen)
    shown = match.embed_frames(features)
    moments, whole = match.embed_sound(batch["bands"])
    by_frames, by_text = match.scales()

    length = moments.shape[1]
    pairs = torch.einsum("ims,jms->ij", shown, moments) / length
    offsets = torch.randint(NEAREST_SHIFT, min(FURTHEST_SHIFT, length - NEAREST_SHIFT), (SHIFTS,), generator=generator)
    rolled = torch.stack([moments.roll(int(offset), dims=1) for offset in offsets])
    shifted = torch.einsum("ims,kims->ik", shown, rolled) / length
    own = torch.arange(size, device=pairs.device)
    contrast = F.cross_entropy(by_frames * torch.cat([pairs, shifted], dim=1), own)
    contrast = (contrast + F.cross_entropy(by_frames * pairs.T, own)) / 2

    said = match.embed_text(batch["text"], batch["text_mask"].bool())
    likeness = whole @ said.T
    logits = by_text * likeness
    wording = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    wanted = onsets(batch["effects"], match.config.onset_bands)
    # Rises are rarer and smaller than loudness: every one of them counts alike.
    spread, middle = torch.std_mean(wanted, dim=(0, 1))
    missed = (match.foretell(features).float() - (wanted - middle) / spread.clamp(min=LEAST_SPREAD)).square().mean()
    with torch.no_grad():
        timing = (pairs.diagonal()[:, None] > shifted).float().mean()
        text_accuracy = (likeness.argmax(dim=-1) == own).float().mean()
    loss = contrast + wording + FORETELL_WEIGHT * missed
    return {"loss": loss, "foretold": missed.detach(), "timing": timing, "text_accuracy": text_accuracy}


def onsets(bands: Tensor, groups: int) -> Tensor:
    """Bands [B, M, K] -> loudness and rise of `groups` broad bands, [B, M, 2 * groups]."""
    broad = torch.stack([part.mean(dim=-1) for part in bands.tensor_split(groups, dim=-1)], dim=-1)
    rise = (broad[:, 1:] - broad[:, :-1]).clamp(min=0.0)
    return torch.cat([broad, F.pad(rise, (0, 0, 1, 0))], dim=-1)
