"""Two processes train as one would on both of their batches, and one of them ships."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from moviegen_core import weights
from moviegen_core.devices import choose
from moviegen_core.errors import ConfigError
from moviegen_core.models import catalog, loading
from moviegen_core.models.audio_dit.model import AudioDiTConfig
from moviegen_core.models.video_dit.model import VideoDiT, VideoDiTConfig
from moviegen_core.train import distributed
from moviegen_core.train.data import Collated
from moviegen_core.train.loop import LoopConfig, Stopped, Trainer, fit
from moviegen_core.train.objectives.discriminator import Adversary, PatchDiscriminator
from moviegen_core.train.optim import OptimConfig
from moviegen_core.train.recipes import RECIPES
from moviegen_core.train.run import run
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


class Turns:
    """Batches that tell their turn of four."""

    def __init__(self):
        self.inner = Collated(sample, 4, 1)

    def batch(self, position):
        return {**self.inner.batch(position), "turn": torch.full((4,), position % 4)}


def by_turns(module, batch, generator):
    """The last layer is asked for by the first batch of four alone."""
    made = module[1](module[0](batch["x"]))
    if batch["turn"][0] == 0:
        made = module[2](made)
    return {"loss": (made - batch["y"]).square().mean()}


def settings(accumulate=1):
    # AdamW with a large eps follows the gradient's size, so an average of two is not hidden by its normalisation.
    optim = OptimConfig(learning_rate=0.1, eps=1.0, warmup_steps=1, schedule="constant")
    return LoopConfig(name="tiny", steps=STEPS, seed=1, optim=optim, accumulate=accumulate)


def train(folder, accumulate=1, strategy="ddp", objective=objective):
    module, config, quiet = network(), settings(accumulate), io.StringIO()
    fit(module, objective, Turns(), config, Path(folder), placement=PLACEMENT, strategy=strategy, out=quiet)
    return module


def transformers():
    """A tiny network of each kind, and what it is asked."""
    torch.manual_seed(6)
    sizes = {"dim": 8, "num_heads": 2, "num_layers": 2, "mlp_dim": 8, "qk_norm": True}
    video = VideoDiTConfig(**sizes, context_dims={"ul2": 4}, in_channels=4, out_channels=4, max_grid=(2, 2, 2))
    sound = AudioDiTConfig(**sizes, latent_channels=4, text_dim=4, frame_dim=4)
    for kind, config, latent in (("video_dit", video, (4, 2, 4, 4)), ("audio_dit", sound, (4, 6))):
        network = catalog.build(kind, config, device="cpu")
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
        yield kind, network, latent


def ask(network, batch, generator):
    """The squared velocity."""
    latent, time, text = batch["latent"], batch["time"], batch["text"]
    mask = torch.ones(text.shape[:2], dtype=torch.bool)
    if isinstance(network, VideoDiT):
        prepared = network.prepare({"ul2": text}, {"ul2": mask})
    else:
        prepared = network.prepare(text, mask)
    return {"loss": network(latent, time, prepared).square().mean()}


def train_transformers(folder, strategy="ddp", accumulate=1):
    """Weights of both kinds after a few steps."""
    trained = {}
    for kind, network, latent in transformers():

        def sample(rng, shape=latent):
            draw = {"latent": shape, "text": (3, 4)}
            drawn = {name: torch.from_numpy(rng.standard_normal(size, dtype=np.float32)) for name, size in draw.items()}
            return {**drawn, "time": torch.tensor(rng.random(), dtype=torch.float32)}

        # With fsdp what nobody asks for would decay too.
        optim = OptimConfig(
            learning_rate=0.1, eps=1.0, weight_decay=0.0, warmup_steps=1, schedule="constant", clip_norm=1e9
        )
        config = LoopConfig(name=kind, steps=2, seed=1, optim=optim, accumulate=accumulate)
        source, quiet, place = Collated(sample, 2, 1), io.StringIO(), Path(folder) / kind
        fit(network, ask, source, config, place, placement=PLACEMENT, strategy=strategy, out=quiet)
        trained |= {f"{kind}.{name}": distributed.whole(value) for name, value in network.state_dict().items()}
    return trained


def main(folder, strategy):
    """What each of the processes does."""
    trained = train_transformers(f"{folder}/transformers", strategy)
    module = train(f"{folder}/run", strategy=strategy)
    gathered = train(f"{folder}/gathered", accumulate=2, strategy=strategy, objective=by_turns)
    world = distributed.join()
    ship(Path(folder), world)
    by_the_clock(Path(folder), world)
    beside(world)
    weight = distributed.whole(module[0].weight).detach()
    if world.is_main:
        torch.save(weight, f"{folder}/weight.pt")
        torch.save(trained, f"{folder}/transformers.pt")
        torch.save(gathered.state_dict(), f"{folder}/gathered.pt")
    distributed.leave()


def ship(folder, world):
    """Export a network into a folder of this process; the other one's is there when this returns."""
    workspace = Workspace(output=folder, ship=folder / f"ship{world.rank}", placement=PLACEMENT)
    config = VideoDiTConfig(dim=8, num_heads=1, num_layers=1, mlp_dim=8, context_dims={"ul2": 4}, max_grid=(2, 2, 2))
    workspace.export("nano/video", catalog.build("video_dit", config, device="cpu"))
    assert (folder / "ship0" / "manifest.json").is_file()
    assert workspace.steps("run") == STEPS


