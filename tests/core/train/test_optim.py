"""Learning rates follow their schedules; groups are what they should be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moviegen_core.errors import ConfigError
from moviegen_core.models.audio_codec.layers import Snake
from moviegen_core.train.optim import OptimConfig, build, rate_scale, set_rate


@pytest.mark.parametrize(("schedule", "middle"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)])
def test_schedule_values_after_the_warmup(schedule, middle):
    config = OptimConfig(schedule=schedule, warmup_steps=10, final_scale=0.0)
    assert rate_scale(config, 100, 0.0) == pytest.approx(1.0)
    assert rate_scale(config, 100, 0.5) == pytest.approx(middle)
    assert rate_scale(config, 100, 1.0) == pytest.approx(1.0 if schedule == "constant" else 0.0)


def test_cosine_leaves_slowly_and_arrives_slowly():
    config = OptimConfig(schedule="cosine", warmup_steps=1, final_scale=0.0)
    assert rate_scale(config, 9, 0.25) == pytest.approx(0.5 + 0.5**1.5)
    assert rate_scale(config, 9, 0.75) == pytest.approx(0.5 - 0.5**1.5)


def test_warmup_rises_in_equal_steps():
    config = OptimConfig(schedule="constant", warmup_steps=4)
    assert [rate_scale(config, step, 0.0) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_rate_stays_until_the_decay_starts():
    config = OptimConfig(schedule="linear", warmup_steps=1, decay_start=0.8, final_scale=0.1)
    assert rate_scale(config, 9, 0.79) == pytest.approx(1.0)
    assert rate_scale(config, 9, 0.9) == pytest.approx(0.55)
    assert rate_scale(config, 9, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_only_weights_are_decayed_and_only_matrices_made_orthogonal(method):
    module = nn.ModuleDict(
        {
            "linear": nn.Linear(3, 4),
            "conv": nn.Conv1d(3, 4, 7),
            "words": nn.Embedding(40, 4),
            "offsets": nn.Embedding(6, 4),
            "scale": nn.Embedding(1, 4),
            "period": Snake(5),
        }
    )
    groups = build(module, OptimConfig(method=method, weight_decay=0.1)).param_groups
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    decayed = {names[id(one)] for group in groups if group["weight_decay"] for one in group["params"]}
    orthogonal = {names[id(one)] for group in groups if group.get("orthogonal") for one in group["params"]}
    assert decayed == {"linear.weight", "conv.weight", "words.weight"}
    assert orthogonal == ({"linear.weight", "conv.weight"} if method == "muon" else set())


def test_unknown_schedule_is_refused():
    with pytest.raises(ConfigError, match="linear, cosine"):
        OptimConfig(schedule="wavy")


def test_vectors_are_not_decayed_and_prefixes_scale_the_rate():
    module = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    optimizer = build(module, OptimConfig(weight_decay=0.1, rate_scales={"b.": 0.5}))
    set_rate(optimizer, 0.2)
    found = {
        id(parameter): (group["weight_decay"], group["lr"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found[id(module["a"].weight)] == (0.1, 0.2)
    assert found[id(module["a"].bias)] == (0.0, 0.2)
    assert found[id(module["b"].weight)] == (0.1, 0.1)


def test_muon_iterates_in_the_dtype_it_is_given():
    steps = {}
    for dtype in (None, torch.bfloat16):
        torch.manual_seed(0)
        module = nn.Linear(12, 8, bias=False)
        module.weight.grad = torch.randn_like(module.weight)
        before = module.weight.detach().clone()
        build(module, OptimConfig(method="muon", weight_decay=0.0), dtype).step()
        assert module.weight.dtype == torch.float32
        steps[dtype] = before - module.weight.detach()
    assert not torch.equal(steps[None], steps[torch.bfloat16])
    assert torch.cosine_similarity(steps[None].flatten(), steps[torch.bfloat16].flatten(), dim=0) > 0.999


def test_module_without_trainable_parameters_is_refused():
    with pytest.raises(ConfigError, match="unfreeze"):
        build(nn.Linear(2, 2).requires_grad_(False), OptimConfig())
