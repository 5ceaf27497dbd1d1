"""Averages are what their formulas say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moviegen_core.errors import CheckpointError, ConfigError
from moviegen_core.train.average import EMA, average


def layer(value: float) -> nn.Linear:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_ema_follows_its_recurrence():
    module = layer(0.0)
    ema, wanted = EMA(module, 0.5), 0.0
    for step in range(1, 6):
        nn.init.constant_(module.weight, step)
        ema.update(module)
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * step
    assert ema.shadow["weight"].item() == pytest.approx(wanted)


def test_applied_ema_gives_the_own_weights_back_even_after_an_error():
    module = layer(1.0)
    ema = EMA(module, 0.9)
    nn.init.constant_(module.weight, 3.0)
    seen = []

    def fail() -> None:
        with ema.applied(module):
            seen.append(module.weight.item())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert seen == [1.0]
    assert module.weight.item() == 3.0


def test_frozen_parameters_are_not_averaged():
    module = nn.Sequential(layer(1.0), layer(2.0))
    module[0].requires_grad_(False)
    assert list(EMA(module, 0.9).shadow) == ["1.weight"]


def test_average_of_checkpoints_is_their_weighted_mean():
    states = [{"w": torch.tensor([1.0]), "n": torch.tensor(1)}, {"w": torch.tensor([4.0]), "n": torch.tensor(2)}]
    assert average(states)["w"].item() == pytest.approx(2.5)
    mean = average(states, [0.25, 0.75])
    assert mean["w"].item() == pytest.approx(3.25)
    assert mean["n"].item() == 2


def test_averaging_different_networks_is_refused():
    with pytest.raises(CheckpointError, match="different networks"):
        average([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])


def test_average_weights_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ConfigError, match="sum to 1"):
        average([{"a": torch.zeros(1)}] * 2, [0.5, 0.6])
