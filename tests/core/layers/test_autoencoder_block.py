"""Parts of the autoencoders that differ by device or size."""

import pytest
import torch
from torch import nn

from moviegen_core.layers import autoencoder_block
from moviegen_core.layers.autoencoder_block import TemporalAttention, normed


@torch.no_grad()
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_norm_away_from_the_cpu_keeps_channels_last(order):
    frames = torch.empty(2, 8, 5, 6, device="meta").contiguous(memory_format=order)
    norm = nn.GroupNorm(4, 8, device="meta")
    assert normed(frames, norm).is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_norm_on_the_cpu_is_the_modules_own():
    frames, norm = torch.randn(2, 8, 5, 6).contiguous(memory_format=torch.channels_last), nn.GroupNorm(4, 8)
    assert torch.equal(normed(frames, norm), norm(frames))


@torch.no_grad()
def test_rows_beyond_a_kernels_limit_are_attended_in_parts(monkeypatch):
    layer = TemporalAttention(8, 2)
    frames = torch.randn(3, 8, 5, 7).contiguous(memory_format=torch.channels_last)
    whole, asked = layer(frames, 1), []
    attend = torch.nn.functional.scaled_dot_product_attention

    def spied(query, key, value):
        asked.append(len(query))
        return attend(query, key, value)

    monkeypatch.setattr(autoencoder_block, "MOST_ROWS", 16)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spied)
    torch.testing.assert_close(layer(frames, 1), whole)
    assert asked == [16, 16, 3]
