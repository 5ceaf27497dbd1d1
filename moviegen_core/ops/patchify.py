"""Latent clip <-> token rows. Features of a token are ordered channel, frame, row, column of its patch."""

from __future__ import annotations

from torch import Tensor

from ..errors import ShapeError

Triple = tuple[int, int, int]


def patchify(latent: Tensor, patch: Triple) -> tuple[Tensor, Triple]:
    """latent [B, C, T, H, W] -> tokens [B, N, C*pt*ph*pw] and the grid (frames, rows, columns) of tokens.

    ShapeError for sizes that are no multiples of the patch.
    """
    if latent.ndim != 5:
        raise ShapeError(f"a latent clip is [batch, channels, frames, rows, columns]; given {tuple(latent.shape)}")
    batch, channels, *size = latent.shape
    if any(length % step or not length for length, step in zip(size, patch, strict=True)):
        raise ShapeError(
            f"latent frames, rows, columns {tuple(size)} must be multiples of the patch {patch}; "
            "use pixel sizes that are multiples of 16"
        )
    frames, rows, columns = (length // step for length, step in zip(size, patch, strict=True))
    depth, height, width = patch
    tokens = latent.reshape(batch, channels, frames, depth, rows, height, columns, width)
    tokens = tokens.permute(0, 2, 4, 6, 1, 3, 5, 7)
    return tokens.reshape(batch, frames * rows * columns, channels * depth * height * width), (frames, rows, columns)


def unpatchify(tokens: Tensor, grid: Triple, patch: Triple, channels: int) -> Tensor:
    """tokens [B, N, C*pt*ph*pw] of a grid -> latent [B, C, T, H, W]; undoes `patchify`. ShapeError for other tokens."""
    frames, rows, columns = grid
    depth, height, width = patch
    if tokens.shape[1:] != (frames * rows * columns, channels * depth * height * width):
        raise ShapeError(
            f"tokens {tuple(tokens.shape)} do not fill a grid of {grid} with {channels} channels and patch {patch}"
        )
    latent = tokens.reshape(-1, frames, rows, columns, channels, depth, height, width)
    latent = latent.permute(0, 4, 1, 5, 2, 6, 3, 7)
    return latent.reshape(-1, channels, frames * depth, rows * height, columns * width)
