"""Latents -> pixels and back, window by window in bounded memory (temporal tiling, paper 3.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..errors import ConfigError, ShapeError
from ..models.tae.model import TAE
from ..ops.windows import blend, windows

WINDOW_FRAMES = 32  # the paper's tile, in raw frames
OVERLAP_FRAMES = 16  # of the decoder; the encoder's tiles do not overlap


def decode_video(
    tae: TAE,
    latent: Tensor,
    num_frames: int | None = None,
    *,
    window_frames: int = WINDOW_FRAMES,
    overlap_frames: int = OVERLAP_FRAMES,
) -> Iterator[Tensor]:
    """Latent [B, C, t, h, w] -> consecutive windows [B, 3, T, H, W] in [-1, 1], `num_frames` (or 8 t) together.

    Both lengths are in raw frames, multiples of the temporal stride; a window holds at least two latent frames. One
    window is decoded at a time; a window as long as the clip decodes it whole. ShapeError for more frames than there
    are, ConfigError for windows that do not fit.
    """
    stride = tae.config.temporal_stride
    available = stride * latent.shape[2]
    wanted = available if num_frames is None else num_frames
    if not 1 <= wanted <= available:
        raise ShapeError(
            f"{wanted} frames were asked for, but {latent.shape[2]} latent frames hold 1 to {available}; ask for fewer "
            "frames or sample a longer clip"
        )
    window = _in_latents(window_frames, stride, "window")
    overlap = _in_latents(overlap_frames, stride, "overlap", least=0)
    slices = _moving(windows(latent.shape[2], window, overlap), window_frames, stride)
    return _stream(tae, latent.to(tae.latent_std.dtype), slices, stride, wanted)


def encode_video(tae: TAE, frames: Tensor | Iterable[Tensor], window_frames: int = WINDOW_FRAMES) -> Tensor:
    """Pixels [B, 3, T, H, W] in [-1, 1], whole or in consecutive pieces -> latent [B, C, ceil(T / 8), h, w].

    At most one window of pixels is held beside the piece at hand; windows do not overlap. ShapeError for a clip without
    frames, ConfigError for a window that holds no latent.
    """
    _in_latents(window_frames, tae.config.temporal_stride, "window")
    pieces = frames.split(window_frames, dim=2) if isinstance(frames, Tensor) else frames
    latents = []
    for pixels in _regroup(pieces, window_frames):
        with torch.no_grad():
            latents.append(tae.encode(pixels.to(tae.latent_std.dtype)))
    if not latents:
        raise ShapeError("the clip has no frames; give at least 1")
    return torch.cat(latents, dim=2)


def _moving(slices: list[slice], window_frames: int, stride: int) -> list[slice]:
    """Windows of a clip of more than one latent frame, each of at least two: one alone would decode to a still."""
    if len(slices) == 1:
        return slices
    if window_frames < 2 * stride:
        raise ConfigError(f"a window of {window_frames} frames decodes to stills; use {2 * stride} or more")
    *others, last = slices
    return [*others, slice(min(last.start, last.stop - 2), last.stop)]


def _stream(tae: TAE, latent: Tensor, slices: list[slice], stride: int, wanted: int) -> Iterator[Tensor]:
    given = 0
    in_frames = [slice(own.start * stride, own.stop * stride) for own in slices]
    for piece in blend(_decoded(tae, latent, slices), in_frames, dim=2):
        piece = piece[:, :, : wanted - given].clamp_(-1.0, 1.0)
        given += piece.shape[2]
        yield piece
        # A name that outlives its turn would hold a whole window beside the next one.
        del piece
        if given >= wanted:
            return


def _decoded(tae: TAE, latent: Tensor, slices: list[slice]) -> Iterator[Tensor]:
    for own in slices:
        yield _decode(tae, latent[:, :, own])


@torch.no_grad()
def _decode(tae: TAE, latent: Tensor) -> Tensor:
    # A function, since no_grad around a yield would leave the caller without gradients.
    pixels = tae.decode(latent)
    # A still is one frame repeated without memory of its own, which cannot be changed in place.
    return pixels.clone() if 0 in pixels.stride() else pixels


def _regroup(pieces: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Pieces of any lengths along the frames -> pieces of `size` frames, the last one shorter."""
    held: list[Tensor] = []
    count = 0
    for piece in pieces:
        while piece.shape[2]:
            head, piece = piece[:, :, : size - count], piece[:, :, size - count :]
            held.append(head)
            count += head.shape[2]
            if count == size:
                yield torch.cat(held, dim=2)
                held, count = [], 0
    if held:
        yield torch.cat(held, dim=2)


def _in_latents(frames: int, stride: int, name: str, least: int = 1) -> int:
    if frames < least * stride or frames % stride:
        nearest = max(least, round(frames / stride)) * stride
        raise ConfigError(
            f"{name} of {frames} frames must be a multiple of {stride}, {least * stride} or more; use {nearest}"
        )
    return frames // stride
