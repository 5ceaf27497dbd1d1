"""LATENTs of sounds: their exact length, and sound in them that exists already.

Beside `samples` [B, C, L] such a LATENT holds `num_samples` (at 48 kHz; the last latent frame may reach beyond it),
and where something is known the pieces themselves, which come back when it is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from moviegen_core.pipelines.known_sound import Known, check_known, encode_known, without
from moviegen_core.shapes import SOUND_HOP, SOUND_LATENT_CHANNELS, SOUND_SAMPLE_RATE, sound_latent_frames

from .runtime import host
from .sound_windows import CONTEXT_KEY, noise_rows

LENGTH_KEY, PIECES_KEY = "num_samples", "moviegen_known_sound"


def empty_sound(num_samples: int, batch: int = 1) -> dict[str, Any]:
    """LATENT of `batch` sounds of which nothing is known."""
    zeros = torch.zeros(batch, SOUND_LATENT_CHANNELS, sound_latent_frames(num_samples))
    return {"samples": zeros, "type": "audio", LENGTH_KEY: num_samples}


def length_of(latent: Mapping[str, Any]) -> int:
    """Samples at 48 kHz that a LATENT stands for: what it was made for, if that is known and still fits."""
    frames, known = latent["samples"].shape[-1], latent.get(LENGTH_KEY)
    fits = isinstance(known, int) and known > 0 and sound_latent_frames(known) == frames
    return known if fits else frames * SOUND_HOP


def part_of_sound(latent: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Length and known pieces of latent frames `start` to `stop`, on a clock that begins with them."""
    if latent.get(LENGTH_KEY) is None and not latent.get(PIECES_KEY):
        return {}
    first, last = start * SOUND_HOP, min(stop * SOUND_HOP, length_of(latent))
    moved = (Known(piece.waveform, piece.start - first) for piece in latent.get(PIECES_KEY, ()))
    return _described(last - first, [piece for piece in moved if piece.stop > 0 and piece.start < last - first])


def joined_sound(first: Mapping[str, Any], second: Mapping[str, Any], overlap: int) -> dict[str, Any]:
    """Length and known pieces of two sounds after each other, which share `overlap` latent frames."""
    if all(one.get(LENGTH_KEY) is None and not one.get(PIECES_KEY) for one in (first, second)):
        return {}
    begin = (first["samples"].shape[-1] - overlap) * SOUND_HOP
    moved = [Known(piece.waveform, piece.start + begin) for piece in second.get(PIECES_KEY, ())]
    return _described(begin + length_of(second), [*first.get(PIECES_KEY, ()), *moved])


def _described(num_samples: int, pieces: list[Known]) -> dict[str, Any]:
    return {LENGTH_KEY: num_samples, **({PIECES_KEY: pieces} if pieces else {})}


def with_known(
    latent: Mapping[str, Any], vae: Any, known: Sequence[Known], context_seconds: float | None = None,
    gap: tuple[float, float] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The LATENT with known pieces in their places, which samplers leave as they are and the model hears.

    In the `gap`, (from, to) in seconds, nothing is known any more, whatever was before.
    """
    samples, length = latent["samples"], length_of(latent)
    check_known(known, length)
    begin, end = (0, 0) if gap is None else (round(moment * SOUND_SAMPLE_RATE) for moment in gap)
    older = [rest for piece in latent.get(PIECES_KEY, ()) for rest in without(piece, begin, end)]
    filled = {**latent, LENGTH_KEY: length, PIECES_KEY: [*older, *known]}
    free = noise_rows(latent).to(samples.device, copy=True)
    free[:, max(0, begin) // SOUND_HOP : -(-end // SOUND_HOP)] = 1.0
    if context_seconds is not None:
        filled[CONTEXT_KEY] = context_seconds
    found = encode_known(host.sound_codec(vae, samples.shape[2]), known, length)
    if found is not None:
        context, mask = (part.to(samples.device) for part in found)
        free[:, mask[0]] = 0.0
        filled["samples"] = torch.where(mask[:, None], context, samples)
    elif latent.get("noise_mask") is None:
        return filled
    return {**filled, "noise_mask": free.unsqueeze(1)}
