"""The released DAC-VAE file: its sizes are read from its shapes, and it lacks only our latent statistics.

Its keys are ours. Weight normalisation is folded into plain weights for use: `folded`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .layers import NormedConv1d
from .model import AudioCodec, AudioCodecConfig

STATISTICS = ("latent_mean", "latent_std")


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> AudioCodecConfig | None:
    """Config of a file in the released layout from the shapes of its tensors; None for any other file."""
    suffix = "weight_v" if "quantizer.in_proj.weight_v" in shapes else "weight"
    marks = [f"{name}.{suffix}" for name in ("encoder.block.0", "quantizer.in_proj", "decoder.model.0")]
    if any(len(shapes.get(mark, ())) != 3 for mark in marks):
        return None

    def rates(pattern: str) -> tuple[int, ...]:
        found: list[int] = []
        for index in range(1, len(shapes)):
            shape = shapes.get(f"{pattern.format(index)}.{suffix}")
            if shape is None:
                break
            found.append(shape[2] // 2)
        return tuple(found)

    marked = "decoder.model.1.block.11.weight" in shapes
    return AudioCodecConfig(
        encoder_dim=shapes[marks[0]][0],
        encoder_rates=rates("encoder.block.{}.block.4"),
        latent_dim=shapes[marks[1]][1],
        latent_channels=shapes[marks[1]][0] // 2,
        decoder_dim=shapes[marks[2]][0],
        decoder_rates=rates("decoder.model.{}.block.1"),
        watermark_rates=tuple(
            shapes[f"decoder.model.{index}.block.11.weight"][2] // 2
            for index in range(1, 1 + len(rates("decoder.model.{}.block.1")) * marked)
        ),
        weight_norm=suffix == "weight_v",
    )


def complete(tensors: Mapping[str, Tensor], config: AudioCodecConfig) -> dict[str, Tensor]:
    """The tensors of a released file and the statistics it lacks: none, so 0 and 1."""
    size = config.latent_channels
    return {STATISTICS[0]: torch.zeros(size), STATISTICS[1]: torch.ones(size), **tensors}


@torch.no_grad()
def folded(codec: AudioCodec, *, ops: Any = nn) -> AudioCodec:
    """The same codec with plain weights (made by `ops`), on the same device: faster, and ready for any layer factory.

    A codec that has plain weights comes back as it is.
    """
    if not codec.config.weight_norm:
        return codec
    like = codec.latent_std
    plain = AudioCodec(replace(codec.config, weight_norm=False), ops=ops, device="meta", dtype=like.dtype)
    tensors = {key: value for key, value in codec.state_dict().items() if not key.endswith(("weight_g", "weight_v"))}
    for name, module in codec.named_modules():
        if isinstance(module, NormedConv1d):
            tensors[f"{name}.weight"] = module.weight.detach()
    plain.load_state_dict(tensors, assign=True)
    return plain.train(codec.training).requires_grad_(any(value.requires_grad for value in codec.parameters()))
