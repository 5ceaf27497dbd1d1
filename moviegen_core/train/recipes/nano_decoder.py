"""nano/tae, once more: its decoder learns to draw from latents that the video transformer made.

A generator's latents are never quite right, and a decoder that has only seen right ones draws the mistakes. So clips
are told again by the transformer: noised part of the way, sampled back, and the decoder learns to give the true frames
for what comes out, as vocoders are tuned on the output of the model before them. The encoder stays, and with it every
latent. The paper has no such stage (assumption).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...conditioning.types import Conditioning
from ...media.frames import contact_sheet, from_uint8
from ...models import loading
from ...models.tae.model import TAE
from ...models.video_dit.model import VideoDiT
from ...pipelines.sample import sample_video
from ...shapes import TEMPORAL_STRIDE, LatentShape
from ..cache import ShardCache, pad_features
from ..clips import ClipConfig, Clips
from ..data import Batch, Collated, Mixture, Source, position_rng
from ..latents import ENCODERS, LATENT, encoder_hash, latents, load_tae, origin, text_features
from ..loop import Hook, LoopConfig, fit
from ..objectives.discriminator import Adversary, PatchDiscriminator
from ..objectives.tae import TAELoss, detail_distance
from ..optim import OptimConfig
from ..workspace import Workspace
from .nano_video import VideoRecipe

SHEET_CLIPS = 4
VIDEO = VideoRecipe()


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe:
    """Clips, how they are told again, and how the decoder learns from them."""

    seed: int = 81
    clips: ClipConfig = field(default_factory=lambda: ClipConfig(count=800, kinds=VIDEO.clips.kinds))
    stills: ClipConfig = field(
        default_factory=lambda: ClipConfig(count=1600, kinds=VIDEO.stills.kinds, first_seed=VIDEO.stills.first_seed)
    )
    variants: int = VIDEO.variants  # captions of each; the first is read
    still_variants: int = VIDEO.still_variants
    earliest: float = 0.5  # times between which the noising stops; before, a clip would become another one
    latest: float = 0.95
    sampling_steps: int = 12  # from noise; a part of them is left from `earliest` on
    retold_share: float = 0.75  # of the batches; the others keep what was encoded, so that the codec stays one
    minutes: float | None = 30
    steps: int | None = None
    still_batch: int = 8
    clip_batch: int = 1
    window: int = 2  # latent frames of a clip that are drawn at once
    learning_rate: float = 2e-4
    adversary_weight: float = 0.02
    squared_weight: float = 4.0
    perceptual_weight: float = 0.3


def run(recipe: DecoderRecipe, workspace: Workspace) -> None:
    """Tell the clips again, train the decoder on them, export as nano/tae."""
    tae = load_tae(workspace)
    tae.encoder.requires_grad_(False)
    told = [tell(recipe, workspace, tae, name) for name in ("stills", "clips")]
    adversary = Adversary(PatchDiscriminator().to(workspace.placement.device), weight=recipe.adversary_weight)
    loss = TAELoss(
        perceptual=detail_distance,
        squared_weight=recipe.squared_weight,
        perceptual_weight=recipe.perceptual_weight,
        adversary=adversary,
    )
    loop = LoopConfig(
        name="decoder",
        steps=recipe.steps,
        max_minutes=recipe.minutes,
        seed=recipe.seed,
        ema_decay=0.98,
        optim=OptimConfig(learning_rate=recipe.learning_rate, warmup_steps=50, schedule="linear", final_scale=0.02),
    )
    average = fit(
        tae, loss.decoding, source(recipe, told), workspace.timed(loop), workspace.folder("nano-decoder"),
        resume=workspace.resume, hooks=[sheet_hook(told[-1])], companions={"adversary": adversary},
        placement=workspace.placement, out=workspace.out,
    )  # fmt: skip
    average.copy_to(tae)
    tae.requires_grad_(True)
    steps = workspace.steps("nano-decoder")
    workspace.export("nano/tae", tae, recipe="nano-decoder", seed=recipe.seed, steps=steps)


@dataclass(frozen=True)
class Told:
    """Clips, their latents, and the same as the transformer tells them."""

    clips: Clips
    encoded: ShardCache
    retold: ShardCache


def tell(recipe: DecoderRecipe, workspace: Workspace, tae: TAE, name: str) -> Told:
    """Encode the clips called `name` ("clips" or "stills") and tell them again; what is there already is kept."""
    config: ClipConfig = getattr(recipe, name)
    clips = workspace.clips(config, name)
    suffix, variants = ("", recipe.variants) if name == "clips" else ("-stills", recipe.still_variants)
    encoded = latents(workspace, clips, 1, f"latents{suffix}-{config.size}")
    texts = text_features(workspace, clips, variants, f"text{suffix}")
    facts = {"encoder": encoder_hash(tae), "video": workspace.sha256("nano/video"), "seed": recipe.seed}
    facts |= {"times": [recipe.earliest, recipe.latest], "steps": recipe.sampling_steps}
    retold = ShardCache(workspace.folder(f"retold{suffix}-{config.size}"), len(clips), origin(clips, **facts))
    loaded: list[VideoDiT] = []

    def make(numbers: Sequence[int]) -> list[Batch]:
        if not loaded:
            loaded.append(load_video(workspace))
        return [{LATENT: tell_again(recipe, loaded[0], encoded, texts, number)} for number in numbers]

    retold.fill(make, f"retold{suffix}", workspace.out)
    return Told(clips, encoded, retold)


def load_video(workspace: Workspace) -> VideoDiT:
    """The transformer that the recipe nano-video trained."""
    file = workspace.weight_file("nano/video")
    video = loading.load(file, device=workspace.placement.device, dtype=torch.float32, network="video_dit")
    assert isinstance(video, VideoDiT)
    return video.eval()


def tell_again(
    recipe: DecoderRecipe, video: VideoDiT, encoded: ShardCache, texts: ShardCache, number: int
) -> torch.Tensor:
    """Latent [16, T, H, W] of clip `number`, sampled from a point of its path that the number decides."""
    latent = encoded.get(number, LATENT)[None].to(video.device)
    held = texts.keys(number)
    features = pad_features(
        [{name: texts.get(number, f"{name}.0") for name in ENCODERS if f"{name}.0" in held}], ENCODERS
    )
    conditioning = Conditioning(
        {name: features[f"context.{name}"] for name in ENCODERS if f"context.{name}" in features},
        {name: features[f"context_mask.{name}"] for name in ENCODERS if f"context_mask.{name}" in features},
    )
    told = sample_video(
        video, conditioning, LatentShape(*latent.shape), seed=number, steps=recipe.sampling_steps, schedule="linear",
        guidance_scale=VIDEO.guidance_scale, source=latent,
        source_time=float(position_rng(recipe.seed, number).uniform(recipe.earliest, recipe.latest)),
    )  # fmt: skip
    return told[0].cpu()


def source(recipe: DecoderRecipe, told: Sequence[Told]) -> Source:
    """One batch of stills with three of windows of clips: {"pixels": [B, 3, T, H, W], "latent": [B, 16, t, h, w]}."""

    def batches(one: Told, batch_size: int, seed: int) -> Collated:
        def sample(rng: np.random.Generator) -> Batch:
            number = int(rng.integers(len(one.clips)))
            cache = one.retold if rng.random() < recipe.retold_share else one.encoded
            latent = cache.get(number, LATENT)
            whole = one.clips.pixels(number).shape[0] // TEMPORAL_STRIDE  # latent frames without made-up ones
            first = int(rng.integers(max(1, whole - recipe.window + 1)))
            frames = slice(TEMPORAL_STRIDE * first, TEMPORAL_STRIDE * (first + recipe.window))
            pixels = from_uint8(np.array(one.clips.pixels(number)[frames]))
            return {"pixels": pixels, LATENT: latent[:, first : first + recipe.window]}

        return Collated(sample, batch_size, seed)

    stills, clips = told
    parts = [batches(stills, recipe.still_batch, recipe.seed), batches(clips, recipe.clip_batch, recipe.seed + 1)]
    return Mixture(parts, [1, 3])


def sheet_hook(told: Told) -> Hook:
    """Writes step-N.png: frames of a few clips, and under each row what is drawn from the retold latent."""

    def write(tae: nn.Module, folder: Path, step: int) -> None:
        assert isinstance(tae, TAE)
        rows = []
        for number in range(min(SHEET_CLIPS, len(told.clips))):
            pixels = from_uint8(np.array(told.clips.pixels(number)[:16]))
            drawn = tae.decode(told.retold.get(number, LATENT)[None, :, :2].to(tae.latent_mean.device))
            rows += [pixels[:, ::2], drawn[0, :, ::2].clamp(-1, 1).cpu()]
        contact_sheet(torch.cat(rows, dim=1), 8).save(folder / f"step-{step:06d}.png")

    return write
