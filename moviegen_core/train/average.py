"""Averages of weights: along a training run (EMA) and over several checkpoints (the paper's model averaging)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError
from ..models import loading
from .distributed import copy_into

MAX_SHARE = 1e6  # either way


class EMA:
    """Exponential moving average of a module's trainable parameters; buffers are the module's own."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        """`decay` per step in [0, 1); it starts lower, so that the first steps are soon forgotten."""
        if not 0 <= decay < 1:
            raise ConfigError(f"EMA decay {decay} must lie in [0, 1)")
        self.decay = decay
        self.updates = 0
        self.shadow = {name: value.detach().clone() for name, value in _trainable(module)}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names = dict(_trainable(module))
        torch._foreach_lerp_(list(self.shadow.values()), [names[name] for name in self.shadow], 1.0 - decay)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module with the averaged weights in place, its own ones back afterwards."""
        parameters = dict(_trainable(module))
        own = {name: value.detach().clone() for name, value in parameters.items()}
        try:
            _copy(parameters, self.shadow)
            yield module
        finally:
            _copy(parameters, own)

    def copy_to(self, module: nn.Module) -> None:
        """Give the module the averaged weights for good."""
        _copy(dict(_trainable(module)), self.shadow)

    def state_dict(self) -> dict[str, object]:
        """What `load_state_dict` needs."""
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore in place."""
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        _copy(self.shadow, state["shadow"])  # type: ignore[arg-type]


def average(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of state dicts with the same keys, summed in fp64; integer tensors are taken from the last.

    ConfigError for none, CheckpointError where keys differ.
    """
    if not states:
        raise ConfigError("no checkpoints to average; name at least one")
    for state in states[1:]:
        if state.keys() != states[0].keys():
            odd = sorted(state.keys() ^ states[0].keys())[:5]
            raise CheckpointError(f"checkpoints of different networks cannot be averaged; they differ in {odd}")
    mean: dict[str, Tensor] = {}
    for name, last in states[-1].items():
        if last.is_floating_point():
            total = sum(state[name].double() for state in states)
            mean[name] = torch.as_tensor(total / len(states)).to(last.dtype)
        else:
            mean[name] = last.clone()
    return mean


def average_files(
    sources: Sequence[str | os.PathLike[str]], target: str | os.PathLike[str], weights: Sequence[float] | None = None
) -> Path:
    """Write the weighted mean of our files of one network, as trainings that differ in data or settings left them.

    Everything else (sizes, advice on sampling, precision) is the first file's. Two files are in memory at a time.
    ConfigError for fewer than 2 files or unfit `weights`, CheckpointError for files of unlike networks.
    """
    headers = [loading.read_header(source) for source in sources]
    if len(headers) < 2:
        raise ConfigError(f"{len(headers)} checkpoints were given; an average needs at least 2")
    shares = [1.0 / len(headers)] * len(headers) if weights is None else list(weights)
    if len(shares) != len(headers) or not all(abs(share) <= MAX_SHARE for share in shares) or sum(shares) <= 0:
        raise ConfigError(f"{len(headers)} checkpoints need as many shares of a sum above 0, given {shares}")
    first = headers[0]
    for header in headers:
        if header.network is None:
            raise CheckpointError(f"{header.path} has no Movie Gen metadata; rewrite it with `moviegen convert` first")
        if (header.network, header.config, header.shapes) != (first.network, first.config, first.shapes):
            raise CheckpointError(
                f"{header.path} ({header.network}) and {first.path} ({first.network}) are not of one network and size; "
                "choose files of one preset"
            )
    stored = loading.read_tensors(first)
    mean = {name: value.float() * shares[0] if value.is_floating_point() else value for name, value in stored.items()}
    kinds = {name: value.dtype for name, value in stored.items()}
    del stored
    for header, share in zip(headers[1:], shares[1:], strict=True):
        for name, value in loading.read_tensors(header).items():
            if value.is_floating_point():
                mean[name].add_(value.float(), alpha=share)
    whole = sum(shares)
    tensors = {
        name: (value / whole).to(kinds[name]) if value.is_floating_point() else value for name, value in mean.items()
    }
    return loading.write_tensors(tensors, target, first.metadata)


def _trainable(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in module.named_parameters() if value.requires_grad)


@torch.no_grad()
def _copy(targets: Mapping[str, Tensor], sources: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        copy_into(target, sources[name])
