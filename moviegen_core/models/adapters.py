"""Low-rank adapters of a network (LoRA): put them on, save them, add a file of them to weights.

A file holds, for every adapted layer, "diffusion_model.LAYER.lora_A.weight" [rank, in], ".lora_B.weight" [out, rank]
and ".alpha": what ComfyUI's LoRA loaders read. `Added` reads those, and what ComfyUI's own trainer writes (lora_down,
lora_up, differences of whole weights and biases).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError
from ..layers.lora import LowRank
from . import catalog, loading

PREFIX = "diffusion_model."
WHERE = "blocks."  # the layers outside of the blocks are few and thin
PAIRS = ((".lora_A.weight", ".lora_B.weight"), (".lora_down.weight", ".lora_up.weight"))
ROUNDING = 1e-9  # strengths that add up to less are none
DIFFERENCES = {".diff": ".weight", ".diff_b": ".bias"}


def adapt(network: nn.Module, rank: int, *, alpha: float | None = None, where: str = WHERE) -> nn.Module:
    """Freeze `network` and put an adapter on every linear layer whose name starts with `where`, in place.

    `alpha` scales what the adapters add by alpha / rank; None takes the rank.
    """
    found = _layers(network, where)
    check_rank(network, rank, where=where)
    network.requires_grad_(False)
    for name, layer in found.items():
        parent, _, last = name.rpartition(".")
        adapter = LowRank(layer, rank, rank if alpha is None else alpha)
        adapter.reset_parameters()
        setattr(network.get_submodule(parent), last, adapter)
    return network


def check_rank(network: nn.Module, rank: int, *, where: str = WHERE) -> None:
    """ConfigError for a rank that no adapter of the network needs."""
    most = max((min(layer.weight.shape) for layer in _layers(network, where).values()), default=0)
    if not 1 <= rank <= most:
        raise ConfigError(f"rank {rank} is outside of what the layers of this network take; use 1 to {most}")


def _layers(network: nn.Module, where: str) -> dict[str, nn.Linear]:
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(where)
    }


def adapted(network: nn.Module) -> dict[str, LowRank]:
    """The adapters of a network by the name of their layer."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, LowRank)}


def parameters(network: nn.Module) -> Iterator[Tensor]:
    """What is trained."""
    for adapter in adapted(network).values():
        yield adapter.down.weight
        yield adapter.up.weight


def save(network: nn.Module, path: str | os.PathLike[str], *, extra: Mapping[str, str] | None = None) -> Path:
    """Write the adapters of `network` in fp32, readable by ComfyUI's LoRA loaders; `extra` goes into the metadata.

    ConfigError for a network without any.
    """
    tensors: dict[str, Tensor] = {}
    for name, adapter in adapted(network).items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = adapter.down.weight.detach().float()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = adapter.up.weight.detach().float()
        tensors[f"{PREFIX}{name}.alpha"] = torch.tensor(float(adapter.alpha))
    if not tensors:
        raise ConfigError("the network has no adapters to save; train it with adapter_rank of at least 1")
    return loading.write_tensors(tensors, path, {"adapts": catalog.name_of(network), **(extra or {})})


@dataclass(frozen=True, eq=False)
class Gain:
    """What a file adds to one weight: scale * up @ down, or `up` itself where there is no `down`."""

    up: Tensor  # [out, rank], or as the weight
    down: Tensor | None = None  # [rank, in]
    scale: float = 1.0

    @property
    def shape(self) -> torch.Size:
        """Of the weight that gains it."""
        return self.up.shape if self.down is None else torch.Size((len(self.up), self.down.shape[1]))

    def product(self, device: torch.device) -> Tensor:
        """The whole difference, in fp32."""
        up = self.up.to(device, torch.float32)
        return up if self.down is None else self.scale * up @ self.down.to(device, torch.float32)


