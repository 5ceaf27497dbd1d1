"""Recipe nano-codec: the linear code of toybox sounds to start from, the whole network, at last the decoder alone.

The linear code alone gives toybox sounds back so well that the stages are left out by default; sounds of another kind
need them (`--set joint.minutes=6 --set decoder.minutes=3`). The weights are shipped before the last stage too: it
leaves the encoder as it is, so that latents may be cached while the decoder still learns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ...models import catalog
from ...models.audio_codec.model import AudioCodec
from ...models.audio_codec.start import linear_start
from ...pipelines.sound_codec import encode_sound
from ...shapes import SOUND_SAMPLE_RATE
from ..basis import basis_of
from ..clips import ClipConfig
from ..data import Batch, Collated
from ..objectives.audio_codec import AudioCodecLoss
from ..objectives.sound_discriminator import SoundAdversary, SoundDiscriminator
from ..ranges import above, at_least
from ..sounds import SoundConfig, Sounds, synthesis
from ..stage import Stage
from ..workspace import Workspace
from .nano_sound_match import CLIPS

SMALLEST_STD = 1e-3


@dataclass(frozen=True, kw_only=True)
class CodecStage(Stage):
    """One step of the curriculum; `adversary` scales DAC's adversarial and feature-matching weights, 0 for none."""

    warmup_steps: int = 50
    adversary: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "adversary")


@dataclass(frozen=True, kw_only=True)
class CodecRecipe:
    """Sizes, seed, times and loss weights of nano/audio_codec."""

    preset: str = "nano"
    seed: int = 71
    clips: ClipConfig = field(default_factory=lambda: CLIPS)  # the scenes whose sounds are learned
    seconds: float = 1.0  # of each sound in a batch
    batch_size: int = 12
    joint: CodecStage = CodecStage(minutes=0, learning_rate=3e-4)
    decoder: CodecStage = CodecStage(minutes=0, learning_rate=2e-4, adversary=0.02)
    kl_weight: float = 1e-5
    start_sounds: int = 1000
    start_seconds: float = 2.0
    statistics_sounds: int = 300
    mixed: float = 0.3  # share of the samples that are two sounds at once
    gain_db: tuple[float, float] = (-15.0, 6.0)

    def __post_init__(self) -> None:
        at_least(self, 1, "batch_size", "start_sounds", "statistics_sounds")
        above(self, 0, "seconds", "start_seconds")


STAGES = ("joint", "decoder")


def run(recipe: CodecRecipe, workspace: Workspace) -> None:
    """Render the sounds, start, train both stages, measure the latents, export as nano/audio_codec."""
    catalog.get("audio_codec").preset(recipe.preset)  # an unknown one is told before the sounds are rendered
    sounds = Sounds(workspace.folder("sound-waves"), SoundConfig.beside(recipe.clips, channels=1))
    sounds.fill(workspace.render_workers, workspace.out)
    torch.manual_seed(recipe.seed)
    codec = catalog.build("audio_codec", recipe.preset, device="cpu")
    assert isinstance(codec, AudioCodec)
    linear_start(codec, start_sounds(sounds, recipe))
    folder = workspace.training("nano-codec")
    steps = 0
    for number, name in enumerate(STAGES):
        stage: CodecStage = getattr(recipe, name)
        if not stage.runs:
            continue
        # The linear code is close to its best already: a step as large as the network's would undo it.
        loop = stage.loop(name, recipe.seed + number, rate_scales={"linear.": 0.05})
        loss = AudioCodecLoss(kl_weight=recipe.kl_weight)
        companions = {}
        if stage.adversary:
            adversary = SoundAdversary(SoundDiscriminator(periods=(2, 3, 5), windows=(1024,), channels=12))
            adversary.weight, adversary.feature_weight = stage.adversary, 2.0 * stage.adversary
            adversary.discriminator.to(workspace.placement.device)
            loss, companions = replace(loss, adversary=adversary), {"adversary": adversary}
        if name == "decoder":
            ship(codec, sounds, recipe, workspace, steps)
            for part in (codec.encoder, codec.quantizer.in_proj, codec.linear.analysis, codec.linear.code_in):  # type: ignore[union-attr]
                part.requires_grad_(False)
        average = workspace.fit(
            codec, loss, source(sounds, recipe, number), loop, folder / name, companions=companions,
            basis=basis_of(recipe, stage, without=("statistics_sounds",), synthesis=synthesis()),
        )  # fmt: skip
        average.copy_to(codec)
        steps += workspace.steps("nano-codec", name)
    ship(codec.requires_grad_(True), sounds, recipe, workspace, steps)


def ship(codec: AudioCodec, sounds: Sounds, recipe: CodecRecipe, workspace: Workspace, steps: int) -> None:
    """Measure the latents and export the codec as it is."""
    codec.eval()
    codec.set_statistics(*statistics(codec, sounds, min(recipe.statistics_sounds, len(sounds))))
    file = workspace.export("nano/audio_codec", codec, recipe="nano-codec", seed=recipe.seed, steps=steps)
    workspace.say(f"wrote {file} after {steps} steps")


def start_sounds(sounds: Sounds, recipe: CodecRecipe) -> Tensor:
    """Crops [K, 1, N] of different sounds, for the closed-form start."""
    rng = np.random.default_rng(recipe.seed)
    numbers = rng.permutation(len(sounds))[: recipe.start_sounds]
    length = round(recipe.start_seconds * SOUND_SAMPLE_RATE)
    return torch.stack([crop(sounds, int(number), length, rng) for number in numbers])


def source(sounds: Sounds, recipe: CodecRecipe, stage: int) -> Collated:
    """Batches for `AudioCodecLoss`: crops, some of two sounds at once, at many loudnesses."""
    length = round(recipe.seconds * SOUND_SAMPLE_RATE)

    def sample(rng: np.random.Generator) -> Batch:
        waveform = crop(sounds, int(rng.integers(len(sounds))), length, rng)
        if rng.random() < recipe.mixed:
            waveform = waveform + crop(sounds, int(rng.integers(len(sounds))), length, rng)
        waveform = waveform * 10.0 ** (rng.uniform(*recipe.gain_db) / 20.0)
        return {"waveform": waveform.clamp(-1.0, 1.0)}

    return Collated(sample, recipe.batch_size, recipe.seed + 1000 * stage)


def crop(sounds: Sounds, number: int, length: int, rng: np.random.Generator) -> Tensor:
    """A random stretch [1, length] of a sound; a shorter one ends in silence."""
    waveform = sounds.waveform(number)
    first = int(rng.integers(max(1, waveform.shape[1] - length + 1)))
    piece = np.asarray(waveform[:1, first : first + length], dtype=np.float32)
    return torch.from_numpy(np.pad(piece, ((0, 0), (0, length - piece.shape[1]))))


@torch.no_grad()
def statistics(codec: AudioCodec, sounds: Sounds, count: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [C] of raw latents of `count` sounds."""
    codec.set_statistics(torch.zeros_like(codec.latent_mean), torch.ones_like(codec.latent_std))
    moments = []
    for number in range(count):
        waveform = torch.from_numpy(np.array(sounds.waveform(number)[:1]))
        raw = encode_sound(codec, waveform.unsqueeze(0))[0].double()
        moments.append(torch.stack((raw.mean(dim=1), raw.square().mean(dim=1))))
    mean, squares = torch.stack(moments).mean(dim=0)
    return mean.float(), (squares - mean.square()).clamp_min(SMALLEST_STD**2).sqrt().float()
