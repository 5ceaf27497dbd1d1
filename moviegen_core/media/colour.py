"""Colours of a clip drawn towards those of a reference, without flicker.

Shape letters: T frames, H rows, W columns. Frames are float [T, H, W, 3] in 0..1, as ComfyUI's IMAGE.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError, ShapeError

Method = Literal["covariance", "mean_std", "mean"]
METHODS: tuple[str, ...] = get_args(Method)
OnFrames = Callable[[int], None]  # frames done so far
FLOOR = 1e-4  # variance below which a colour direction counts as flat; its contrast is left alone
MAX_GAIN = 4.0  # times; more would turn the noise of flat pictures into colours
CHUNK = 8  # frames worked on at a time


@dataclass(frozen=True)
class ColourStatistics:
    """Mean [T, 3] and covariance [T, 3, 3] of the colours of each frame, fp64."""

    mean: Tensor
    covariance: Tensor

    def pooled(self) -> ColourStatistics:
        """One entry [1, ...] for all frames together."""
        return self._from_moments(self.mean.mean(0, keepdim=True), self._second().mean(0, keepdim=True))

    def smoothed(self, frames: float) -> ColourStatistics:
        """Each frame's statistics averaged with its neighbours' by a Gaussian of that standard deviation.

        ConfigError unless that is above 0.
        """
        if frames <= 0:
            raise ConfigError(f"smoothing over {frames} frames was asked for; use a number above 0")
        reach = min(math.ceil(3 * frames), len(self.mean) - 1)
        offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / frames) ** 2).view(1, 1, -1)
        moments = torch.cat([self.mean, self._second().flatten(1)], 1).t().unsqueeze(1)
        counted = functional.conv1d(torch.ones_like(moments[:1]), kernel, padding=reach)
        smooth = (functional.conv1d(moments, kernel, padding=reach) / counted).squeeze(1).t()
        return self._from_moments(smooth[:, :3], smooth[:, 3:].unflatten(1, (3, 3)))

    def _second(self) -> Tensor:
        return self.covariance + self.mean.unsqueeze(2) * self.mean.unsqueeze(1)

    @staticmethod
    def _from_moments(mean: Tensor, second: Tensor) -> ColourStatistics:
        return ColourStatistics(mean, second - mean.unsqueeze(2) * mean.unsqueeze(1))


def colour_statistics(frames: Tensor, on_frames: OnFrames | None = None) -> ColourStatistics:
    """Frames [T, H, W, C >= 3] in 0..1 -> statistics of each, a few frames at a time; NaN counts as black.

    `on_frames(frames done)` may raise to cancel. ShapeError for other shapes.
    """
    if frames.ndim != 4 or frames.shape[-1] < 3 or not frames.numel():
        raise ShapeError(f"pictures of shape {tuple(frames.shape)} were given; colours need [frames, H, W, 3]")
    means, covariances = [], []
    for chunk in frames.split(CHUNK):
        colours = chunk[..., :3].flatten(1, 2).double().nan_to_num(0.0, 1.0, 0.0)
        mean = colours.mean(1)
        centred = colours - mean.unsqueeze(1)
        means.append(mean)
        covariances.append(centred.transpose(1, 2) @ centred / colours.shape[1])
        if on_frames is not None:
            on_frames(CHUNK * len(means) - CHUNK + len(chunk))
    return ColourStatistics(torch.cat(means).cpu(), torch.cat(covariances).cpu())


def anchor_colour(
    frames: Tensor, reference: Tensor, *, strength: float = 1.0, smoothing: float = 24.0, method: Method = "covariance",
    on_frames: OnFrames | None = None,
) -> Tensor:  # fmt: skip
    """Frames [T, H, W, C] in 0..1, their colours moved towards those of `reference` [R, h, w, C]; same shape.

    One affine map a frame, from statistics that are averaged over `smoothing` frames (standard deviation of a
    Gaussian): slow drift is taken out, quick changes stay, nothing flickers. 0 gives the whole clip one map.
    "covariance" matches mean and covariance (Pitié and Kokaram 2007, the linear Monge-Kantorovich map), "mean_std" each
    channel's mean and contrast, "mean" the tint alone. Channels beyond the third, such as alpha, stay as they are.
    Every frame is looked at, then painted: `on_frames` counts to 2 T, and may raise to cancel. ConfigError for an
    unknown method or a strength out of range.
    """
    if method not in METHODS:
        raise ConfigError(f"method {method!r} is unknown; use one of {', '.join(METHODS)}")
    if not 0.0 <= strength <= 1.0:
        raise ConfigError(f"strength {strength} is outside of 0..1; 0 changes nothing, 1 matches the reference")
    own = colour_statistics(frames, on_frames)
    own = own.smoothed(smoothing) if smoothing > 0 else own.pooled()
    target = colour_statistics(reference).pooled()
    matrix = torch.lerp(torch.eye(3, dtype=torch.float64), _matrix(own, target, method), strength)
    pivot = torch.lerp(own.mean, target.mean.expand_as(own.mean), strength)
    matrix, mean, pivot = (part.expand(len(frames), *part.shape[1:]).to(frames) for part in (matrix, own.mean, pivot))
    result = frames.clone()
    for start in range(0, len(frames), CHUNK):
        chunk = slice(start, start + CHUNK)
        centred = frames[chunk, ..., :3] - mean[chunk, None, None]
        moved = torch.einsum("thwc,tkc->thwk", centred, matrix[chunk]) + pivot[chunk, None, None]
        result[chunk, ..., :3] = moved.clamp_(0.0, 1.0)
        if on_frames is not None:
            on_frames(len(frames) + min(start + CHUNK, len(frames)))
    return result


def _matrix(own: ColourStatistics, target: ColourStatistics, method: Method) -> Tensor:
    """Maps centred colours of `own` to those of `target`: [T, 3, 3]."""
    unit = torch.eye(3, dtype=torch.float64)
    if method == "mean":
        return unit.expand_as(own.covariance)
    if method == "mean_std":
        given, wanted = (one.covariance.diagonal(dim1=1, dim2=2).clamp_min(FLOOR) for one in (own, target))
        return torch.diag_embed((wanted / given).sqrt().clamp_max(MAX_GAIN))
    root, inverse = _roots(own.covariance + FLOOR * unit)
    middle, _ = _roots(root @ (target.covariance + FLOOR * unit) @ root)
    values, axes = torch.linalg.eigh(inverse @ middle @ inverse)
    return axes @ torch.diag_embed(values.clamp(0.0, MAX_GAIN)) @ axes.transpose(1, 2)


def _roots(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of positive matrices [T, 3, 3]."""
    values, axes = torch.linalg.eigh(symmetric)
    roots = values.clamp_min(1e-12).sqrt()
    back = axes.transpose(1, 2)
    return axes @ torch.diag_embed(roots) @ back, axes @ torch.diag_embed(1.0 / roots) @ back
