"""A fresh video transformer looks at neighbours, in space and in time."""

import pytest
import torch

from moviegen_core.layers import locality
from moviegen_core.models import catalog

GRID = (3, 6, 6)
MIDDLE = (1, 3, 3)
WIDTH = 64


def first_looks(model):
    """Mean attention [H, N, N] of every block to pure noise, without any text."""
    looks = []

    def attend(q, k, v, mask):
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
        if q.shape[2] == k.shape[2]:
            looks.append(scores.mean(dim=0))
        return scores @ v

    noise = torch.randn(2, 16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(noise, torch.full((2,), 0.5), model.prepare(batch=2), attend)
    return looks


def test_each_head_of_a_fresh_network_finds_its_neighbour():
    torch.manual_seed(0)
    model = catalog.build("video_dit", "nano", device="cpu")
    looks = first_looks(model)
    heads = [head for block in looks for head in block]
    assert len(heads) == len(locality.LOOKS) == 24
    for head, look in zip(heads, locality.LOOKS, strict=True):
        if look is None:
            continue
        neighbour, sharpness = look
        seen = head.reshape(*GRID, *GRID)[MIDDLE]
        target = tuple(place + step for place, step in zip(MIDDLE, neighbour, strict=True))
        assert seen[target] == seen.max(), look
        assert seen[target] > (0.5 if sharpness > 0.4 else 0.2), look


@pytest.mark.parametrize("neighbour", [(0, 0, 1), (0, -1, 0), (2, 0, -1)])
def test_step_leads_from_a_place_to_its_neighbour(neighbour):
    tables = [
        torch.zeros(8, WIDTH).index_copy(1, torch.arange(first, first + 2 * len(rates)), locality.waves(8, rates))
        for first, rates in locality.axis_rates(WIDTH)
    ]
    here = [3, 4, 5]
    there = [place + step for place, step in zip(here, neighbour, strict=True)]
    start, end = (sum(table[place] for table, place in zip(tables, places, strict=True)) for places in (here, there))
    torch.testing.assert_close(locality.step_to(neighbour, WIDTH) @ start, end, rtol=0, atol=1e-5)


def test_axes_share_the_channels_without_overlap():
    used = [range(first, first + 2 * len(rates)) for first, rates in locality.axis_rates(WIDTH)]
    assert [channel for part in used for channel in part] == list(range(WIDTH))
