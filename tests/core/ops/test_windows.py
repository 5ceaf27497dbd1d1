from itertools import pairwise

import pytest
import torch

from moviegen_core.errors import ConfigError
from moviegen_core.ops.windows import blend, linear_weights, windows

CASES = [
    (length, window, overlap) for length in (1, 3, 4, 8, 9, 33) for window in (1, 4, 7) for overlap in range(window)
]


@pytest.mark.parametrize(("length", "window", "overlap"), CASES)
def test_windows_cover_the_axis_and_neighbours_share_the_overlap(length, window, overlap):
    slices = windows(length, window, overlap)
    assert slices[0].start == 0
    assert slices[-1].stop == length
    for before, after in pairwise(slices):
        assert before.stop - before.start == window
        assert before.stop - after.start == overlap
        assert after.stop > before.stop


@pytest.mark.parametrize(("length", "window", "overlap"), CASES)
def test_weights_sum_to_one_everywhere(length, window, overlap):
    slices = windows(length, window, overlap)
    total = torch.zeros(length)
    for own, weight in zip(slices, linear_weights(slices), strict=True):
        assert weight.min() >= 0
        total[own] += weight
    torch.testing.assert_close(total, torch.ones(length))


def test_the_earlier_window_fades_out_while_the_later_one_fades_in():
    first, second = linear_weights(windows(6, 4, 2))
    torch.testing.assert_close(first, torch.tensor([1.0, 1.0, 1.0, 0.5]))
    torch.testing.assert_close(second, torch.tensor([0.0, 0.5, 1.0, 1.0]))


@pytest.mark.parametrize(("length", "window", "overlap"), CASES)
def test_blending_windows_of_one_tensor_gives_it_back(length, window, overlap):
    whole = torch.randn(2, length, 3, generator=torch.Generator().manual_seed(0))
    slices = windows(length, window, overlap)
    pieces = list(blend((whole[:, own] for own in slices), slices, dim=1))
    assert len(pieces) == len(slices)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_blending_asks_for_one_window_at_a_time():
    asked = []

    def parts():
        for index in range(3):
            asked.append(index)
            yield torch.ones(4)

    pieces = blend(parts(), windows(8, 4, 2), dim=0)
    assert next(pieces).shape == (2,)
    assert asked == [0]


def test_an_overlap_as_long_as_the_window_is_refused():
    with pytest.raises(ConfigError, match="smaller than the window"):
        windows(8, 4, 4)
