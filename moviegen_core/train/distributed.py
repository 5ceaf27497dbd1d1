"""Several processes training one module, when torchrun launched them; one process otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import ConfigError

STRATEGIES = ("ddp", "fsdp")


@dataclass(frozen=True)
class World:
    """This process's place among all that train together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0


def join(device: str = "cpu") -> World:
    """Join the group that torchrun describes in the environment; a world of one without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    world = World(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    return world


def wrap(module: nn.Module, world: World, strategy: str = "ddp") -> nn.Module:
    """`module`, whose forward is the objective, sharing gradients (ddp) or also weights (fsdp) over the world."""
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    if world.size == 1:
        return module
    if strategy == "ddp":
        # What a batch does not ask for, such as the encoder of signs where no caption quotes one, gets no gradient.
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
    from torch.distributed.fsdp import fully_shard

    for part in list(module.modules()):
        # Blocks are the unit whose weights are gathered just before use.
        for block in getattr(part, "blocks", ()):
            fully_shard(block)
    fully_shard(module)
    return module


def gather(
    module: nn.Module, optimizer: torch.optim.Optimizer, shadow: Mapping[str, Tensor], world: World
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """State dicts of module and optimiser and the averaged weights, as whole tensors also where they are sharded."""
    if world.size == 1:
        return module.state_dict(), optimizer.state_dict(), dict(shadow)
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    network, moments = get_state_dict(module, optimizer, options=options)
    return network, moments, {name: whole(value) for name, value in shadow.items()}


def scatter(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    network: dict[str, Any],
    moments: dict[str, Any],
    world: World,
) -> None:
    """Put back what `gather` gave, each process taking its own part."""
    if world.size == 1:
        module.load_state_dict(network)
        optimizer.load_state_dict(moments)
        return
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

    options = StateDictOptions(full_state_dict=True)
    set_state_dict(module, optimizer, model_state_dict=network, optim_state_dict=moments, options=options)


def place(target: Tensor, source: Tensor) -> None:
    """Copy a whole tensor into `target`, which may be this process's shard of it."""
    if hasattr(target, "device_mesh") and not hasattr(source, "device_mesh"):
        from torch.distributed.tensor import distribute_tensor

        layout: Any = target
        source = distribute_tensor(source.to(target.device), layout.device_mesh, layout.placements)
    target.copy_(source)


def whole(value: Tensor) -> Tensor:
    """The tensor itself, gathered from all processes where each holds a shard; all must ask."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def agree(flag: bool, world: World) -> bool:
    """True in every process as soon as one says so, so that all stop at the same step."""
    if world.size == 1:
        return flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    value = torch.tensor(int(flag), device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def meet(world: World) -> None:
    """Wait until all processes are here."""
    agree(False, world)


def leave() -> None:
    """End the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
