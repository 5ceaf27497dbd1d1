"""Metrics have their textbook values."""

from __future__ import annotations

import math

import pytest
import torch

from moviegen_core.errors import ShapeError
from moviegen_core.evaluate import metrics


def clip(seed=0):
    return torch.rand(3, 4, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_of_a_constant_error_is_its_closed_form():
    wanted = torch.zeros(3, 2, 8, 8)
    assert metrics.psnr(wanted + 0.2, wanted) == pytest.approx(20.0, abs=1e-5)


def test_psnr_of_equal_clips_is_infinite():
    assert metrics.psnr(clip(), clip()) == math.inf


def test_frame_psnr_points_at_the_damaged_frame():
    damaged = clip()
    damaged[:, 2] += 0.1
    found = metrics.frame_psnr(damaged, clip())
    assert [math.isinf(value) for value in found] == [True, True, False, True]


def test_ssim_is_one_for_equal_clips_and_falls_with_noise():
    noise = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    scores = [metrics.ssim(clip() + scale * noise, clip()) for scale in (0.0, 0.1, 0.5)]
    assert scores[0] == pytest.approx(1.0)
    assert scores[0] > scores[1] > scores[2]


def test_ssim_forgives_a_shift_in_brightness_more_than_noise_of_equal_power():
    noise = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    assert metrics.ssim(clip() * 0.5 + 0.1, clip() * 0.5) > metrics.ssim(clip() * 0.5 + 0.1 * noise, clip() * 0.5)


def test_ssim_of_a_single_window_is_the_formula():
    axis = torch.arange(-5, 6, dtype=torch.float64)
    weights = torch.exp(-axis.square() / (2 * 1.5**2))
    weights = torch.outer(weights, weights) / weights.sum() ** 2
    a, b = torch.rand(2, 11, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = lambda image: float((weights * image).sum())
    variances = [mean(image.square()) - mean(image) ** 2 for image in (a, b)]
    brightness = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
    structure = (2 * (mean(a * b) - mean(a) * mean(b)) + 9e-4) / (sum(variances) + 9e-4)
    given, wanted = (2 * image.expand(3, 1, 11, 11) - 1 for image in (a, b))
    assert metrics.ssim(given, wanted) == pytest.approx(brightness * structure, abs=1e-9)


def test_clips_of_different_lengths_are_refused():
    with pytest.raises(ShapeError, match="crop the longer"):
        metrics.psnr(clip(), clip()[:, :2])
