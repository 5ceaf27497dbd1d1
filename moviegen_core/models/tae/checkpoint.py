"""Image autoencoder files -> temporal autoencoder: spatial weights by name, temporal ones as the identity.

Two public layouts of the same network are known: Latent Diffusion's own and that of diffusers' AutoencoderKL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...layers.autoencoder_block import TemporalAttention
from .model import TAE, TAEConfig

_MID = {
    "latent_diffusion": ("mid.block_1", "mid.attn_1", "mid.block_2"),
    "diffusers": ("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"),
}
_ATTENTION = {
    "latent_diffusion": {"norm": "norm", "query": "q", "key": "k", "value": "v", "out": "proj_out"},
    "diffusers": {"norm": "group_norm", "query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"},
}
_HEAD = {
    "latent_diffusion": {"norm": "norm_out", "conv": "conv_out"},
    "diffusers": {"norm": "conv_norm_out", "conv": "conv_out"},
}
_SHORTCUT = {"latent_diffusion": "nin_shortcut", "diffusers": "conv_shortcut"}
_MARKS = {
    "latent_diffusion": "encoder.down.0.block.0.conv1.weight",
    "diffusers": "encoder.down_blocks.0.resnets.0.conv1.weight",
}
_BLOCKS = {
    "latent_diffusion": re.compile(r"(encoder|decoder)\.(?:down|up)\.(\d+)\.block\.\d+\.conv1\.weight"),
    "diffusers": re.compile(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.resnets\.\d+\.conv1\.weight"),
}
_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")  # beside them, files may hold a loss's network
# Of the attention in older files of diffusers.
_OLD = re.compile(r"(.+\.attentions\.0\.)(query|key|value|proj_attn)\.")
_NEW = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def layout_of(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which layout the tensors of an image autoencoder follow; None for any other file."""
    return next((name for name, mark in _MARKS.items() if len(shapes.get(mark, ())) == 4), None)


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> TAEConfig | None:
    """Config of an image autoencoder's file from the shapes of its tensors; None for any other file.

    Every step in space becomes one in time too (assumption: the paper does not say where those are). Groups of the
    norms are not stored: the usual 32.
    """
    layout = layout_of(shapes)
    if layout is None:
        return None
    widths: dict[str, dict[int, list[int]]] = {"encoder": {}, "decoder": {}}
    for key, shape in shapes.items():
        if match := _BLOCKS[layout].fullmatch(key):
            widths[match[1]].setdefault(int(match[2]), []).append(shape[0])
    encoder, decoder = ([found[level] for level in sorted(found)] for found in widths.values())
    if layout == "diffusers":
        decoder.reverse()
    steps = (2,) * (len(encoder) - 1)
    return TAEConfig(
        channels=tuple(blocks[0] for blocks in encoder),
        spatial_strides=steps,
        temporal_strides=steps,
        encoder_blocks=tuple(map(len, encoder)),
        decoder_blocks=tuple(map(len, decoder)),
        mid_attention=any(key.startswith(f"encoder.{_MID[layout][1]}.") for key in shapes),
        latent_channels=shapes.get("encoder.conv_out.weight", (0,))[0] // 2,
        latent_projections="quant_conv.weight" in shapes,
    )


def image_keys(tae: TAE, layout: str) -> dict[str, str]:
    """Our key of every spatial weight -> its key in an image autoencoder's file."""
    temporal = tuple(name + "." for name, module in tae.named_modules() if isinstance(module, TemporalAttention))
    return {
        key: _foreign(key, tae.config, layout)
        for key in tae.state_dict()
        if ".temporal." not in key and not key.startswith((*temporal, "latent_"))
    }


