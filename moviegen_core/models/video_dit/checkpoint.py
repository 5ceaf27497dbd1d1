"""Weights of a video transformer in other layouts and sizes: prefixes of hosts, longer tables, further channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import ConfigError
from .model import VideoDiTConfig

# ComfyUI's saver, ComfyUI's patcher, and the wrapper of data-parallel training.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "module.")


def has_prefix(keys: Iterable[str]) -> bool:
    """True where every key starts with the same one of PREFIXES."""
    keys = list(keys)
    return any(keys and all(key.startswith(prefix) for key in keys) for prefix in PREFIXES)


def without_prefix(key: str) -> str:
    """Key of a host's file -> our key."""
    return next((key.removeprefix(prefix) for prefix in PREFIXES if key.startswith(prefix)), key)


KEY_MAPS = (("host prefix", has_prefix, without_prefix),)


def grow_weights(weights: dict[str, Tensor], old: VideoDiTConfig, new: VideoDiTConfig) -> dict[str, Tensor]:
    """State dict of `old` -> state dict of `new`, which may differ in `max_grid` and `in_channels` only, upwards.

    The paper says that tables are "expanded", not how (assumptions): those of rows and columns are interpolated
    linearly, so that a place keeps its position when the resolution rises (of a table that grows for wider pictures of
    the same resolution a part is then read at first); that of frames goes on with its last row,
    so that a moment keeps its own when clips grow longer. New input channels come last and start at zero (paper
    3.1.5 and 5), so that the network computes what it did. ConfigError for any other change.
    """
    if dataclasses.replace(old, max_grid=new.max_grid, in_channels=new.in_channels) != new:
        raise ConfigError("only max_grid and in_channels can grow; the other sizes must stay as they are")
    if new.in_channels < old.in_channels or any(b < a for a, b in zip(old.max_grid, new.max_grid, strict=True)):
        raise ConfigError(
            f"{old.in_channels} channels and tables of {old.max_grid} cannot shrink to {new.in_channels} and "
            f"{new.max_grid}; give sizes at least as large"
        )
    grown = dict(weights)
    frames, *sides = new.max_grid
    moments = weights["positions.frames.weight"]
    grown["positions.frames.weight"] = torch.cat([moments, moments[-1:].expand(frames - len(moments), -1)])
    for axis, length in zip(("rows", "columns"), sides, strict=True):
        key = f"positions.{axis}.weight"
        grown[key] = _stretch(weights[key], length)
    # A token's features are ordered by channel first, so new channels are new columns at the right.
    columns = (new.in_channels - old.in_channels) * old.patch_size[0] * old.patch_size[1] * old.patch_size[2]
    grown["patch_in.weight"] = F.pad(weights["patch_in.weight"], (0, columns))
    return grown


def _stretch(table: Tensor, length: int) -> Tensor:
    if len(table) == length:
        return table.clone()
    stretched = F.interpolate(table.float().T[None], size=length, mode="linear", align_corners=False)
    return stretched[0].T.to(table.dtype).contiguous()
