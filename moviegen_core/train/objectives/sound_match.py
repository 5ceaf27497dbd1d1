"""Contrastive objective of the sound match: frames find their sound, at the right moment, and sounds their text."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hints import hit_loss
from ..pupil import MatchPupil

SHIFTS = 4  # of a sample's own sound, as further rivals
NEAREST_SHIFT, FURTHEST_SHIFT = 5, 50  # moments: 0.1 to 1 s
LEAST_SPREAD = 0.02


def sound_match_loss(
    match: MatchPupil, batch: dict[str, Tensor], generator: torch.Generator, *, foretell_weight: float = 4.0,
    hit_weight: float = 4.0,
) -> dict[str, Tensor]:  # fmt: skip
    """batch: "pictures" [B, N, 3, H, W] in [-1, 1], "clock" [B, M, N], "bands" [B, M, K], "text" and "text_mask".

    "clock" holds the weights that bring frames to moments. The rivals of a pair are the other sounds of the batch and
    its own sound at other moments (rolled around). The features must also tell when something is struck ("hits" bool
    [B, M]) and, where `foretell_weight` is above 0, foretell the loudness and the onsets of broad bands of "effects"
    [B, M, K], the bands without music, which pictures cannot foretell; both teach them more a step than the contrast
    does. Returns "loss", "timing" (how often the true moment wins over the shifted ones), "text_accuracy", "hits"
    (how many are told) and "foretold" (share of the variance that is missed).
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

    # A hit falls between two frames: the moments beside it count as well.
    near = F.max_pool1d(batch["hits"].float(), 3, 1, 1)
    told = hit_loss(match.teller(features)[..., 0], near)
    loss = contrast + wording + hit_weight * told.pop("hints")
    with torch.no_grad():
        timing = (pairs.diagonal()[:, None] > shifted).float().mean()
        text_accuracy = (likeness.argmax(dim=-1) == own).float().mean()
    report = {"timing": timing, "text_accuracy": text_accuracy, **told}
    if foretell_weight:
        wanted = onsets(batch["effects"], match.config.onset_bands)
        # Rises are rarer and smaller than loudness: every one of them counts alike.
        spread, middle = torch.std_mean(wanted, dim=(0, 1))
        aim = (wanted - middle) / spread.clamp(min=LEAST_SPREAD)
        missed = (match.foretell(features).float() - aim).square().mean()
        loss, report["foretold"] = loss + foretell_weight * missed, missed.detach()
    return {"loss": loss, **report}


def onsets(bands: Tensor, groups: int) -> Tensor:
    """Bands [B, M, K] -> loudness and rise of `groups` broad bands, [B, M, 2 * groups]."""
    broad = torch.stack([part.mean(dim=-1) for part in bands.tensor_split(groups, dim=-1)], dim=-1)
    rise = (broad[:, 1:] - broad[:, :-1]).clamp(min=0.0)
    return torch.cat([broad, F.pad(rise, (0, 0, 1, 0))], dim=-1)
