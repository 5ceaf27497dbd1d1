"""ComfyUI's values <-> the core's tensors. Sigma = 1 - time exists in this folder only.

Shape letters: B batch, T frames, H W pixels, L context tokens, D widest encoder, E number of encoders.

A CONDITIONING carries the tokens of all text encoders in one tensor [B, L, E + D]: the first E channels say
which encoder a token belongs to (one 1, or none where it is padding), the others hold its features, padded
with zeros. A token of zeros is therefore no token at all: zeroing a conditioning gives the null condition,
and stock nodes may concatenate, average and pad conditionings without knowing any of this.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from moviegen_core.conditioning.types import Conditioning
from moviegen_core.errors import ConfigError, ShapeError
from moviegen_core.pipelines.sample import MAX_TEMPERATURE
from moviegen_core.shapes import LATENT_CHANNELS, SIZE_MULTIPLE, latent_frames

logger = logging.getLogger(__name__)

USUAL_TEMPERATURE = 0.8  # of a sampler's noise: what the shipped models, the only ones at hand, are best sampled with
TEMPERATURE = {"default": USUAL_TEMPERATURE, "min": 0.0, "max": MAX_TEMPERATURE, "step": 0.05}
# Of an empty LATENT: pixels and frames per latent of the model that it was made for, until a sampler has filled it.
EMPTY_RATIOS = ("downscale_ratio_spacial", "downscale_ratio_temporal")
ENCODERS = ("ul2", "metaclip", "byt5")  # in the order in which CONDITIONINGs hold them, which files store
NO_VIDEO = "this MODEL makes no video; connect Load Movie Gen Model"
NO_TAE = "this VAE is no temporal autoencoder of Movie Gen; connect Load Temporal Autoencoder, or use VAE {verb}"


def to_images(pixels: Tensor) -> Tensor:
    """Pixels [B, 3, T, H, W] in [-1, 1] -> IMAGE [B * T, H, W, 3] in 0..1, fp32 on the CPU."""
    frames = pixels.permute(0, 2, 3, 4, 1).flatten(0, 1)
    return frames.to("cpu", torch.float32).add(1.0).div_(2.0).clamp_(0.0, 1.0)


def pixels(images: Tensor) -> Tensor:
    """IMAGE [T, H, W, C] in 0..1 -> pixels [3, T, H, W] in [-1, 1], fp32; one channel is grey, a fourth is left out.

    What lies outside of 0..1 is moved to its ends, what is no number becomes black.
    """
    _check_images(images)
    frames = images[..., :3].expand(-1, -1, -1, 3).movedim(-1, 0).float()
    if bool(frames.isnan().any()):
        logger.warning("of %d pictures some hold values that are no numbers; they are black there", len(images))
    return frames.nan_to_num(0.0).clamp_(0.0, 1.0).mul_(2.0).sub_(1.0)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or not images.shape[1] * images.shape[2]:
        raise ShapeError(f"a picture batch of shape {tuple(images.shape)} was given; it must be [frames, H, W, 3]")


def from_images(images: Tensor) -> Tensor:
    """IMAGE [T, H, W, C] in 0..1 -> pixels [1, 3, T, H, W] in [-1, 1], cut to multiples of 16 around the middle."""
    _check_images(images)
    height, width = (size - size % SIZE_MULTIPLE for size in images.shape[1:3])
    if not height or not width:
        raise ShapeError(
            f"pictures of {images.shape[2]} x {images.shape[1]} pixels are too small; use at least {SIZE_MULTIPLE}"
        )
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return pixels(images[:, top : top + height, left : left + width]).unsqueeze(0)


def sigmas(times: Tensor) -> Tensor:
    """Rising times [S + 1] -> falling SIGMAS [S + 1], ending in exactly 0 when the times end at 1."""
    return 1.0 - times.float()


def whole_steps(steps: int, denoise: float, most: int) -> int:
    """Steps of the schedule of which the last `steps` cover `denoise` of the way, as stock schedulers count them.

    ConfigError where it is longer than `most`.
    """
    whole = max(steps, int(steps / denoise))
    if whole > most:
        raise ConfigError(
            f"{steps} steps for denoise {denoise:g} end a schedule of {whole}, which goes up to {most}; use denoise "
            f"{math.ceil(1000 * steps / most) / 1000:g} or more, or fewer steps"
        )
    return whole


def times(sigmas: Tensor) -> Tensor:
    """Falling SIGMAS -> rising times."""
    return 1.0 - sigmas.float()


def latent(samples: Tensor, num_frames: int | None = None) -> dict[str, Any]:
    """Latent clip [B, C, T, H, W] -> LATENT; `num_frames` tells the decoder which frames are spurious."""
    return {"samples": samples} if num_frames is None else {"samples": samples, "num_frames": num_frames}


def shown_frames(latent: Mapping[str, Any]) -> int | None:
    """Frames that a clip's latent is to be decoded to, where it says so; None also where nodes changed its length."""
    known = latent.get("num_frames")
    fits = isinstance(known, int) and known > 0 and latent_frames(known) == latent["samples"].shape[2]
    return known if fits else None


