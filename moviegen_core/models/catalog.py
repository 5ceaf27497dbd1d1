"""The only file that knows every network: name -> config class, module class, presets, key maps.

Nothing is imported until it is asked for.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..config import from_dict
from ..errors import CheckpointError, ConfigError


@dataclass(frozen=True)
class KeyMap:
    """A foreign layout of the same weights: how to know it and how its keys become ours."""

    name: str
    recognises: Callable[[Iterable[str]], bool]
    rename: Callable[[str], str]


@dataclass(frozen=True)
class Network:
    """One kind of network; its folder holds model.py, presets.py (PRESETS) and, where needed, checkpoint.py."""

    name: str
    folder: str
    config_name: str
    module_name: str

    @cached_property
    def config_class(self) -> type:
        """Frozen dataclass that fixes the parameter shapes."""
        return getattr(self._file("model"), self.config_name)

    @cached_property
    def module_class(self) -> type[nn.Module]:
        """The network; built as module_class(config, ops=..., device=..., dtype=...)."""
        return getattr(self._file("model"), self.module_name)

    @cached_property
    def presets(self) -> Mapping[str, Any]:
        """Preset name -> config."""
        return self._file("presets").PRESETS

    @cached_property
    def key_maps(self) -> tuple[KeyMap, ...]:
        """Foreign layouts that checkpoint.py beside the network knows."""
        return tuple(KeyMap(*entry) for entry in self._checkpoint("KEY_MAPS", ()))

    def recognise(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """Config of a foreign file by its keys and shapes, where checkpoint.py can tell; else None."""
        return self._checkpoint("recognise", lambda _: None)(shapes)

    def complete(self, tensors: Mapping[str, torch.Tensor], config: Any) -> Mapping[str, torch.Tensor]:
        """A foreign file's tensors with those that only ours has, or as ours, where checkpoint.py knows them."""
        return self._checkpoint("complete", lambda given, _: given)(tensors, config)

    def needs(self, key: str) -> bool:
        """Whether `convert` can use a foreign file's tensor of this name; False where checkpoint.py knows it is not."""
        return self._checkpoint("needs", lambda _: True)(key)

    @cached_property
    def convert(self) -> Callable[..., Path] | None:
        """convert(tensors, source, target, preset, dtype) of checkpoint.py, where files need more than a key map."""
        return self._checkpoint("convert", None)

    def preset(self, name: str) -> Any:
        """Config of a preset; ConfigError lists the known ones."""
        if name not in self.presets:
            raise ConfigError(f"{self.name} has no preset {name!r}; use one of {', '.join(self.presets)}")
        return self.presets[name]

    def construct(
        self, config: Any, *, device: Any = None, dtype: torch.dtype | None = None, ops: Any = nn, attend: Any = "auto"
    ) -> nn.Module:
        """Network of `config`; weights are not initialised."""
        arguments = {"device": device, "dtype": dtype, "ops": ops, "attend": attend}
        accepted = inspect.signature(self.module_class).parameters
        return self.module_class(config, **{name: value for name, value in arguments.items() if name in accepted})

    def _checkpoint(self, name: str, default: Any) -> Any:
        try:
            module = self._file("checkpoint")
        except ModuleNotFoundError as error:
            if not str(error.name).endswith(".checkpoint"):
                raise  # a package that the file needs
            return default
        return getattr(module, name, default)

    def _file(self, name: str) -> Any:
        return importlib.import_module(f"{__package__}.{self.folder}.{name}")


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("video_dit", "video_dit", "VideoDiTConfig", "VideoDiT"),
        Network("tae", "tae", "TAEConfig", "TAE"),
        Network("judge", "judge", "JudgeConfig", "Judge"),
        Network("sound_judge", "sound_judge", "SoundJudgeConfig", "SoundJudge"),
        Network("audio_dit", "audio_dit", "AudioDiTConfig", "AudioDiT"),
        Network("sound_match", "sound_match", "SoundMatchConfig", "SoundMatch"),
        Network("audio_codec", "audio_codec", "AudioCodecConfig", "AudioCodec"),
        # Functions: the modules are those of transformers.
        Network("text", "text", "TextConfig", "build_network"),
        Network("vision", "vision", "VisionConfig", "build_network"),
    )
}


def get(name: str) -> Network:
    """Network by name; CheckpointError lists the known ones."""
    if name not in NETWORKS:
        raise CheckpointError(f"the network {name!r} is unknown to this version; it knows {', '.join(NETWORKS)}")
    return NETWORKS[name]


def name_of(network: nn.Module) -> str:
    """Catalog name of a built network; ConfigError for any other."""
    for name, entry in NETWORKS.items():
        if type(network).__module__.startswith(f"{__package__}.{entry.folder}.") and isinstance(
            network, entry.module_class
        ):
            return name
    raise ConfigError(f"{type(network).__name__} is not a network of the catalog ({', '.join(NETWORKS)})")


def build(
    network: str, preset_or_config: Any = "nano", *, device: Any = "meta", dtype: torch.dtype | None = None,
    ops: Any = nn, attend: Any = "auto",
) -> nn.Module:  # fmt: skip
    """Network from a preset's name, a dict or a config; on the meta device (shapes only) unless another is given."""
    entry = get(network)
    if isinstance(preset_or_config, str):
        config = entry.preset(preset_or_config)
    elif isinstance(preset_or_config, Mapping):
        config = from_dict(entry.config_class, preset_or_config)
    else:
        config = preset_or_config
    built = entry.construct(config, device=device, dtype=dtype, ops=ops, attend=attend)
    if torch.device(device or "cpu").type != "meta" and hasattr(built, "reset_parameters"):
        built.reset_parameters()  # type: ignore[operator]
    return built


def count_parameters(network: nn.Module) -> int:
    """Numbers in all parameters of a network, also on the meta device."""
    return sum(parameter.numel() for parameter in network.parameters())
