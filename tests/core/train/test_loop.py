"""The loop resumes to the bit, ends by steps or time, and stops on a signal."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from moviegen_core.devices import choose
from moviegen_core.errors import CheckpointError, ConfigError, MovieGenError
from moviegen_core.train import state
from moviegen_core.train.data import Collated
from moviegen_core.train.distributed import World
from moviegen_core.train.loop import LoopConfig, Stopped, Trainer, fit
from moviegen_core.train.optim import OptimConfig

PLACEMENT = choose("cpu", "fp32")


def network(seed=7) -> nn.Module:
    torch.manual_seed(seed)
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


def run(folder, config, source=None, module=None, **options):
    module = module or network()
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
    with pytest.raises(Stopped, match=r"step 3 .* repeat the command without --no-resume"):
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


def logged(file):
    return [json.loads(line)["step"] for line in file.read_text().splitlines()]


def test_metrics_of_a_run_that_is_not_continued_are_put_aside(tmp_path):
    for steps in (2, 3, 4):
        run(tmp_path, settings(steps=steps), resume=False)
    assert {file.name: logged(file) for file in tmp_path.glob("metrics*")} == {
        "metrics-1.jsonl": [1, 2], "metrics-2.jsonl": [1, 2, 3], "metrics.jsonl": [1, 2, 3, 4],
    }  # fmt: skip


def test_worker_processes_give_the_same_weights_as_none(tmp_path):
    alone, _ = run(tmp_path / "alone", settings(steps=3))
    helped, _ = run(tmp_path / "helped", settings(steps=3, workers=1))
    assert torch.equal(alone[0].weight, helped[0].weight)


def test_finished_stage_is_not_trained_again(tmp_path):
    first, _ = run(tmp_path, settings())
    second, _ = run(tmp_path, settings(), Killer(0))
    assert torch.equal(first[0].weight, second[0].weight)


def stopped(folder, config):
    """A run that was stopped after its first step."""
    with pytest.raises(Stopped):
        run(folder, config, Killer(0))


def test_finished_stage_goes_on_when_its_limit_grows(tmp_path):
    run(tmp_path, settings(steps=2))
    run(tmp_path, settings(steps=5))
    saved = state.load(tmp_path / "checkpoint.pt")
    assert (saved["step"], saved["done"]) == (5, True)
    run(tmp_path, settings(steps=5, max_minutes=60.0), Killer(0))
    with pytest.raises(CheckpointError, match="beyond the limits of now; delete that folder"):
        run(tmp_path, settings(steps=3))


def test_stage_is_not_continued_from_other_weights_than_it_began_with(tmp_path):
    stopped(tmp_path / "cut", settings())
    run(tmp_path / "whole", settings())
    for folder in ("cut", "whole"):
        with pytest.raises(CheckpointError, match=rf"{folder} holds .* other weights .*; delete that folder"):
            run(tmp_path / folder, settings(), module=network(seed=8))
    rounded = network().to(torch.bfloat16).float()
    run(tmp_path / "cut", settings(), module=rounded)


def test_stage_that_trains_other_parameters_is_refused(tmp_path):
    stopped(tmp_path, settings())
    frozen = network()
    frozen[2].requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"other parameters .* --no-resume"):
        run(tmp_path, settings(), module=frozen)
    for changed in ({"method": "muon"}, {"rate_scales": {"2.": 0.1}}):
        with pytest.raises(CheckpointError, match="another optimiser"):
            run(tmp_path, settings(optim=changed))
    with pytest.raises(CheckpointError, match="other parameters"):
        run(tmp_path, settings(), companions={"rival": nn.Linear(1, 1)})


def test_other_settings_hold_for_the_rest_of_a_stage_and_are_refused_once_it_is_finished(tmp_path):
    stopped(tmp_path, settings())
    changed = settings(optim={"weight_decay": 0.5, "eps": 1e-4})
    trainer = Trainer(network(), objective, Collated(sample, 4, 1), changed, tmp_path, PLACEMENT, out=io.StringIO())
    trainer.restore()
    assert trainer.step == 1
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.5, 0.0}
    trainer.run()
    run(tmp_path, changed, Killer(0))
    with pytest.raises(CheckpointError, match="to its end with another eps, weight_decay, ema_decay;"):
        run(tmp_path, settings(ema_decay=0.5))


def test_stage_that_is_trained_on_something_else_is_refused(tmp_path):
    basis = {"batch_size": 4, "latents.tae": "abc", "turns": [2, 1]}
    run(tmp_path / "whole", settings(), basis=basis)
    with pytest.raises(Stopped):
        run(tmp_path / "cut", settings(), Killer(0), basis=basis)
    for folder in ("cut", "whole"):
        changed = {**basis, "batch_size": 8, "latents.tae": "def"}
        with pytest.raises(CheckpointError, match=r"another batch_size, latents\.tae; delete that folder"):
            run(tmp_path / folder, settings(), basis=changed)
        run(tmp_path / folder, settings(), basis={**basis, "what older checkpoints do not tell": 1})


def test_checkpoint_that_does_not_tell_how_it_began_is_continued(tmp_path):
    stopped(tmp_path, settings())
    saved = state.load(tmp_path / "checkpoint.pt")
    for name in ("began", "limits", "facts", "basis"):
        del saved[name]
    state.save(tmp_path / "checkpoint.pt", saved)
    run(tmp_path, settings(), module=network(seed=8), basis={"batch_size": 4})
    assert state.load(tmp_path / "checkpoint.pt")["step"] == 6


def test_checkpoint_of_another_stage_is_refused(tmp_path):
    run(tmp_path, settings())
    with pytest.raises(CheckpointError, match="choose another output folder"):
        run(tmp_path, LoopConfig(name="other", steps=6, seed=3))


def test_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="delete it"):
        run(tmp_path, settings())


class Noting:
    """A source that notes the positions that are read."""

    def __init__(self):
        self.inner, self.read = Collated(sample, 4, seed=1), []

    def batch(self, position):
        self.read.append(position)
        return self.inner.batch(position)


def test_every_position_is_used_once_where_a_run_goes_on_with_more_batches_a_step(tmp_path):
    stopped(tmp_path, settings())
    source = Noting()
    run(tmp_path, settings(steps=3, accumulate=2), source)
    assert source.read == [1, 2, 3, 4]
    assert state.load(tmp_path / "checkpoint.pt")["positions"] == 5


def test_every_position_is_used_once_where_a_run_goes_on_in_more_processes(tmp_path):
    stopped(tmp_path, settings(accumulate=3))
    for rank in range(2):
        trainer = Trainer(network(), objective, Noting(), settings(), tmp_path, PLACEMENT, out=io.StringIO())
        trainer.restore()
        trainer.world = World(rank=rank, size=2)
        assert list(islice(trainer._positions(), 2)) == [3 + rank, 5 + rank]


def test_checkpoint_that_does_not_tell_its_positions_has_used_those_of_its_steps(tmp_path):
    stopped(tmp_path, settings(accumulate=2))
    saved = state.load(tmp_path / "checkpoint.pt")
    del saved["positions"]
    state.save(tmp_path / "checkpoint.pt", saved)
    source = Noting()
    run(tmp_path, settings(steps=2, accumulate=2), source)
    assert source.read == [2, 3]


class Hourglass:
    """A source with which a quarter of a minute passes, by a clock of its own, at every batch read."""

    def __init__(self, monkeypatch):
        self.inner, self.now = Collated(sample, 4, seed=1), 0.0
        monkeypatch.setattr("moviegen_core.train.loop.time", self)

    def monotonic(self):
        return self.now

    def batch(self, position):
        self.now += 15.0
        return self.inner.batch(position)


def test_stage_ends_when_its_minutes_are_over(tmp_path, monkeypatch):
    run(tmp_path, LoopConfig(name="tiny", max_minutes=1.1, log_seconds=0.0), Hourglass(monkeypatch))
    rows = [json.loads(row)["seconds"] for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [15.0, 30.0, 45.0, 60.0, 75.0]


def test_stage_without_an_end_is_refused():
    with pytest.raises(ConfigError, match="give it steps or max_minutes"):
        LoopConfig(name="endless")


@pytest.mark.parametrize("limit", [0, -3, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["steps", "max_minutes"])
def test_limit_that_ends_nothing_is_refused(name, limit):
    with pytest.raises(ConfigError, match="give a limit above 0"):
        LoopConfig(name="tiny", **{name: limit})


def test_negative_seed_is_refused():
    with pytest.raises(ConfigError, match=r"LoopConfig\.seed is -1, but must be at least 0"):
        LoopConfig(name="tiny", steps=1, seed=-1)


@pytest.mark.parametrize("decay", [-0.1, 1, 1.5, float("nan")])
def test_average_that_forgets_nothing_or_more_than_all_is_refused(decay):
    with pytest.raises(ConfigError, match="at least 0 and below 1 is needed"):
        LoopConfig(name="tiny", steps=1, ema_decay=decay)


@pytest.mark.parametrize("value", [-1, float("inf")])
@pytest.mark.parametrize("name", ["workers", "save_seconds", "log_seconds", "sheet_seconds"])
def test_count_or_time_below_zero_or_without_end_is_refused(name, value):
    with pytest.raises(ConfigError, match=rf"LoopConfig\.{name} is {value}, but must be at least 0"):
        LoopConfig(name="tiny", steps=1, **{name: value})


def test_batches_for_the_cpu_are_not_pinned(tmp_path, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    run(tmp_path, settings(steps=2))
    assert not pinned


def one_step(folder, batch_size, accumulate, clip_norm=1e9):
    """How far one step of plain gradient descent at rate 1 moves the weights [2, 4 + 1]."""

    def plain(module, batch, generator):
        return {"loss": (module(batch["x"]) - batch["y"]).square().mean()}

    module = nn.Linear(4, 2)
    nn.init.constant_(module.weight, 0.1)
    nn.init.zeros_(module.bias)
    # Warmed up and unclipped: a step of 3e-6 would pass whatever the gradient is.
    optim = OptimConfig(learning_rate=1.0, warmup_steps=0, schedule="constant", clip_norm=clip_norm)
    config = LoopConfig(name="one", steps=1, accumulate=accumulate, optim=optim)
    source = Collated(sample, batch_size, 1)
    trainer = Trainer(module, plain, source, config, folder, PLACEMENT, out=io.StringIO())
    trainer.optimizer = torch.optim.SGD([{"params": module.parameters(), "scale": 1.0}], lr=1.0)
    trainer.run()
    return torch.cat([module.weight.detach() - 0.1, module.bias.detach()[:, None]], 1)


def test_accumulated_gradient_is_the_mean_over_the_batches(tmp_path):
    whole = one_step(tmp_path, 8, 1)
    assert whole.norm() > 0.1
    assert torch.allclose(whole, one_step(tmp_path, 4, 2), atol=1e-6)
    assert not torch.allclose(whole, one_step(tmp_path, 4, 1), atol=1e-2)


def test_gradient_is_clipped_to_its_norm(tmp_path):
    assert one_step(tmp_path, 4, 1, clip_norm=0.01).norm() == pytest.approx(0.01, rel=1e-3)


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


def test_snapshots_at_shares_of_other_limits_are_deleted_when_a_stage_goes_on(tmp_path):
    run(tmp_path, settings(steps=4, snapshots=(0.5, 1.0)))
    before = (tmp_path / "snapshot-1.000.pt").read_bytes()
    run(tmp_path, settings(steps=6, snapshots=(0.5, 1.0)))
    assert [path.name for path in tmp_path.glob("snapshot-*")] == ["snapshot-1.000.pt"]
    last = (tmp_path / "snapshot-1.000.pt").read_bytes()
    assert last != before
    run(tmp_path, settings(steps=6, max_minutes=60.0, snapshots=(0.5, 1.0)))
    with pytest.raises(CheckpointError, match="beyond the limits of now"):
        run(tmp_path, settings(steps=3, snapshots=(0.5, 1.0)))
    assert (tmp_path / "snapshot-1.000.pt").read_bytes() == last


def test_snapshots_that_a_stage_passed_under_other_limits_are_told_as_missing(tmp_path):
    def words(**limits):
        out = io.StringIO()
        config = settings(snapshots=(0.25, 0.5, 1.0), **limits)
        fit(network(), objective, Collated(sample, 4, seed=1), config, tmp_path, placement=PLACEMENT, out=out)
        return out.getvalue()

    assert "no snapshots" not in words(steps=4) + words(steps=4)
    told = f"tiny has no snapshots at 0.25, 0.5 of the stage, .*; delete {tmp_path}"
    assert re.search(told, words(steps=6))
    assert re.search(told, words(steps=6))


def test_hooks_are_refused_where_no_process_has_the_whole_weights(tmp_path):
    source = Collated(sample, 4, seed=1)
    trainer = Trainer(network(), objective, source, settings(), tmp_path, PLACEMENT, "fsdp", io.StringIO())
    trainer.world = World(size=2)
    with pytest.raises(ConfigError, match="leave them out, or train with ddp"):
        trainer.run([lambda *_: None])


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