def refuse_nested(samples: Any) -> None:
    """ShapeError for samples of picture and sound in one LATENT."""
    if getattr(samples, "is_nested", False):
        raise ShapeError("this latent holds picture and sound; separate them first, with LTXV Separate AV Latent")


def check_clip_latent(samples: Any) -> Tensor:
    """The samples of a LATENT that is a clip of Movie Gen, [B, 16, T, h, w]; ShapeError for any other."""
    refuse_nested(samples)
    if samples.ndim != 5 or samples.shape[1] != LATENT_CHANNELS:
        raise ShapeError(
            f"a latent of shape {tuple(samples.shape)} is not of this video model, which reads [batch, "
            f"{LATENT_CHANNELS}, frames, rows, columns]; connect Empty Video Latent or TAE Encode (Movie Gen)"
        )
    return samples


def pack(conditioning: Conditioning, width: int) -> Tensor:
    """Conditioning -> one tensor [B, L, E + width], L a multiple of E and at least E; `width` is the widest encoder's.

    The encoders take turns, so that averaging two prompts mixes tokens of one encoder only.
    """
    count = len(ENCODERS)
    length = max([1, *(mask.shape[1] for mask in conditioning.context_mask.values())])
    first = next(iter(conditioning.context.values()), torch.zeros(()))
    packed = first.new_zeros(conditioning.batch, length, count, count + width, dtype=torch.float32)
    for place, name in enumerate(ENCODERS):
        if name in conditioning.context:
            mask = conditioning.context_mask[name].unsqueeze(-1)
            tokens = conditioning.context[name].float() * mask
            packed[:, : mask.shape[1], place, place] = mask[..., 0].float()
            packed[:, : mask.shape[1], place, count : count + tokens.shape[-1]] = tokens
    return packed.flatten(1, 2)


def unpack(packed: Tensor, widths: Mapping[str, int]) -> Conditioning:
    """Tensor [B, L, E + D] -> Conditioning of the encoders in `widths`, without columns that hold no token."""
    context: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    for place, name in enumerate(ENCODERS):
        valid = packed[..., place] > 0
        columns = valid.any(0).nonzero().flatten()
        if name in widths and len(columns):
            features = packed[..., len(ENCODERS) : len(ENCODERS) + widths[name]]
            context[name], masks[name] = features.index_select(1, columns), valid.index_select(1, columns)
    return Conditioning(context, masks, packed.shape[0])


def check_packed(packed: Tensor, widths: Mapping[str, int], *, others: bool = False) -> None:
    """Refuse, with what to do, a conditioning that other text encoders made.

    `others`: tokens of encoders that `widths` does not name are allowed, and left unread.
    """
    flags, features = packed[..., : len(ENCODERS)], packed[..., len(ENCODERS) :]
    ours = packed.ndim == 3 and features.shape[-1] > 0
    if not ours or bool((flags < 0).any()) or bool((flags.sum(-1) > 1.01).any()):
        raise ShapeError(
            f"this conditioning {tuple(packed.shape)} was not made by Movie Gen text encoders; "
            "connect Load Text Encoders (Movie Gen) to the node that encodes the prompt"
        )
    for place, name in enumerate(ENCODERS):
        tokens = features[packed[..., place] > 0]
        if not len(tokens) or (others and name not in widths):
            continue
        if name not in widths:
            raise ShapeError(f"the prompt has tokens of {name}, which this model does not read; set {name} to none")
        if tokens.shape[-1] < widths[name] or bool(tokens[:, widths[name] :].any()):
            raise ShapeError(
                f"the {name} encoder gives features wider or narrower than the {widths[name]} this model reads; "
                "load the encoders that belong to the model"
            )
