"""Several processes training one module, when torchrun launched them; one process otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers.attention import CrossAttention

STRATEGIES = ("ddp", "fsdp")
PATIENCE = timedelta(days=2)  # others wait while the first draws and encodes


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
        dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    world = here()
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    return world


def here() -> World:
    """The world that was joined; one of one where none was."""
    if not dist.is_initialized():
        return World()
    return World(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


def shards(strategy: str, world: World) -> bool:
    """Whether each process holds a part of the weights alone."""
    return strategy == "fsdp" and world.size > 1


def wrap(module: nn.Module, world: World, strategy: str = "ddp") -> nn.Module:
    """`module`, whose forward is the objective, sharing gradients (ddp) or also weights (fsdp) over the world.

    ConfigError for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    if world.size == 1:
        return module
    if strategy == "ddp":
        # What a batch does not ask for, such as the encoder of signs where no caption quotes one, gets no gradient.
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)
    from torch.distributed.fsdp import fully_shard

    for part in list(module.modules()):
        for block in getattr(part, "blocks", ()):
            for layer in block.children():
                # Weights are gathered just before a layer is called. Cross-attention is not: its keys and values are
                # asked for once for all blocks, so its weights stay with those of the whole.
                if not isinstance(layer, CrossAttention):
                    fully_shard(layer)
    fully_shard(module)
    return module


def asked(loss: Tensor, module: nn.Module) -> Tensor:
    """The same loss, with a gradient of zero for what it does not ask of the part of `module` that fsdp keeps whole.

    Processes whose batches ask for different layers would otherwise exchange gradients of different size. The weights
    that nobody asks for decay meanwhile, as the others do.
    """
    from torch.distributed.tensor import DTensor

    whole = [weight for weight in module.parameters() if weight.requires_grad and not isinstance(weight, DTensor)]
    return loss + 0.0 * torch.stack([weight.flatten()[0].float() for weight in whole]).sum() if whole else loss


def sharing(module: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Within, a wrapped module shares its gradients `now`, or else with those of the next block that does.

    With fsdp it does so at once: gradients that wait would take as much memory as the whole module in each process.
    """
    if isinstance(module, nn.parallel.DistributedDataParallel) and not now:
        return module.no_sync()
    return nullcontext()


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


def copy_into(target: Tensor, source: Tensor) -> None:
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
    return bool(most([flag], world)[0])


def most(values: Sequence[float], world: World) -> list[float]:
    """The largest of each value over all processes, the same in every one."""
    if world.size == 1:
        return list(values)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    found = torch.tensor([float(value) for value in values], dtype=torch.float64, device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return found.tolist()


def align(state: Any, world: World) -> None:
    """Give all tensors in nested dicts and lists the values of the first process, in place."""
    if world.size == 1:
        return
    if isinstance(state, Tensor):
        dist.broadcast(state, 0)
    elif isinstance(state, (Mapping, list, tuple)):
        for value in state.values() if isinstance(state, Mapping) else state:
            align(value, world)


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Give the gradients of what trains beside the module their mean over all processes."""
    if world.size == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= world.size


def once(work: Callable[[], object], world: World | None = None) -> None:
    """Do `work` in the first of several processes that train together; the others wait for it."""
    world = world or here()
    if world.is_main:
        work()
    meet(world)


def meet(world: World) -> None:
    """Wait until all processes are here."""
    agree(False, world)


def leave() -> None:
    """End the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
