"""Two processes train as one would on both of their batches, and one of them ships."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from moviegen_core import weights
from moviegen_core.devices import choose
from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog
from moviegen_core.models.video_dit.model import VideoDiTConfig
from moviegen_core.train import distributed
from moviegen_core.train.data import Collated
from moviegen_core.train.loop import LoopConfig, fit
from moviegen_core.train.optim import OptimConfig
from moviegen_core.train.workspace import Workspace

STEPS = 4
PLACEMENT = choose("cpu", "fp32")


def network():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(2, 2))


def objective(module, batch, generator):
    """The last layer is asked for by no batch."""
    return {"loss": (module[1](module[0](batch["x"])) - batch["y"]).square().mean()}


def sample(rng):
    x = torch.from_numpy(rng.standard_normal(4, dtype=np.float32))
    return {"x": x, "y": x[:2]}


def train(folder, steps=STEPS, accumulate=1, strategy="ddp"):
    module = network()
    # AdamW with a large eps follows the gradient's size, so an average of two is not hidden by its normalisation.
    optim = OptimConfig(learning_rate=0.1, eps=1.0, warmup_steps=1, schedule="constant")
    config = LoopConfig(name="tiny", steps=steps, seed=1, optim=optim, accumulate=accumulate)
    source, quiet = Collated(sample, 4, 1), io.StringIO()
    fit(module, objective, source, config, Path(folder), placement=PLACEMENT, strategy=strategy, out=quiet)
    return module


def main(folder, strategy):
    """What each of the processes does."""
    module = train(f"{folder}/run", strategy=strategy)
    world = distributed.join()
    ship(Path(folder), world)
    weight = distributed.whole(module[0].weight).detach()
    if world.is_main:
        torch.save(weight, f"{folder}/weight.pt")
    distributed.leave()


def ship(folder, world):
    """Export a network into a folder of this process; the other one's is there when this returns."""
    workspace = Workspace(output=folder, ship=folder / f"ship{world.rank}", placement=PLACEMENT)
    config = VideoDiTConfig(dim=8, num_heads=1, num_layers=1, mlp_dim=8, context_dims={"ul2": 4}, max_grid=(2, 2, 2))
    workspace.export("nano/video", catalog.build("video_dit", config, device="cpu"))
    assert (folder / "ship0" / "manifest.json").is_file()
    assert workspace.steps("run") == STEPS


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_equal_one_that_accumulates_both_batches(tmp_path, strategy):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), strategy],
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_PORT": port}
            | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    alone = train(tmp_path / "alone", accumulate=2)
    assert torch.allclose(torch.load(tmp_path / "weight.pt"), alone[0].weight.detach(), atol=1e-6)
    assert weights.path("nano/video", tmp_path / "ship0")
    assert not (tmp_path / "ship1").exists()


def test_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="ddp, fsdp"):
        distributed.wrap(nn.Linear(1, 1), distributed.World(size=2), "magic")


def test_a_single_process_needs_no_group():
    assert distributed.join() == distributed.World()
    assert distributed.agree(True, distributed.World())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
