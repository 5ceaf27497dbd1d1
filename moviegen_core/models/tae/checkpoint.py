"""Image autoencoder files -> temporal autoencoder: spatial weights by name, temporal ones as the identity.

Two public layouts of the same network are known: Latent Diffusion's own and that of diffusers' AutoencoderKL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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


def layout_of(keys: Mapping[str, object]) -> str:
    """Which layout an image autoencoder's keys follow; CheckpointError for any other file."""
    if any(key.startswith("encoder.down_blocks.") for key in keys):
        return "diffusers"
    if any(key.startswith("encoder.down.") for key in keys):
        return "latent_diffusion"
    found = ", ".join(sorted(keys)[:5]) or "none"
    raise CheckpointError(
        f"the keys ({found}) are not those of an image autoencoder; give one in the layout of Latent Diffusion or "
        "diffusers' AutoencoderKL"
    )


def image_keys(tae: TAE, layout: str) -> dict[str, str]:
    """Our key of every spatial weight -> its key in an image autoencoder's file."""
    temporal = tuple(name + "." for name, module in tae.named_modules() if isinstance(module, TemporalAttention))
    return {
        key: _foreign(key, tae.config, layout)
        for key in tae.state_dict()
        if ".temporal." not in key and not key.startswith((*temporal, "latent_"))
    }


def inflate(tae: TAE, state: Mapping[str, Tensor]) -> None:
    """Give `tae` an image autoencoder's weights and make its temporal layers the identity.

    Before any training it then encodes and decodes every frame as the image autoencoder does (where its temporal
    strides pick one frame, that one). CheckpointError names what is missing or of another shape.
    """
    keys = image_keys(tae, layout_of(state))
    missing = sorted(foreign for foreign in keys.values() if foreign not in state)
    if missing:
        raise CheckpointError(
            f"the image autoencoder lacks {len(missing)} of {len(keys)} keys ({', '.join(missing[:5])}); choose a "
            "configuration with its channels and blocks"
        )
    own = tae.state_dict()
    for key, foreign in keys.items():
        value = state[foreign]
        if value.ndim == 4 and own[key].ndim == 2:  # Latent Diffusion's attention uses 1 x 1 convolutions
            value = value[:, :, 0, 0]
        if value.shape != own[key].shape:
            raise CheckpointError(
                f"{foreign} is {tuple(value.shape)}, but {tuple(own[key].shape)} is needed; choose a configuration "
                "with the file's channels and blocks"
            )
        own[key].copy_(value)
    tae.reset_temporal()


def deflate(tae: TAE, layout: str = "diffusers") -> dict[str, Tensor]:
    """The spatial weights under an image autoencoder's keys: the inverse of `inflate`."""
    own = tae.state_dict()
    state = {}
    for key, foreign in image_keys(tae, layout).items():
        is_projection = layout == "latent_diffusion" and ".attn_1." in foreign and own[key].ndim == 2
        state[foreign] = own[key][:, :, None, None] if is_projection else own[key]
    return state


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