def by_the_clock(folder, world):
    """The rate falls with the time that has passed, of which each process has a clock of its own."""
    module = network()
    optim = OptimConfig(learning_rate=0.1, warmup_steps=1, schedule="linear")
    config = LoopConfig(name="timed", max_minutes=0.5 / 60, seed=1, optim=optim)
    slow = Slow(0.02 * world.rank)
    fit(module, objective, slow, config, folder / "timed", placement=PLACEMENT, out=io.StringIO())
    assert same(module[0].weight, world)


class Slow:
    """A source that takes its time."""

    def __init__(self, seconds):
        self.inner, self.seconds = Collated(sample, 4, 1), seconds

    def batch(self, position):
        time.sleep(self.seconds)
        return self.inner.batch(position)


def beside(world):
    """A discriminator that began otherwise in each process, and sees other frames, stays the same in all."""
    torch.manual_seed(world.rank)
    adversary = Adversary(PatchDiscriminator(4, 1), adaptive=False)
    distributed.align(adversary.state_dict(), world)
    for _ in range(3):
        rebuilt, real = torch.rand(2, 2, 3, 16, 16)
        adversary(rebuilt, real, torch.zeros(()), torch.zeros(()))
    if world.is_main:  # one alone does not step
        rebuilt = rebuilt * float("nan")
    adversary(rebuilt, real, torch.zeros(()), torch.zeros(()))
    assert same(adversary.discriminator.network[0].weight, world)
    assert not same(rebuilt.nan_to_num(), world)


def same(value, world):
    """Whether a tensor is the same in every process."""
    value = distributed.whole(value.detach()).flatten()
    return distributed.most([*value, *-value], world) == [*value.tolist(), *(-value).tolist()]


def launch(*arguments):
    """Two processes, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_PORT": port}
            | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_equal_one_that_accumulates_both_batches(tmp_path, strategy):
    launch(__file__, str(tmp_path), strategy)
    alone = train(tmp_path / "alone", accumulate=2)
    assert torch.allclose(torch.load(tmp_path / "weight.pt"), alone[0].weight.detach(), atol=1e-6)
    gathered = torch.load(tmp_path / "gathered.pt")
    for name, value in train(tmp_path / "four", accumulate=4, objective=by_turns).state_dict().items():
        assert torch.allclose(gathered[name], value, atol=1e-6), name
    together, apart = torch.load(tmp_path / "transformers.pt"), train_transformers(tmp_path / "one", accumulate=2)
    for name, value in apart.items():
        assert torch.allclose(together[name], value, atol=1e-5), name
    assert weights.path("nano/video", tmp_path / "ship0")
    assert not (tmp_path / "ship1").exists()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_command_trains_an_autoencoder_with_two_processes(tmp_path, strategy):
    crops = '[{"frames": 8, "size": 16, "batch_size": 1}]'
    told = ["clips.count=2", "clips.size=32", "clips.kinds=[[16, 16, 1]]", "start_clips=2", "decoder.minutes=0"]
    told += ["joint.minutes=null", "joint.steps=2", f"joint.crops={crops}", "finish.minutes=0"]
    command = ["-m", "moviegen_core.cli", "train", "nano-tae", "--strategy", strategy, "--device", "cpu"]
    command += ["--dtype", "float32", "--output", str(tmp_path / "runs"), "--ship", str(tmp_path / "ship")]
    launch(*command, *(f"--set={setting}" for setting in told))
    assert weights.shipped(tmp_path / "ship")["nano/tae"].steps == 2
    made = loading.load(weights.path("nano/tae", tmp_path / "ship"))
    assert all(bool(torch.isfinite(value).all()) for value in made.state_dict().values())
    assert bool(list((tmp_path / "runs").rglob("step-*.png"))) == (strategy == "ddp")


def test_unknown_strategy_is_refused():
    with pytest.raises(ConfigError, match="ddp, fsdp"):
        distributed.wrap(nn.Linear(1, 1), distributed.World(size=2), "magic")


@pytest.mark.parametrize("stopped", [False, True])
def test_command_leaves_the_group_when_it_is_done_and_when_it_was_stopped(tmp_path, monkeypatch, stopped):
    def idle(config, workspace):
        assert dist.is_initialized()
        if stopped:
            raise Stopped("stopped at step 3")

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    monkeypatch.setitem(RECIPES, "nano-judge", replace(RECIPES["nano-judge"], run=idle))
    with pytest.raises(Stopped) if stopped else nullcontext():
        run("nano-judge", tmp_path / "runs", device="cpu", dtype="float32")
    assert not dist.is_initialized()


def test_processes_share_their_gradients_once_a_step(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    trainer = Trainer(network(), objective, Turns(), settings(3), tmp_path, PLACEMENT, out=io.StringIO())
    trainer.wrapped = distributed.wrap(trainer.wrapped, distributed.World(size=2))
    shared = []

    def share(_, bucket):
        shared.append(bucket.gradients())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    trainer.wrapped.register_comm_hook(None, share)
    try:
        trainer.run()
    finally:
        distributed.leave()
    assert len(shared) == STEPS


def test_a_single_process_needs_no_group():
    assert distributed.join() == distributed.World()
    assert distributed.agree(True, distributed.World())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
