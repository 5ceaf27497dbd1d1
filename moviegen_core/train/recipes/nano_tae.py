"""nano/tae: a linear code to start from, images and clips together, at last the decoder alone.

The paper (3.1.1) starts from a trained image autoencoder; its place is taken by a closed-form one. 1 batch of images
goes with about 3 of clips. The weights are shipped before the last stage too: it leaves the encoder as it is, so that
latents may be cached while the decoder still learns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...errors import ConfigError
from ...media.frames import contact_sheet, from_uint8
from ...models import catalog
from ...models.tae.model import TAE
from ...models.tae.start import grow, linear_start
from ..basis import basis_of
from ..clips import ClipConfig, Clips, drawing
from ..crops import CropConfig, crops, shrink
from ..data import Mixture, Source
from ..loop import Hook
from ..objectives.discriminator import Adversary, PatchDiscriminator
from ..objectives.tae import TAELoss, detail_distance
from ..optim import check_method
from ..ranges import at_least
from ..stage import Stage
from ..workspace import Workspace

SHEET_CLIPS = 4


@dataclass(frozen=True, kw_only=True)
class TAEStage(Stage):
    """One step of the curriculum, and the kinds of batches it mixes."""

    crops: tuple[CropConfig, ...]
    learning_rate: float = 4e-4
    warmup_steps: int = 100
    schedule: str = "constant"
    adversary_weight: float = 0.0
    adversary_start: int = 0  # steps before the adversary is heard
    latent_noise: float = 0.0  # only once the latents have been measured: in the stage "decoder", or with a start
    method: str = "adamw"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "adversary_weight", "latent_noise")
        check_method(self.method)
        if not self.crops:
            raise ConfigError("a stage has no crops to train on; name some, or leave it out with minutes=0")


IMAGES = CropConfig(frames=1, size=64, batch_size=16, weight=2)
CLIPS = (
    CropConfig(frames=16, size=64, batch_size=3, weight=3),
    CropConfig(frames=24, size=64, batch_size=2, weight=1),
    CropConfig(frames=16, size=64, batch_size=4, weight=1, shrink=2),
    CropConfig(frames=16, size=128, batch_size=1, weight=1),
)


@dataclass(frozen=True, kw_only=True)
class TAERecipe:
    """Sizes, seeds, times and loss weights of nano/tae."""

    preset: str = "nano"
    # Weights to train on from, a shipped name or a file, of the preset or of one that it adds blocks to; empty: from
    # the closed form. Where the decoder alone learns on, what it reads stays as it was, and whatever was trained on
    # these latents with it.
    start: str = ""
    seed: int = 11
    clips: ClipConfig = field(
        default_factory=lambda: ClipConfig(
            count=700, kinds=((32, 16, 12), (48, 24, 3), (64, 16, 3), (24, 16, 1), (16, 16, 1))
        )
    )
    joint: TAEStage = TAEStage(minutes=21, crops=(IMAGES, *CLIPS), schedule="cosine", final_scale=0.1)
    finish: TAEStage = TAEStage(minutes=0.3, crops=(IMAGES, *CLIPS), learning_rate=1e-4, schedule="linear")
    decoder: TAEStage = TAEStage(
        minutes=25, crops=(IMAGES, *CLIPS), learning_rate=2e-4, schedule="linear", adversary_weight=0.02
    )
    squared_weight: float = 4.0
    perceptual_weight: float = 0.3
    kl_weight: float = 2e-4
    outlier_weight: float = 10.0  # the paper's 1e5 takes over every clipped step of a short run
    # Above 0 the encoder stays close to the one of `start`, and the measure of its latents is kept: what was trained
    # on them stays valid while encoder and decoder learn on.
    anchor_weight: float = 0.0
    statistics_clips: int = 96
    start_clips: int = 64  # whose principal components the network starts from

    def __post_init__(self) -> None:
        at_least(self, 1, "statistics_clips", "start_clips")


STAGES = ("joint", "finish", "decoder")


def run(recipe: TAERecipe, workspace: Workspace) -> None:
    """Draw the clips, train every stage, measure the latents, export as nano/tae."""
    config = catalog.get("tae").preset(recipe.preset)
    workspace.needs(start=recipe.start, network="tae")
    clips = workspace.clips(recipe.clips)
    torch.manual_seed(recipe.seed)
    tae = TAE(config)
    anchor = anchor_of(recipe, workspace)
    if recipe.start:
        begun = workspace.begun(recipe.start, "tae", "nano-tae")
        assert isinstance(begun, TAE)
        tae.reset_parameters()
        grow(tae, begun)
    else:
        tae.reset_parameters()
        linear_start(tae, start_clips(clips, recipe.start_clips, recipe.seed))
    folder = workspace.training("nano-tae")
    steps = 0
    for number, name in enumerate(STAGES):
        stage: TAEStage = getattr(recipe, name)
        if not stage.runs:
            continue
        loop = stage.loop(name, recipe.seed + number, method=stage.method)
        loss = TAELoss(
            perceptual=detail_distance,
            squared_weight=recipe.squared_weight,
            perceptual_weight=recipe.perceptual_weight,
            kl_weight=recipe.kl_weight,
            outlier_weight=recipe.outlier_weight,
            latent_noise=stage.latent_noise,
            anchor=anchor,
            anchor_weight=recipe.anchor_weight,
        )
        companions = {}
        if stage.adversary_weight:
            adversary = Adversary(
                PatchDiscriminator().to(workspace.placement.device),
                weight=stage.adversary_weight,
                start_step=stage.adversary_start * stage.accumulate,
            )
            loss, companions = replace(loss, adversary=adversary), {"adversary": adversary}
        if name == "decoder":
            if steps or not recipe.start:
                if anchor is None:
                    measure(tae, clips, recipe)
                ship(tae, recipe, workspace, steps)
            freeze_encoder(tae)
        ema = workspace.fit(
            tae, loss, source(stage, clips, recipe.seed + 100 * number), loop, folder / name,
            hooks=[sheet_hook(clips)], companions=companions,
            basis=basis_of(recipe, stage, without=("statistics_clips",), drawing=drawing()),
        )  # fmt: skip
        ema.copy_to(tae)
        steps += workspace.steps("nano-tae", name)
    tae.requires_grad_(True)
    if anchor is None and not recipe.decoder.runs:
        measure(tae, clips, recipe)
    ship(tae, recipe, workspace, steps)


def anchor_of(recipe: TAERecipe, workspace: Workspace) -> TAE | None:
    """The autoencoder that the latents stay close to, frozen; ConfigError where one is asked for without a start."""
    if not recipe.anchor_weight:
        return None
    if not recipe.start:
        raise ConfigError("anchor_weight keeps latents close to those of start; give start, or leave it at 0")
    anchor = workspace.begun(recipe.start, "tae", "nano-tae")
    assert isinstance(anchor, TAE)
    return anchor.to(workspace.placement.device).eval().requires_grad_(False)


def freeze_encoder(tae: TAE) -> None:
    """Let only what comes after the latents learn on."""
    for part in (tae.encoder, tae.project_in):
        if part is not None:
            part.requires_grad_(False)


def measure(tae: TAE, clips: Clips, recipe: TAERecipe) -> None:
    """Enter the statistics of the latents as they are now."""
    tae.set_statistics(*statistics(tae, clips, min(recipe.statistics_clips, len(clips))))


def ship(tae: TAE, recipe: TAERecipe, workspace: Workspace, steps: int) -> None:
    """Export the network as it is."""
    file = workspace.export("nano/tae", tae, start=recipe.start, recipe="nano-tae", seed=recipe.seed, steps=steps)
    workspace.say(f"wrote {file} after {steps} steps")


def start_clips(clips: Clips, count: int, seed: int) -> torch.Tensor:
    """Pixels [N, 3, 16, H, W] in [-1, 1] of random clips, for the closed-form start."""
    return crops(clips, CropConfig(frames=16, size=clips.config.size, batch_size=count), seed).batch(0)["pixels"]


def source(stage: TAEStage, clips: Clips, seed: int) -> Source:
    """The crops of a stage in their shares."""
    parts = [crops(clips, config, seed + number) for number, config in enumerate(stage.crops)]
    return Mixture(parts, [config.weight for config in stage.crops])


@torch.inference_mode()
def statistics(tae: TAE, clips: Clips, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation [C] of raw latents of `count` clips, at full and at half size."""
    tae.eval()
    device = next(tae.parameters()).device
    moments = []
    for number in range(count):
        pixels = shrink(from_uint8(np.array(clips.pixels(number))), 2 if number % 4 == 3 else 1)
        # On the CPU: MPS has no float64.
        raw = tae.posterior(pixels[None].to(device)).mean[0].cpu().double().flatten(1)
        moments.append(torch.stack((raw.mean(dim=1), raw.square().mean(dim=1))))
    mean, squares = torch.stack(moments).mean(dim=0)
    return mean.float(), (squares - mean.square()).clamp_min(1e-8).sqrt().float()


def sheet_hook(clips: Clips) -> Hook:
    """Writes step-N.png: frames of a few clips, and under each row what comes back from the autoencoder."""

    def write(tae: nn.Module, folder: Path, step: int) -> None:
        assert isinstance(tae, TAE)
        rows = []
        for number in range(min(SHEET_CLIPS, len(clips))):
            pixels = from_uint8(np.array(clips.pixels(number)[:16]))[None].to(tae.latent_mean.device)
            rebuilt = tae.decode(tae.encode(pixels), pixels.shape[2])
            rows += [pixels[0, :, ::2], rebuilt[0, :, ::2].clamp(-1, 1)]
        contact_sheet(torch.cat(rows, dim=1).cpu(), 8).save(folder / f"step-{step:06d}.png")

    return write
