"""Vision tower file: safetensors in the public CLIP layout, config in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...config import from_dict, to_dict
from ...errors import CheckpointError, ConfigError
from .. import loading
from .model import VisionConfig, build_network
from .presets import PRESETS

_PREFIX = "vision_model."
PROJECTIONS = ("vision_projection", "text_projection")


def save_vision_tower(
    path: str | Path,
    config: VisionConfig,
    network: nn.Module,
    projections: Mapping[str, Tensor],
    *,
    dtype: torch.dtype | None = torch.float16,
) -> Path:
    """Write the tower and the projections [shared, De], if any, into the space that it shares with the text tower.

    `dtype` is what weights are stored in; None keeps theirs.
    """
    metadata = {
        "format": loading.FORMAT,
        "version": loading.VERSION,
        "network": "vision",
        "config": json.dumps(to_dict(config)),
        "extra": "{}",
    }
    # transformers 5 dropped the `vision_model.` level that public CLIP files have.
    tensors = {_PREFIX + key.removeprefix(_PREFIX): value for key, value in network.state_dict().items()}
    tensors |= {f"{name}.weight": projections[name] for name in PROJECTIONS if name in projections}
    stored = {key: value.detach().to("cpu", dtype) for key, value in tensors.items()}
    return loading.write_tensors(stored, path, metadata)


def load_vision_tower(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Frozen tower and its projections; CheckpointError for any other file."""
    header = loading.read_header(Path(path))
    if header.network is None:
        raise CheckpointError(
            f"{path} is no file of ours; make one of its vision tower with `moviegen convert --network vision`, which "
            f"reads the Hugging Face layout ({_PREFIX}*) in the sizes of {', '.join(PRESETS)}"
        )
    if header.network != "vision":
        raise CheckpointError(f"{path} holds {header.network!r}, but a vision tower is needed; choose that file")
    config = from_dict(VisionConfig, header.config)
    tensors = loading.read_tensors(header, dtype=dtype)
    projections = {
        name: tensors.pop(f"{name}.weight").to(device) for name in PROJECTIONS if f"{name}.weight" in tensors
    }
    network = _built(config, tensors, path)
    return network.to(device).requires_grad_(False).eval(), projections


def convert(
    tensors: Mapping[str, Tensor], source: Path, target: Path, preset: str, dtype: torch.dtype | None = None
) -> Path:
    """Write the vision tower among a public CLIP file's `tensors` as our own file, of the sizes of `preset`.

    ConfigError for an unknown preset, CheckpointError where there is no tower.
    """
    if preset not in PRESETS:
        raise ConfigError(f"a vision tower is converted with --preset {', '.join(PRESETS)}; given was {preset!r}")
    own = {key: value for key, value in tensors.items() if key.startswith(_PREFIX) and not key.endswith("position_ids")}
    if not own:
        raise CheckpointError(
            f"{source} holds no vision tower in the Hugging Face layout ({_PREFIX}*), but "
            f"{loading.some_of(tensors)}; give such a file"
        )
    return save_vision_tower(target, PRESETS[preset], _built(PRESETS[preset], own, source), {}, dtype=dtype)


def _built(config: VisionConfig, tensors: Mapping[str, Tensor], path: str | Path) -> nn.Module:
    # Built on the CPU, not on the meta device: its position indices are made, not stored.
    network = build_network(config)
    wrapped = any(key.startswith(_PREFIX) for key in network.state_dict())
    named = {key if wrapped else key.removeprefix(_PREFIX): value for key, value in tensors.items()}
    loading.assign(network, named, name="vision", path=path)
    return network
