"""Features are standardised by what was measured."""

from __future__ import annotations

import torch

from moviegen_core.layers.standard import SMALLEST_STD, Standardise


def test_measured_features_have_zero_mean_and_unit_deviation():
    rows = 3.0 + 2.0 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    layer = Standardise(4)
    layer.measure(rows)
    assert torch.allclose(layer(rows).mean(dim=0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(layer(rows).std(dim=0), torch.ones(4), atol=1e-5)


def test_single_row_is_measured_as_one_that_hardly_varies():
    layer, row = Standardise(3), torch.tensor([[1.0, -2.0, 0.0]])
    layer.measure(row)
    assert torch.equal(layer.mean, row[0])
    assert torch.equal(layer.std, torch.full((3,), SMALLEST_STD))
