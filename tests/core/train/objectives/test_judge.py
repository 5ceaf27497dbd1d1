"""What the judge of clips learns from."""

import torch

from moviegen_core.train.objectives.judge import COARSE, worn


def test_worn_clips_are_softened_and_grainy_each_by_chance_of_the_generator():
    pixels = torch.zeros(12, 3, 2, 32, 32)
    pixels[..., ::2] = 0.5  # stripes, which softness takes away
    again = [worn(pixels, 0.1, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])
    soft = worn(pixels, 0.0, 4, torch.Generator().manual_seed(1))
    stripes = (soft[..., ::2] - soft[..., 1::2]).mean(dim=(1, 2, 3, 4))
    assert stripes.min() < 0.15
    assert stripes.max() > 0.35
    grain = again[0] - soft
    assert grain.std() < 0.1
    squares = grain.unflatten(-1, (-1, COARSE)).std(dim=-1).mean(dim=(1, 2, 3, 4)) < 1e-5
    assert 0 < int(squares.sum()) < 12  # some coarse, some fine
