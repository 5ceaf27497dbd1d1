"""What the video transformer learns from: latents and text features of rendered clips, computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import toybox
from ..conditioning.text import TextEncoders, encode_prompt
from ..media.frames import from_uint8
from ..models import loading
from ..models.tae.model import TAE
from ..models.text import load_text_encoder
from ..models.text.model import ROLES
from ..pipelines.decode import encode_video
from ..shapes import PATCH_SIZE
from .cache import ShardCache, pad_features
from .clips import Clips, portraits
from .crops import shrink
from .data import Batch, Bucketed, stack
from .hints import HINTS, Hints, window
from .workspace import Workspace

LATENT = "latent"


def trained_encoders(workspace: Workspace) -> TextEncoders:
    """The text encoders that the recipe nano-text trained."""
    device = workspace.placement.device
    return TextEncoders(
        **{name: load_text_encoder(name, workspace.weight_file(f"nano/{name}"), device=device) for name in ROLES}
    )


def trained_tae(workspace: Workspace) -> TAE:
    """The autoencoder that the recipe nano-tae trained."""
    file = workspace.weight_file("nano/tae")
    tae = loading.load(file, device=workspace.placement.device, dtype=torch.float32, network="tae")
    assert isinstance(tae, TAE)
    return tae


def origin(clips: Clips, **parts: Any) -> dict[str, Any]:
    """What a cache over `clips` depends on: how they are drawn, and the hashes in `parts`."""
    return {**Clips.describe(clips.config), **parts}


def latents(workspace: Workspace, clips: Clips, factor: int, name: str) -> ShardCache:
    """Latents [16, T, H, W] of every clip, averaged down by `factor` first; computed now where they are missing."""
    tae = trained_tae(workspace)
    cache = workspace.cache(name, len(clips), origin(clips, tae=encoder_hash(tae), factor=factor))

    def make(numbers: Sequence[int]) -> list[Batch]:
        if all(clips.config.kind(number)[0] == 1 for number in numbers):
            return encode_stills(tae, clips, numbers, factor)
        return [encode_clip(tae, clips, number, factor) for number in numbers]

    cache.fill(make, name, workspace.out)
    return cache


def encoder_hash(tae: TAE) -> str:
    """Hash of all weights that latents depend on; a better decoder keeps the caches."""
    return weights_hash(tae, leaving_out=("decoder.", "project_out."))


def weights_hash(network: nn.Module, leaving_out: tuple[str, ...] = ()) -> str:
    """Hash of all weights whose names start with none of `leaving_out`."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not name.startswith(leaving_out):
            digest.update(name.encode())
            digest.update(value.cpu().float().numpy().tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def encode_clip(tae: TAE, clips: Clips, number: int, factor: int) -> Batch:
    """Latent of one clip."""
    pixels = shrink(from_uint8(np.array(clips.pixels(number))), factor)[None]
    return {LATENT: encode_video(tae, pixels.to(next(tae.parameters()).device))[0].cpu()}


@torch.inference_mode()
def encode_stills(tae: TAE, clips: Clips, numbers: Sequence[int], factor: int) -> list[Batch]:
    """Latents of clips of one frame, encoded together."""
    device = next(tae.parameters()).device
    pixels = torch.stack([shrink(from_uint8(np.array(clips.pixels(number))), factor) for number in numbers])
    return [{LATENT: latent} for latent in tae.encode(pixels.to(device)).cpu()]


PROBE = 0.5  # standard deviation of what is added to a channel


@torch.no_grad()
def channel_weights(tae: TAE, cache: ShardCache, *, count: int, power: float) -> torch.Tensor:
    """How much each latent channel shows, [C] of mean 1: the pixels' squared change when noise is added to it alone.

    `power` below 1 evens the weights out; measured on the first `count` items of the cache.
    """
    generator = torch.Generator().manual_seed(0)
    shown: list[torch.Tensor] = []
    for number in range(min(count, len(cache))):
        latent = cache.get(number, LATENT)[None].to(tae.latent_mean.device)
        plain = tae.decode(latent)
        changes = []
        for channel in range(latent.shape[1]):
            probe = latent.clone()
            probe[:, channel] += PROBE * torch.randn(probe[:, channel].shape, generator=generator).to(probe)
            changes.append((tae.decode(probe) - plain).square().mean())
        shown.append(torch.stack(changes))
    weights = torch.stack(shown).mean(dim=0).pow(power).cpu()
    return weights / weights.mean()


def text_features(workspace: Workspace, clips: Clips, variants: int, name: str) -> ShardCache:
    """Features of `variants` captions a clip, short and long in turn: keys "ul2.0", "metaclip.0", ..."""
    hashes = {role: workspace.sha256(f"nano/{role}") for role in ROLES}
    facts = origin(clips, variants=variants, words=wording(), **hashes)
    cache = workspace.cache(name, len(clips), facts)
    loaded: list[TextEncoders] = []

    def make(numbers: Sequence[int]) -> list[Batch]:
        if not loaded:
            loaded.append(trained_encoders(workspace))
        return [encode_captions(loaded[0], clips, number, variants) for number in numbers]

    cache.fill(make, name, workspace.out)
    return cache


@cache
def wording() -> str:
    """Fingerprint of the captions: a hash of many of the `portraits`, so that other words are noticed."""
    pairs = (toybox.captions(scene, seed) for scene in portraits() for seed in range(40))
    said = "\n".join(text for pair in pairs for text in (pair.short, pair.long))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def tokens_of(cache: ShardCache, count: int) -> dict[str, torch.Tensor]:
    """Features [N, D] per encoder of all tokens of the first `count` captioned clips."""
    rows: dict[str, list[torch.Tensor]] = {}
    for number in range(min(count, len(cache))):
        for key in cache.keys(number):
            rows.setdefault(key.partition(".")[0], []).append(cache.get(number, key))
    return {name: torch.cat(parts) for name, parts in rows.items()}


def caption(scene: toybox.Scene, variant: int) -> str:
    """Caption number `variant` of a scene: the even ones short, the odd ones long."""
    pair = toybox.captions(scene, variant // 2)
    return pair.long if variant % 2 else pair.short


def encode_captions(encoders: TextEncoders, clips: Clips, number: int, variants: int) -> Batch:
    """Features of a clip's captions."""
    scene = clips.scene(number)
    _, fps = clips.config.kind(number)
    return encode_texts(encoders, [caption(scene, variant) for variant in range(variants)], fps)


def encode_texts(encoders: TextEncoders, prompts: Sequence[str], fps: float) -> Batch:
    """Features [L, D] of each prompt by every encoder, without padding: keys "ul2.0", "metaclip.0", "ul2.1", ...

    None where an encoder has nothing to read.
    """
    conditioning = encode_prompt(encoders, prompts, fps=fps)
    found: Batch = {}
    for name, features in conditioning.context.items():
        for variant, (row, mask) in enumerate(zip(features, conditioning.context_mask[name], strict=True)):
            if bool(mask.any()):
                found[f"{name}.{variant}"] = row[mask].cpu()
    return found


def samples(
    numbers: Sequence[int],
    latent_cache: ShardCache,
    text_cache: ShardCache,
    *,
    variants: int,
    tokens_per_batch: int,
    seed: int,
    hints: Hints | None = None,
    side: int = 0,
) -> Bucketed:
    """Source of flow-matching batches over the clips `numbers`, with what `hints` tells of them.

    With `side` above 0 each frame is shown only in a window of so many tokens a side about its subject ("shown"), and
    a batch holds so many more clips.
    """
    shapes = latent_cache.sizes(LATENT)
    sizes = [tokens(shapes[number]) for number in numbers]
    if side:
        sizes = [(frames, min(rows, side), min(columns, side)) for frames, rows, columns in sizes]

    def sample(index: int, rng: np.random.Generator) -> Batch:
        number = numbers[index]
        variant, held = int(rng.integers(variants)), text_cache.keys(number)
        keys = {name: f"{name}.{variant}" for name in ROLES}
        features = {name: text_cache.get(number, wanted) for name, wanted in keys.items() if wanted in held}
        told = {} if hints is None else dict(hints.of(number, *shapes[number][2:]))
        if told and side:
            told["shown"] = window(told["cells"], side, rng)
        return {LATENT: latent_cache.get(number, LATENT), **told, **features}

    def collate(items: Sequence[Batch]) -> Batch:
        even = [name for name in (LATENT, *HINTS, "shown") if name in items[0]]
        return {**stack([{name: item[name] for name in even} for item in items]), **pad_features(items, ROLES)}

    return Bucketed(sample, sizes, tokens_per_batch, seed, collate)


def tokens(shape: Sequence[int]) -> tuple[int, int, int]:
    """Latent shape [C, T, H, W] -> tokens (frames, rows, columns)."""
    frames, rows, columns = (length // step for length, step in zip(shape[1:], PATCH_SIZE, strict=True))
    return frames, rows, columns
