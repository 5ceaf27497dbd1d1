"""Chooses where and in which precision networks run, and says why.

A device is named as torch names it ("cpu", "cuda", "cuda:1", "mps"), a dtype by its short or
long name ("bf16", "bfloat16", "fp32", ...); "auto" asks this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .errors import BackendError

DTYPES = {
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "float32": torch.float32,
    "fp32": torch.float32,
}


@dataclass(frozen=True, slots=True)
class Placement:
    """A device and a dtype for networks; `reason` is one line for people."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    def __str__(self) -> str:
        return f"{self.device}, {str(self.dtype).removeprefix('torch.')}: {self.reason}"


def choose(device: str | torch.device = "auto", dtype: str | torch.dtype = "auto") -> Placement:
    """Place networks on `device` in `dtype`; BackendError when this machine cannot run there.

    Each of several processes that torchrun started here gets a GPU of its own, unless `device` names one.
    """
    chosen, device_reason = _choose_device(device)
    precision, dtype_reason = _choose_dtype(dtype, chosen)
    return Placement(chosen, precision, f"{device_reason}; {dtype_reason}")


def usable_devices() -> list[str]:
    """Names of the devices that this torch build can use here, best first."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def cpu_has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AMX tiles or AVX-512 BF16)."""
    # Other CPUs emulate it several times slower than float32. The probes are torch's own: cpuinfo says
    # nothing about an operating system or a virtual machine that keeps the tiles switched off.
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe, bool)()) for probe in probes)


def _choose_device(device: str | torch.device) -> tuple[torch.device, str]:
    usable = usable_devices()
    if device == "auto" and usable[0] == "cpu":
        return torch.device("cpu"), "no usable GPU was found"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and str(device) in ("auto", "cuda") and usable[0].startswith("cuda"):
        own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        if own not in usable:
            raise BackendError(
                f"this process of torchrun needs {own}, but usable are {', '.join(usable)}; start one process a GPU"
            )
        return torch.device(own), f"{_describe(own)} is this process's own"
    if device == "auto":
        return torch.device(usable[0]), f"{_describe(usable[0])} is the first usable GPU"
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise BackendError(f"device {device!r} is not a device name; use auto or one of {', '.join(usable)}") from error
    name = "cuda:0" if str(wanted) == "cuda" else str(wanted)
    if name.removesuffix(":0") not in {entry.removesuffix(":0") for entry in usable}:
        raise BackendError(f"device {device} cannot be used here; use auto or one of {', '.join(usable)}")
    return torch.device(name), f"{name} was asked for"


def _choose_dtype(dtype: str | torch.dtype, device: torch.device) -> tuple[torch.dtype, str]:
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
        return dtype, f"{str(dtype).removeprefix('torch.')} was asked for"
    if dtype != "auto":
        if dtype not in DTYPES:
            raise BackendError(f"dtype {dtype!r} is unknown; use auto or one of {', '.join(DTYPES)}")
        return DTYPES[dtype], f"{dtype} was asked for"
    if device.type == "cpu":
        if cpu_has_fast_bfloat16():
            return torch.bfloat16, "this CPU multiplies bfloat16 in hardware"
        return torch.float32, "this CPU has neither AMX nor AVX-512 BF16, so bfloat16 would be slower than float32"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip is not None:
            return torch.bfloat16, "this GPU multiplies bfloat16 in hardware"
        return torch.float32, "this GPU has no bfloat16, and float16 would overflow"
    try:
        torch.ones(1, dtype=torch.bfloat16, device=device).add(1)
    except (RuntimeError, TypeError):
        return torch.float32, f"{device.type} has no bfloat16 on this system"
    return torch.bfloat16, f"{device.type} has bfloat16"


def _describe(name: str) -> str:
    return f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name


Residency = Callable[[nn.Module, torch.device], AbstractContextManager[nn.Module]]
"""Brings a network to a device for a block of work, and decides where it waits afterwards."""


@contextmanager
def stay(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Residency for plenty of memory: move once, remain there."""
    yield network.to(device)


@dataclass
class _Visit:
    """How many blocks have a network on their device, and its tensors as they wait at home."""

    blocks: int
    waiting: list[tuple[dict[str, Any], str, Tensor, Tensor]]


_visitors: WeakKeyDictionary[nn.Module, _Visit] = WeakKeyDictionary()


@contextmanager
def visit(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Residency for little memory: on `device` during the block, back where it waited after it.

    Its tensors stay where they wait, and nothing is copied back: what changes them on the device is lost. Blocks may
    overlap, as those of films that are decoded side by side do: the last that ends takes the network back.
    """
    if network not in _visitors:
        _visitors[network] = _Visit(0, list(_tensors(network)))
    guest = _visitors[network]
    guest.blocks += 1
    try:
        yield network.to(device)
    finally:
        guest.blocks -= 1
        if not guest.blocks:
            del _visitors[network]
            for owner, name, tensor, home in guest.waiting:
                tensor.data, owner[name] = home, tensor
            if device.type == "cuda":
                torch.cuda.empty_cache()
            elif device.type == "mps":
                torch.mps.empty_cache()


def _tensors(network: nn.Module) -> Iterator[tuple[dict[str, Any], str, Tensor, Tensor]]:
    """Every parameter and buffer: the mapping that holds it, its name there, the tensor, and what it consists of."""
    for module in network.modules():
        for owner in (module._parameters, module._buffers):
            for name, tensor in owner.items():
                if tensor is not None:
                    yield owner, name, tensor, tensor.data
