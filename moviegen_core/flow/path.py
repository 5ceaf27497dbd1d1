"""The straight path of flow matching (paper 3.1.2): time 0 is noise, time 1 is data.

sample(time) = time * data + (1 - (1 - SIGMA_MIN) * time) * noise, and its derivative in time is the velocity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ShapeError

SIGMA_MIN = 1e-5  # paper 3.1.2: what is left of the noise at time 1


def interpolate(data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """Point on the path: data and noise [B, ...], time [B] or scalar in [0, 1] -> sample [B, ...]."""
    _same_shape(data, noise)
    time = over_batch(time, data)
    return time * data + (1.0 - (1.0 - SIGMA_MIN) * time) * noise


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """Training target (equation 2): d sample / d time, the same at every time."""
    _same_shape(data, noise)
    return data - (1.0 - SIGMA_MIN) * noise


def estimate_data(sample: Tensor, velocity: Tensor, time: Tensor) -> Tensor:
    """Clean data that `velocity` points to from `sample` [B, ...] at `time` [B] or scalar."""
    return sample + (1.0 - over_batch(time, sample)) * velocity


def over_batch(time: Tensor, like: Tensor) -> Tensor:
    """Time [B] or scalar -> a tensor that multiplies `like` [B, ...] sample by sample, in its dtype.

    ShapeError for times of another shape.
    """
    time = torch.as_tensor(time, dtype=like.dtype, device=like.device)
    if time.ndim == 0:
        return time
    if time.shape != (like.shape[0],):
        raise ShapeError(
            f"time has shape {tuple(time.shape)}, the batch holds {like.shape[0]}; give one time per sample"
        )
    return time.reshape(-1, *[1] * (like.ndim - 1))


def _same_shape(data: Tensor, noise: Tensor) -> None:
    if data.shape != noise.shape:
        raise ShapeError(f"data {tuple(data.shape)} and noise {tuple(noise.shape)} must have the same shape")
