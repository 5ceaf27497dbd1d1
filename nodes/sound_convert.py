"""Conditions of a sound as ComfyUI carries them <-> the core's SoundConditioning.

Shape letters: B batch, L sound frames, C latent channels, F width of a frame's features, T packed text tokens.

Text rides in a CONDITIONING's tensor, packed as for video (see convert.py); a sound model reads the tokens of UL2.
Values that belong to sound frames ride channel first, behind a row that is 1 where they count: what is seen
[B, 1 + F, L] in the entry's key FRAMES, what is known [B, 1 + C, L], which the model makes of LATENT and noise mask.
Core therefore cuts them like latents, and zeros mean that nothing is seen or known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from moviegen_core.conditioning.sound import Encodes, SoundConditioning, encode_captions
from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ConfigError, ShapeError

from . import convert

FRAMES, KNOWN = "moviegen_frames", "moviegen_known"
READ = "ul2"  # the text encoder that sound models read; the paper's is T5-base, which has the same layout


def pack_text(text: SoundConditioning, width: int) -> Tensor:
    """Text of a sound -> CONDITIONING tensor [B, T, E + D]; `width` is the widest encoder's."""
    parts = {} if text.text is None or text.text_mask is None else {READ: (text.text, text.text_mask)}
    tokens, masks = ({name: part[place] for name, part in parts.items()} for place in (0, 1))
    return convert.pack(Conditioning(tokens, masks, text.batch), width)


def encode_caption(encoder: Encodes | None, captions: Sequence[str], width: int) -> Tensor:
    """B captions in the paper's template -> CONDITIONING tensor; "" is the null condition. `encoder` is READ's."""
    if encoder is None:
        raise ConfigError(f"sound models read {READ}, which was left out; choose it in Load Text Encoders (Movie Gen)")
    return pack_text(encode_captions(encoder, captions), width)


def pack_frames(features: Tensor) -> Tensor:
    """Features [L, F] of all sound frames -> [1, 1 + F, L]."""
    flagged = torch.cat([features.new_ones(len(features), 1), features], dim=1)
    return flagged.t().unsqueeze(0).contiguous()


def conditioning(
    packed: Tensor | None, frames: Tensor | None, known: Tensor | None, batch: int, text_dim: int
) -> SoundConditioning:
    """Text [B, T, E + D], what is seen [B, 1 + F, L] and what is known [B, 1 + C, L] -> SoundConditioning."""
    given = Conditioning.empty(batch) if packed is None else convert.unpack(packed, {READ: text_dim})
    seen, seen_mask = _unflagged(frames)
    context, context_mask = _unflagged(known)
    return SoundConditioning(
        text=given.context.get(READ),
        text_mask=given.context_mask.get(READ),
        frames=None if seen is None else seen.transpose(1, 2),
        frames_mask=seen_mask,
        context=context,
        context_mask=context_mask,
        batch=batch,
    )


def check_text(packed: Tensor, text_dim: int) -> None:
    """Refuse text of other encoders, or without the one that sound models read."""
    convert.check_packed(packed, {READ: text_dim}, others=True)
    flags = packed[..., : len(convert.ENCODERS)] > 0
    if bool(flags.any()) and not bool(flags[..., convert.ENCODERS.index(READ)].any()):
        raise ShapeError(
            f"the sound's text was encoded without {READ}, which this model reads; choose a {READ} encoder"
        )


def check_frames(frames: Tensor, frame_dim: int, length: int) -> None:
    """Refuse features of other encoders, or for a sound of another length."""
    if frames.shape[1] != 1 + frame_dim:
        raise ShapeError(
            f"the video's features are {frames.shape[1] - 1} wide, this model reads {frame_dim}; load the frame "
            "encoders that belong to the model"
        )
    check_length(frames, length)


def check_length(frames: Tensor | None, length: int) -> None:
    """Refuse what is seen [B, 1 + F, L] of a video of another length than the sound's `length`."""
    if frames is not None and frames.shape[2] != length:
        raise ShapeError(
            f"the video has {frames.shape[2]} sound frames, the latent {length}; connect the latent that Video to "
            "Sound gave for this video"
        )


def _unflagged(values: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    if values is None or not bool((values[:, 0] > 0.5).any()):
        return None, None
    return values[:, 1:], values[:, 0] > 0.5
