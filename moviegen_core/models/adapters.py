"""Low-rank adapters of a network (LoRA): put them on, save them, add a file of them to weights.

A file holds, for every adapted layer, "diffusion_model.LAYER.lora_A.weight" [rank, in], ".lora_B.weight" [out, rank]
and ".alpha": what ComfyUI's LoRA loaders read. `add` reads those, and what ComfyUI's own trainer writes (lora_down,
lora_up, differences of whole weights and biases).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError
from ..layers.lora import LowRank
from . import catalog, loading

PREFIX = "diffusion_model."
WHERE = "blocks."  # the layers outside of the blocks are few and thin
PAIRS = ((".lora_A.weight", ".lora_B.weight"), (".lora_down.weight", ".lora_up.weight"))
DIFFERENCES = {".diff": ".weight", ".diff_b": ".bias"}


def adapt(network: nn.Module, rank: int, *, alpha: float | None = None, where: str = WHERE) -> nn.Module:
    """Freeze `network` and put an adapter on every linear layer whose name starts with `where`, in place.

    `alpha` scales what the adapters add by alpha / rank; None takes the rank.
    """
    found = {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(where)
    }
    if rank < 1 or not found:
        raise ConfigError(f"rank {rank} on {len(found)} linear layers below {where!r}; give a rank of at least 1")
    network.requires_grad_(False)
    for name, layer in found.items():
        parent, _, last = name.rpartition(".")
        adapter = LowRank(layer, rank, rank if alpha is None else alpha)
        adapter.reset_parameters()
        setattr(network.get_submodule(parent), last, adapter)
    return network


def adapted(network: nn.Module) -> dict[str, LowRank]:
    """The adapters of a network by the name of their layer."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, LowRank)}


def parameters(network: nn.Module) -> Iterator[Tensor]:
    """What is trained."""
    for adapter in adapted(network).values():
        yield adapter.down.weight
        yield adapter.up.weight


def save(network: nn.Module, path: str | os.PathLike[str], *, extra: Mapping[str, str] | None = None) -> Path:
    """Write the adapters of `network` in fp32, readable by ComfyUI's LoRA loaders; `extra` goes into the metadata."""
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapted(network).items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = adapter.down.weight.detach().float()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = adapter.up.weight.detach().float()
        tensors[f"{PREFIX}{name}.alpha"] = torch.tensor(float(adapter.alpha))
    if not tensors:
        raise ConfigError("the network has no adapters to save; train it with adapter_rank of at least 1")
    return loading.write_tensors(tensors, path, {"adapts": catalog.name_of(network), **(extra or {})})


@torch.no_grad()
def add(network: nn.Module, path: str | os.PathLike[str], strength: float = 1.0) -> int:
    """Add `strength` times the file's adapters to the weights of `network`, in place; how many weights they change.

    CheckpointError where the file holds anything that this network has no place for.
    """
    header = loading.read_header(path)
    tensors = loading.read_tensors(header, dtype=torch.float32)
    weights = dict(network.named_parameters())
    differences = _differences({key.removeprefix(PREFIX): value for key, value in tensors.items()})
    strange = sorted(key for key in differences if key not in weights or weights[key].shape != differences[key].shape)
    if strange or not differences:
        told = f"{len(strange)} of {len(differences)} have no such weight here: {', '.join(strange[:5])}"
        raise CheckpointError(
            f"{header.path} does not adapt this network ({told if strange else 'it holds no adapters'}); "
            "choose a LoRA file that was trained on it"
        )
    for key, difference in differences.items():
        weights[key].add_(difference.to(weights[key]), alpha=strength)
    return len(differences)


def _differences(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file, without the prefix -> what each weight gains; what is no adapter keeps its key and a "?"."""
    differences: dict[str, Tensor] = {}
    for key in list(tensors):
        for thin, wide in PAIRS:
            layer = key.removesuffix(thin)
            if layer != key and layer + wide in tensors:
                down, up = tensors.pop(key), tensors.pop(layer + wide)
                scale = float(tensors.pop(f"{layer}.alpha", torch.tensor(float(len(down))))) / len(down)
                differences[f"{layer}.weight"] = scale * up.flatten(1) @ down.flatten(1)
    for key, value in tensors.items():
        ending = next((ending for ending in DIFFERENCES if key.endswith(ending)), None)
        differences[f"{key}?" if ending is None else key.removesuffix(ending) + DIFFERENCES[ending]] = value
    return differences
