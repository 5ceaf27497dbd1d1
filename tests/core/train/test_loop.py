"""The loop resumes to the bit, ends by steps or time, and stops on a signal."""

from __future__ import annotations

import io
import json
import os
import random
import signal

import numpy as np
import pytest
import torch
from torch import nn

from moviegen_core.devices import choose
from moviegen_core.errors import CheckpointError, ConfigError, MovieGenError
from moviegen_core.train.data import Collated
from moviegen_core.train.loop import LoopConfig, Stopped, Trainer, fit
from moviegen_core.train.optim import OptimConfig

PLACEMENT = choose("cpu", "fp32")


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2))


def objective(module, batch, generator):
    """Draws from every generator there is, so that a resumed run must restore all of them."""
    noise = torch.randn(batch["x"].shape, generator=generator)
    jitter = random.random() + float(np.random.rand())  # noqa: NPY002
    error = module(batch["x"] + 0.1 * noise) - batch["y"] * (1 + 0.01 * jitter)
    return {"loss": error.square().mean(), "jitter": torch.tensor(jitter)}


def sample(rng):
    x = torch.from_numpy(rng.standard_normal(4, dtype=np.float32))
    return {"x": x, "y": x[:2]}


def settings(steps=6, **changes) -> LoopConfig:
    optim = OptimConfig(learning_rate=1e-2, warmup_steps=2, **changes.pop("optim", {}))
    return LoopConfig(name="tiny", steps=steps, seed=3, optim=optim, log_seconds=0.0, **changes)


def run(folder, config, source=None, **options):
    module = network()
    source = source or Collated(sample, 4, seed=1)
    ema = fit(module, objective, source, config, folder, placement=PLACEMENT, out=io.StringIO(), **options)
    return module, ema


class Killer:
    """A source that sends this process a signal when a position is read."""

    def __init__(self, position: int, number: int = signal.SIGTERM) -> None:
        self.inner, self.position, self.number = Collated(sample, 4, seed=1), position, number

    def batch(self, position):
        if position == self.position:
            os.kill(os.getpid(), self.number)
        return self.inner.batch(position)


@pytest.mark.parametrize("method", ["adamw", "muon"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_killed_and_resumed_run_ends_with_the_same_bits(tmp_path, method, number):
    config = settings(accumulate=2, optim={"method": method})
    whole, whole_ema = run(tmp_path / "whole", config)
    with pytest.raises(Stopped, match="step 3"):
        run(tmp_path / "cut", config, Killer(5, number))
    resumed, resumed_ema = run(tmp_path / "cut", config)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
        assert torch.equal(whole_ema.shadow[name], resumed_ema.shadow[name]), name
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_without_resume_a_run_starts_from_the_beginning(tmp_path):
    first, _ = run(tmp_path, settings(steps=2))
    again, _ = run(tmp_path, settings(steps=2), resume=False)
    assert torch.equal(first[0].weight, again[0].weight)


def test_worker_processes_give_the_same_weights_as_none(tmp_path):
    alone, _ = run(tmp_path / "alone", settings(steps=3))
    helped, _ = run(tmp_path / "helped", settings(steps=3, workers=1))
    assert torch.equal(alone[0].weight, helped[0].weight)


def test_finished_stage_is_not_trained_again(tmp_path):
    first, _ = run(tmp_path, settings())
    second, _ = run(tmp_path, settings(), Killer(0))
    assert torch.equal(first[0].weight, second[0].weight)


def test_checkpoint_of_another_stage_is_refused(tmp_path):
    run(tmp_path, settings())
    with pytest.raises(CheckpointError, match="choose another output folder"):
        run(tmp_path, LoopConfig(name="other", steps=6, seed=3))


def test_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="delete it"):
        run(tmp_path, settings())


def test_stage_ends_when_its_minutes_are_over(tmp_path):
    module, _ = run(tmp_path, LoopConfig(name="tiny", max_minutes=0.2 / 60, log_seconds=0.0))
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert 0.2 <= json.loads(rows[-1])["seconds"] < 2
    assert isinstance(module, nn.Module)


def test_stage_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="give it steps or max_minutes"):
        LoopConfig(name="endless")


def test_accumulated_gradient_is_the_mean_over_the_batches(tmp_path):
    def plain(module, batch, generator):
        return {"loss": (module(batch["x"]) - batch["y"]).square().mean()}

    def one_step(batch_size, accumulate):
        module = nn.Linear(4, 2)
        nn.init.constant_(module.weight, 0.1)
        nn.init.zeros_(module.bias)
        config = LoopConfig(name="one", steps=1, accumulate=accumulate)
        trainer = Trainer(
            module, plain, Collated(sample, batch_size, 1), config, tmp_path, PLACEMENT, out=io.StringIO()
        )
        trainer.optimizer = torch.optim.SGD([{"params": module.parameters(), "scale": 1.0}], lr=1.0)
        trainer.run()
        return module.weight.detach()

    assert torch.allclose(one_step(8, 1), one_step(4, 2), atol=1e-6)


def test_hooks_see_the_averaged_weights_and_leave_no_trace(tmp_path):
    seen = []

    def hook(module, folder, step):
        seen.append((module[0].weight.detach().clone(), torch.rand(1), folder.is_dir(), module.training))

    hooked, ema = run(tmp_path / "hooked", settings(sheet_seconds=0.0), hooks=[hook])
    plain, _ = run(tmp_path / "plain", settings())
    assert torch.equal(hooked[0].weight, plain[0].weight)
    assert torch.equal(seen[-1][0], ema.shadow["0.weight"])
    assert seen[-1][2]
    assert not seen[-1][3]


def test_snapshots_are_kept_at_their_share_of_the_stage(tmp_path):
    run(tmp_path, settings(snapshots=(0.5, 1.0)))
    assert sorted(path.name for path in tmp_path.glob("snapshot-*")) == ["snapshot-0.500.pt", "snapshot-1.000.pt"]


def test_endless_bad_gradients_end_the_run(tmp_path):
    def broken(module, batch, generator):
        return {"loss": module(batch["x"]).sum() * float("nan")}

    with pytest.raises(MovieGenError, match="lower the learning rate"):
        fit(
            network(),
            broken,
            Collated(sample, 2, 0),
            settings(steps=50),
            tmp_path,
            placement=PLACEMENT,
            out=io.StringIO(),
        )
