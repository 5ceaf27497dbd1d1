"""How near two clips are: tensors [..., 3, T, H, W] or [..., 3, H, W] in [-1, 1] in, plain numbers out.

Measured in float64 on the CPU; MPS has none.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ShapeError

RANGE = 2.0  # pixels span [-1, 1]
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # Wang et al. 2004, section III-C
SSIM_K1, SSIM_K2 = 0.01, 0.03


def mse(given: Tensor, wanted: Tensor) -> float:
    """Mean squared error."""
    _same_shape(given, wanted)
    return float((given.cpu().double() - wanted.cpu().double()).square().mean())


def psnr(given: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over the whole clip; infinite for equal tensors."""
    error = mse(given, wanted)
    return math.inf if error == 0 else 10 * math.log10(RANGE**2 / error)


def frame_psnr(given: Tensor, wanted: Tensor) -> list[float]:
    """PSNR in dB of each frame of one clip [3, T, H, W]: shows where in time a codec is weak."""
    _same_shape(given, wanted)
    return [psnr(given[:, frame], wanted[:, frame]) for frame in range(given.shape[1])]


def ssim(given: Tensor, wanted: Tensor) -> float:
    """Structural similarity (Wang et al. 2004) with a Gaussian window, mean over frames and channels; 1 is equal.

    ShapeError for unlike frames, or smaller ones than the window.
    """
    _same_shape(given, wanted)
    if min(given.shape[-2:]) < SSIM_WINDOW:
        raise ShapeError(f"frames of {tuple(given.shape[-2:])} pixels; SSIM needs at least {SSIM_WINDOW} each way")
    # In [0, 1]: its brightness term is not free of the zero point.
    a = given.cpu().double().reshape(-1, 1, *given.shape[-2:]) / RANGE + 0.5
    b = wanted.cpu().double().reshape(-1, 1, *wanted.shape[-2:]) / RANGE + 0.5
    axis = torch.arange(SSIM_WINDOW, dtype=a.dtype) - SSIM_WINDOW // 2
    weights = torch.exp(-0.5 * (axis / SSIM_SIGMA) ** 2)
    weights = weights / weights.sum()

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(image, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    score /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    return float(score.mean())


def _same_shape(given: Tensor, wanted: Tensor) -> None:
    if given.shape != wanted.shape:
        raise ShapeError(f"clips of {tuple(given.shape)} and {tuple(wanted.shape)} cannot be compared; crop the longer")
