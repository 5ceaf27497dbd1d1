"""Pixels in pieces, so that a film of any length needs little memory: of ours, and of any VAE that decodes a clip.

Shape letters: B batch, C channels, T latent frames, t frames, H W pixels, h w latent grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from torch import Tensor

from moviegen_core.ops.windows import blend, windows

STREAM_FRAMES = (24, 8)  # our window and overlap; with the overlap that waits, 32 frames are held at most
OTHER_FRAMES = 12  # frames that other VAEs decode at once, beside the first: their own decode holds each twice
LONGEST_PERIOD = 8  # latent frames after which a decoder's length rule repeats itself
OTHER_OVERLAP = 2  # latent frames: less shows where causal decoders start anew


def moved_windows(
    pixels: Tensor, window: int, move: Callable[[Tensor], Tensor], progress: Callable[[int], None]
) -> Iterator[Tensor]:
    """Pixels [B, 3, T, H, W] -> windows of them, each moved to where it is encoded when its turn comes."""
    for start in range(0, pixels.shape[2], window):
        progress(start)
        yield move(pixels[:, :, start : start + window])


def growth(length: Callable[[int], int]) -> tuple[int, int, int] | None:
    """(latent frames, frames, first): with every so many latent frames more a clip grows by so many frames.

    It holds for first, first + latent frames, ... of them: (1, 4, 1) for a length of 4 n - 3, and (5, 17, 2) for
    MiniMax H3, whose lengths lie at every fifth latent frame. None where no such rule holds.
    """
    for latents in range(1, LONGEST_PERIOD + 1):
        for first in range(1, latents + 1):
            lengths = [length(first + latents * step) for step in range(9)]
            grown = {after - before for before, after in pairwise(lengths)}
            if len(grown) == 1 and min(*grown, lengths[0]) >= 1:
                return latents, grown.pop(), first
    return None


def decode_in_windows(
    decode: Callable[[Tensor], Tensor], samples: Tensor, length: Callable[[int], int]
) -> Iterator[Tensor]:
    """Samples [1, C, T, h, w] -> windows [1, 3, t, H, W], each from a few latent frames; neighbours are blended.

    `decode` gives [1, 3, length(T), H, W] that may be changed in place. A decoder whose first latent frame is a single
    picture (length 4 T - 3, say) sees each window as a new start, which the overlap hides.
    """
    rule, count = growth(length), samples.shape[2]
    if rule is None or samples.ndim == 4 or (count - rule[2]) % rule[0]:
        yield decode(samples)
        return
    step, frames, first = rule
    # Windows begin at multiples of the step, so that each is a clip of a length that the decoder knows.
    spare = -(-max(0, OTHER_OVERLAP - first) // step)
    overlap = first + step * spare
    size = overlap + step * max(1, OTHER_FRAMES // frames - spare)
    if count <= size:
        yield decode(samples)
        return
    latents = windows(count, size, overlap)
    starts = [own.start // step * frames for own in latents]
    slices = [slice(at, at + length(own.stop - own.start)) for at, own in zip(starts, latents, strict=True)]
    yield from blend((decode(samples[:, :, own]) for own in latents), slices, dim=2)
