"""Weights and machines: moviegen models, moviegen convert, moviegen doctor."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import MovieGenError
from ..memory import memory_bytes
from .common import FAILED, add_placement, check_new, check_target

LIBRARIES = ("torch", "safetensors", "numpy", "pillow", "av", "einops", "transformers", "tokenizers")


def add_models(commands: Any) -> None:
    """The parser of `models`."""
    models = commands.add_parser("models", help="list every preset with its parameter count")
    models.set_defaults(run=_models)


def _models(arguments: argparse.Namespace) -> None:
    print(f"{'network':<11} {'preset':<14} {'parameters':>15}  of which")
    for network, preset, total, parts in parameter_table():
        ranked = sorted(parts, key=parts.__getitem__, reverse=True)
        shown = {name: parts[name] for name in ranked[:4]} | {"the rest": sum(parts[name] for name in ranked[4:])}
        detail = ", ".join(f"{name} {_short(count)}" for name, count in shown.items() if count)
        print(f"{network:<11} {preset:<14} {total:>15,}  {detail}")


def parameter_table() -> Iterator[tuple[str, str, int, dict[str, int]]]:
    """(network, preset, parameters, parameters by top-level part) of every preset; no weight is allocated."""
    from ..models import catalog

    for name, entry in catalog.NETWORKS.items():
        for preset in entry.presets:
            yield name, preset, *_count(catalog.build(name, preset, device="meta"))


def _count(network: Any) -> tuple[int, dict[str, int]]:
    from ..models.catalog import count_parameters

    parts: dict[str, int] = {}
    counted: set[int] = set()
    for name, child in network.named_children():
        # A part that another one shares (T5's table of tokens) counts once.
        own = [parameter for parameter in child.parameters() if id(parameter) not in counted]
        counted.update(id(parameter) for parameter in own)
        parts[name] = sum(parameter.numel() for parameter in own)
    return count_parameters(network), {name: count for name, count in parts.items() if count}


def _short(count: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)


def add_convert(commands: Any) -> None:
    """The parser of `convert`."""
    convert = commands.add_parser("convert", help="rewrite a foreign checkpoint as ours; runs no code from it")
    convert.add_argument("source", type=Path, help="a .safetensors, .pth, .pt, .ckpt or .bin file, or an index of them")
    convert.add_argument("target", type=Path, help="the .safetensors file to write")
    convert.add_argument(
        "--network", help="video_dit, text, vision, ...; not needed for the released DAC-VAE and image autoencoders"
    )
    convert.add_argument("--preset", help="which sizes, or ul2, metaclip, byt5 for text; moviegen models lists them")
    convert.add_argument("--force", action="store_true", help="overwrite what is there, but never the source")
    convert.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    check_target(arguments.target, (".safetensors",))
    from ..models import conversion, loading

    check_new(arguments.target, arguments.force, loading.files_of(arguments.source))
    print(conversion.convert(arguments.source, arguments.target, network=arguments.network, config=arguments.preset))


def add_doctor(commands: Any) -> None:
    """The parser of `doctor`."""
    doctor = commands.add_parser("doctor", help="show what is installed and what would be chosen, and why")
    add_placement(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    import torch

    from .. import devices, weights
    from ..ops import attention

    print(f"moviegen {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("libraries: " + ", ".join(_versions()))
    print(f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} used by torch; memory: {_memory()}")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        print(f"cuda:{index}: {facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    placement = devices.choose(arguments.device, arguments.dtype)
    print(f"chosen: {placement}")
    chosen = attention.resolve("auto", placement.device, placement.dtype)
    print(f"attention: {getattr(chosen, '__name__', chosen)} is chosen")
    for name, reason in attention.available(placement.device, placement.dtype).items():
        print(f"  {name}: {'usable' if reason is None else reason}")
    entries = weights.shipped()
    print(f"shipped weights: {len(entries)}" + ("" if entries else "; make them with: make nano"))
    damaged = 0
    for name, entry in entries.items():
        try:
            weights.path(name)
            print(f"  {name}: {entry.bytes / 2**20:.1f} MiB, verified")
        except MovieGenError as error:
            damaged += 1
            print(f"  {name}: {error}")
    return FAILED if damaged else 0


def _versions() -> Iterator[str]:
    from importlib import metadata

    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"


def _memory() -> str:
    total, free = memory_bytes()
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free" if total else "unknown"
