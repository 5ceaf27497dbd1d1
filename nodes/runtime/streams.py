"""Pixels in pieces, so that a film of any length needs little memory: of ours, and of any VAE that decodes a clip.

Shape letters: B batch, C channels, T latent frames, t frames, H W pixels, h w latent grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from moviegen_core.ops.windows import blend, windows
from moviegen_core.shapes import decoded_frames, latent_frames

STREAM_FRAMES = (24, 8)  # our window and overlap; with the overlap that waits, 32 frames are held at most
OTHER_FRAMES = 12  # frames that other VAEs decode at once, beside the first: their own decode holds each twice
OTHER_OVERLAP = 2  # latent frames: less shows where causal decoders start anew


def clip_frames(samples: Tensor, num_frames: int | None) -> int:
    """Frames of a Movie Gen latent: as many as it was made for, if that is known and still fits."""
    if num_frames is None or latent_frames(num_frames) != samples.shape[2]:
        return decoded_frames(samples.shape[2])
    return num_frames


def moved_windows(
    pixels: Tensor, window: int, move: Callable[[Tensor], Tensor], progress: Callable[[int], None]
) -> Iterator[Tensor]:
    """Pixels [B, 3, T, H, W] -> windows of them, each moved to where it is encoded when its turn comes."""
    for start in range(0, pixels.shape[2], window):
        progress(start)
        yield move(pixels[:, :, start : start + window])


def steady_stride(length: Callable[[int], int]) -> int | None:
    """Frames that each further latent frame adds, or None where that is not one number."""
    steps = {length(count + 1) - length(count) for count in range(1, 9)}
    return steps.pop() if len(steps) == 1 and min(steps) >= 1 and length(1) >= 1 else None


def decode_in_windows(
    decode: Callable[[Tensor], Tensor], samples: Tensor, length: Callable[[int], int]
) -> Iterator[Tensor]:
    """Samples [1, C, T, h, w] -> windows [1, 3, t, H, W], each from a few latent frames; neighbours are blended.

    `decode` gives [1, 3, length(T), H, W] that may be changed in place. A decoder whose first latent frame is a single
    picture (length 4 T - 3, say) sees each window as a new start, which the overlap hides.
    """
    stride, count = steady_stride(length), samples.shape[2]
    if stride is None or samples.ndim == 4:
        yield decode(samples)
        return
    size = max(OTHER_OVERLAP + 1, 1 + OTHER_FRAMES // stride)
    if count <= size:
        yield decode(samples)
        return
    latents = windows(count, size, OTHER_OVERLAP)
    frames = [slice(stride * own.start, stride * own.start + length(own.stop - own.start)) for own in latents]
    yield from blend((decode(samples[:, :, own]) for own in latents), frames, dim=2, in_place=True)
