import pytest
import torch

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ShapeError


def conditioning(batch: int, tokens: int, names: tuple[str, ...] = ("ul2",)) -> Conditioning:
    context = {name: torch.randn(batch, tokens, 4) for name in names}
    return Conditioning(context, {name: torch.ones(batch, tokens, dtype=torch.bool) for name in names})


def test_batch_is_read_from_the_tensors():
    assert conditioning(3, 5).batch == 3


def test_empty_conditioning_says_nothing_and_keeps_its_batch_when_moved():
    empty = Conditioning.empty(2)
    assert (empty.context, empty.context_mask) == ({}, {})
    assert empty.to("cpu", torch.float64).batch == 2


def test_moving_changes_the_dtype_of_tokens_but_not_of_masks():
    moved = conditioning(1, 2).to("cpu", torch.float64)
    assert moved.context["ul2"].dtype == torch.float64
    assert moved.context_mask["ul2"].dtype == torch.bool


def test_one_sample_repeats_and_several_do_not():
    assert conditioning(1, 2).repeat(3).context["ul2"].shape == (3, 2, 4)
    with pytest.raises(ShapeError, match="give 1 or 3 prompts"):
        conditioning(2, 2).repeat(3)


@pytest.mark.parametrize(
    ("context", "mask", "message"),
    [
        ({"ul2": torch.zeros(1, 2, 3)}, {}, "give both"),
        ({"ul2": torch.zeros(1, 2, 3)}, {"ul2": torch.ones(1, 3, dtype=torch.bool)}, "bool mask"),
        ({"ul2": torch.zeros(1, 2, 3)}, {"ul2": torch.ones(1, 2)}, "bool mask"),
        ({}, {}, "one batch size"),
    ],
)
def test_conditionings_that_do_not_fit_together_are_refused(context, mask, message):
    with pytest.raises(ShapeError, match=message):
        Conditioning(context, mask)
