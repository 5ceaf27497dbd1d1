import weakref
from itertools import pairwise

import pytest
import torch

from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.ops.windows import blend, fade_in, join, linear_weights, windows

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
    pieces = list(blend((whole[:, own].clone() for own in slices), slices, dim=1))
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


def test_blending_keeps_one_window():
    whole = torch.randn(2, 33, generator=torch.Generator().manual_seed(0))
    slices = windows(33, 8, 3)
    alive: list[weakref.ref] = []
    most = 0

    def parts():
        nonlocal most
        for own in slices:
            part = whole[:, own].clone()
            alive.append(weakref.ref(part))
            most = max(most, sum(one() is not None for one in alive))
            yield part
            del part

    pieces = []
    for piece in blend(parts(), slices, dim=1):
        pieces.append(piece.clone())
        del piece
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    assert most == 1


@pytest.mark.parametrize("curve", ["linear", "cosine"])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_fades_are_symmetric_so_that_their_weights_sum_to_one(curve, length):
    rising = fade_in(length, curve)
    torch.testing.assert_close(rising + rising.flip(0), torch.ones(length))
    assert bool((rising.diff() > 0).all())
    assert bool(((rising > 0) & (rising < 1)).all())


@pytest.mark.parametrize("overlap", [0, 1, 4])
@pytest.mark.parametrize("curve", ["linear", "cosine"])
def test_joining_the_two_halves_of_a_tensor_gives_it_back(overlap, curve):
    whole = torch.randn(2, 3, 12, 4, generator=torch.Generator().manual_seed(0))
    first, second = whole[:, :, : 6 + overlap], whole[:, :, 6:]
    torch.testing.assert_close(join(first, second, overlap, 2, curve), whole)


@pytest.mark.parametrize("curve", ["linear", "cosine"])
def test_joined_tensors_go_over_from_the_first_to_the_second(curve):
    mixed = join(torch.zeros(1, 8), torch.ones(1, 8), 5, 1, curve)[0]
    assert bool((mixed[2:9].diff() > 0).all())


def test_joining_refuses_other_sizes_and_long_overlaps():
    with pytest.raises(ShapeError, match="same width, height and batch size"):
        join(torch.zeros(1, 4, 3), torch.zeros(1, 5, 3), 1, 2)
    with pytest.raises(ConfigError, match="use less"):
        join(torch.zeros(1, 4, 3), torch.zeros(1, 4, 2), 3, 2)
    with pytest.raises(ConfigError, match="linear, cosine"):
        join(torch.zeros(1, 4, 3), torch.zeros(1, 4, 2), 1, 2, "square")