@torch.no_grad()
def complete(tensors: Mapping[str, Tensor], config: TAEConfig) -> dict[str, Tensor]:
    """An image autoencoder's tensors -> those of a temporal one, whose temporal layers are the identity.

    Before any training it encodes and decodes every frame as the image autoencoder does (where its temporal strides
    pick one frame, that one); its latent statistics are 0 and 1. What is in no such layout stays as it is.
    CheckpointError names what is missing, left over or of another shape.
    """
    layout = layout_of({key: tuple(value.shape) for key, value in tensors.items()})
    if layout is None:
        return dict(tensors)
    state = {_OLD.sub(lambda found: f"{found[1]}{_NEW[found[2]]}.", key): value for key, value in tensors.items()}
    tae = TAE(config, device="cpu", dtype=state[_MARKS[layout]].dtype)
    tae.reset_temporal()
    keys = image_keys(tae, layout)
    missing = sorted(set(keys.values()) - set(state))
    spare = sorted(key for key in set(state) - set(keys.values()) if key.startswith(_PARTS))
    if missing or spare:
        raise CheckpointError(
            f"the image autoencoder lacks {len(missing)} of {len(keys)} keys ({', '.join(missing[:5]) or 'none'}) and "
            f"has {len(spare)} too many ({', '.join(spare[:5]) or 'none'}); give one of Latent Diffusion's plain "
            "networks, and no preset or one with its channels and blocks"
        )
    own = tae.state_dict()
    for key, foreign in keys.items():
        value = state[foreign]
        if value.ndim == 4 and own[key].ndim == 2:  # Latent Diffusion's attention uses 1 x 1 convolutions
            value = value[:, :, 0, 0]
        if value.shape != own[key].shape:
            raise CheckpointError(
                f"{foreign} is {tuple(value.shape)}, but {tuple(own[key].shape)} is needed; give no preset, or one "
                "with the file's channels and blocks"
            )
        own[key] = value.to(own[key].dtype)
    return own


def _foreign(key: str, config: TAEConfig, layout: str) -> str:
    for own, foreign in (("project_in.", "quant_conv."), ("project_out.", "post_quant_conv.")):
        if key.startswith(own):
            return foreign + key.removeprefix(own)
    half, rest = key.split(".", 1)
    rest = rest.replace(".spatial.", ".")
    if match := re.fullmatch(r"head\.(norm|conv)\.(.+)", rest):
        return f"{half}.{_HEAD[layout][match[1]]}.{match[2]}"
    if match := re.fullmatch(r"mid\.(\d)\.(.+)", rest):
        return f"{half}.{_mid(int(match[1]), match[2], config, layout)}"
    if match := re.fullmatch(r"levels\.(\d+)\.(\d+)\.(.+)", rest):
        return f"{half}.{_level(half, int(match[1]), int(match[2]), match[3], config, layout)}"
    return f"{half}.{rest}"


def _mid(index: int, leaf: str, config: TAEConfig, layout: str) -> str:
    first, attention, last = _MID[layout]
    if index == 0:
        return f"{first}.{leaf}"
    if config.mid_attention and index == 1:
        name, kind = leaf.rsplit(".", 1)
        return f"{attention}.{_ATTENTION[layout][name]}.{kind}"
    return f"{last}.{leaf}"


def _level(half: str, level: int, index: int, leaf: str, config: TAEConfig, layout: str) -> str:
    blocks = (config.encoder_blocks if half == "encoder" else config.decoder_blocks)[level]
    leaf = leaf.replace("shortcut.", _SHORTCUT[layout] + ".") if leaf.startswith("shortcut.") else leaf
    side = "down" if half == "encoder" else "up"
    if layout == "latent_diffusion":
        part = f"block.{index}.{leaf}" if index < blocks else f"{side}sample.conv.{leaf}"
        return f"{side}.{level}.{part}"
    # diffusers counts the decoder's levels in the order in which they run.
    number = level if half == "encoder" else len(config.channels) - 1 - level
    part = f"resnets.{index}.{leaf}" if index < blocks else f"{side}samplers.0.conv.{leaf}"
    return f"{side}_blocks.{number}.{part}"