class Added:
    """LoRA files added to the weights of a network, in place.

    A weight is always its original plus what all files add, summed in fp32 and rounded once to the weight's own
    precision. So weak files add up, and a file that is taken away leaves nothing behind. What all of them together
    change by less than half a step (in bf16 up to 1/256 of the weight) can still round to nothing; from a checkpoint
    that is more exact than the weights, it shows in some of them.
    """

    def __init__(self, network: nn.Module, source: str | os.PathLike[str] | None = None) -> None:
        """`source`: the checkpoint that `network` was loaded from. Originals are read there, as exact as it holds them.

        Without one, and of weights that are no longer the checkpoint's, a copy of each that is changed is kept.
        """
        self.network = network
        self.source = source
        self._stamp = None if source is None else _stamp(source)
        self._files: dict[Path, tuple[float, dict[str, list[Gain]]]] = {}  # strength, and gains by weight
        self._kept: dict[str, Tensor] = {}

    @property
    def strengths(self) -> list[tuple[str, float]]:
        """Name and strength of each file that is added."""
        return [(path.name, strength) for path, (strength, _) in self._files.items()]

    @torch.no_grad()
    def add(self, path: str | os.PathLike[str], strength: float = 1.0) -> int:
        """Add `strength` times the file's adapters, to what it adds already; how many weights it has a part in.

        CheckpointError where the file holds anything that this network has no place for, or the checkpoint was replaced
        since. Nothing is changed then, nor where it is interrupted.
        """
        header = loading.read_header(path)
        tensors = loading.read_tensors(header)
        gains = _gains({key.removeprefix(PREFIX): value for key, value in tensors.items()})
        weights = dict(self.network.named_parameters())
        strange = sorted(
            key
            for key, parts in gains.items()
            if key not in weights or any(part.shape != weights[key].shape for part in parts)
        )
        if strange or not gains:
            told = f"{len(strange)} of {len(gains)} have no such weight here: {', '.join(strange[:5])}"
            raise CheckpointError(
                f"{header.path} does not adapt this network ({told if strange else 'it holds no adapters'}); "
                "choose a LoRA file that was trained on it"
            )
        files, file = dict(self._files), header.path.resolve()
        before, old = files.get(file, (0.0, {}))
        files[file] = before + strength, gains
        if abs(before + strength) < ROUNDING:
            del files[file]
        originals, stored = self._originals()
        changed: list[str] = []
        try:
            # One weight at a time: all products together are as large as the network in fp32.
            for key in {**old, **gains}:
                original = originals(key, weights[key])
                changed.append(key)
                _write(weights[key], original, key, files)
        except BaseException:  # a lack of memory, or an interrupt: all or nothing
            for key in changed:
                _write(weights[key], stored(key), key, self._files)
            raise
        self._files = files
        self._kept = {key: value for key, value in self._kept.items() if any(key in own for _, own in files.values())}
        return len(gains)

    def _originals(self) -> tuple[Callable[[str, Tensor], Tensor], Callable[[str], Tensor]]:
        """What gives the original of a weight: of its name and as it is now; and of one that was asked for before."""
        if self.source is None:
            return self._keep, lambda key: self._kept[key]
        if self._stamp != _stamp(self.source):
            raise CheckpointError(
                f"{self.source} was replaced since the network was loaded, and LoRAs are added to the weights that it "
                "held then; load the network anew"
            )
        header = loading.read_header(self.source)
        maps = catalog.get(catalog.name_of(self.network)).key_maps
        renamed = loading.rename_keys(header.keys, self.network.state_dict(), maps) or {}
        places = {renamed.get(key, key): key for key in header.keys}

        def stored(key: str) -> Tensor:
            if key in self._kept:
                return self._kept[key]
            name = places[key]
            return loading.read_tensors(replace(header, files={name: header.files[name]}))[name]

        def read(key: str, weight: Tensor) -> Tensor:
            original = stored(key)
            untouched = key not in self._kept and not any(key in own for _, own in self._files.values())
            if untouched and not torch.equal(original.to(weight), weight):
                return self._keep(key, weight)  # changed since it was loaded
            return original

        return read, stored

    def _keep(self, key: str, weight: Tensor) -> Tensor:
        if key not in self._kept:
            self._kept[key] = weight.clone()
        return self._kept[key]


def _stamp(source: str | os.PathLike[str]) -> dict[Path, tuple[int, int]]:
    """What tells whether a checkpoint's files are still the same."""
    return {file: (file.stat().st_size, file.stat().st_mtime_ns) for file in loading.files_of(source)}


def _write(
    weight: Tensor, original: Tensor, key: str, files: Mapping[Path, tuple[float, dict[str, list[Gain]]]]
) -> None:
    """Give `weight` its original and what all `files` add to it."""
    total = original.to(weight.device, torch.float32)
    for factor, parts in files.values():
        for gain in parts.get(key, ()):
            total = total.add(gain.product(weight.device), alpha=factor)
    weight.copy_(total)


def _gains(tensors: dict[str, Tensor]) -> dict[str, list[Gain]]:
    """Tensors of a file, without the prefix -> what each weight gains; what is no adapter keeps its key and a "?"."""
    gains: dict[str, list[Gain]] = {}
    for key in list(tensors):
        for thin, wide in PAIRS:
            layer = key.removesuffix(thin)
            if layer != key and _pair(tensors[key], tensors.get(layer + wide)):
                down, up = tensors.pop(key).flatten(1), tensors.pop(layer + wide).flatten(1)
                scale = float(tensors.pop(f"{layer}.alpha", torch.tensor(float(len(down))))) / len(down)
                gains.setdefault(f"{layer}.weight", []).append(Gain(up, down, scale))
    for key, value in tensors.items():
        ending = next((ending for ending in DIFFERENCES if key.endswith(ending)), None)
        name = f"{key}?" if ending is None else key.removesuffix(ending) + DIFFERENCES[ending]
        gains.setdefault(name, []).append(Gain(value))
    return gains


def _pair(down: Tensor, up: Tensor | None) -> bool:
    """Whether two thin matrices can be multiplied."""
    return up is not None and min(down.ndim, up.ndim) >= 2 and len(down) == up.flatten(1).shape[1] > 0
